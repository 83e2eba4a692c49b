//! The probe over captured heaps, sound ones and others.

use std::fs::File;
use std::sync::Arc;

use memgap_kernel::memory::{Bounds, Space};
use memgap_ledger::account::Account;
use memgap_ledger::claim::Extent;
use memgap_ledger::{Fact, MissingKind};
use proptest::prelude::*;

use super::chunk::{CHUNK, PAGE};
use super::heap::{IN_CHUNK, Shape};
use super::{Variables, Zend, statistics};
use crate::captured::Capture;
use crate::elf::{Elf, Segment};
use crate::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};

const VARIABLES: u64 = 0x5000_0000;
/// The pointer to the heap, before the bias.
const POINTER: u64 = 0x128;
const FIRST: u64 = CHUNK * 100;
const SECOND: u64 = CHUNK * 103;
const CACHED: u64 = CHUNK * 107;
const HEAP: u64 = FIRST + IN_CHUNK;
/// Descriptions of the huge blocks, in pages of the first chunk; and the blocks.
const NODE: u64 = FIRST + 2 * PAGE;
const HUGE: u64 = CHUNK * 200;
const HUGE_SIZE: u64 = 5 << 20;

/// Pages of the first chunk in use, besides its first; of the second the same.
const USED: u64 = 7;
const SIZE: u64 = 20_000 + HUGE_SIZE;
const REAL: u64 = 3 * CHUNK + HUGE_SIZE;

/// As 8.2 has it, and 8.4 with a key before its lists.
const SHAPES: [Shape; 2] = [
    Shape { real_size: 34, main_chunk: 41, map: 544 },
    Shape { real_size: 35, main_chunk: 42, map: 576 },
];

/// A heap of two chunks, one more that is kept, and a huge block.
struct Captured {
    memory: Capture,
    shape: Shape,
}

impl Captured {
    fn new(shape: Shape) -> Self {
        let page = |start| (start, start + 4 * PAGE);
        let memory = Capture::of(&[page(FIRST), page(SECOND), page(CACHED), page(VARIABLES)]);
        let mut captured = Self { memory, shape };
        captured.memory.put(VARIABLES + POINTER, HEAP);
        captured.chunk(FIRST, SECOND, SECOND);
        captured.chunk(SECOND, FIRST, FIRST);
        captured.memory.put(CACHED, HEAP);
        captured.memory.put(NODE, HUGE);
        captured.memory.put(NODE + 8, HUGE_SIZE);
        for (word, value) in [
            (2, SIZE),
            (3, SIZE),
            (4, 0x7fff_1234_5678),
            (shape.real_size, REAL),
            (shape.real_size + 1, REAL + CHUNK),
            (shape.real_size + 2, u64::MAX >> 1),
            (shape.main_chunk - 1, NODE),
            (shape.main_chunk, FIRST),
            (shape.main_chunk + 1, CACHED),
            (shape.main_chunk + 2, 2 | 3 << 32),
            (shape.main_chunk + 3, 1),
        ] {
            captured.word(word, value);
        }
        captured
    }

    fn word(&mut self, index: usize, value: u64) {
        self.memory.put(HEAP + index as u64 * 8, value);
    }

    fn chunk(&mut self, start: u64, next: u64, prev: u64) {
        let map = start + self.shape.map as u64;
        for (at, word) in [
            (start, HEAP),
            (start + 8, next),
            (start + 16, prev),
            (start + 24, 511 - USED),
            (map - 64, (1 << (USED + 1)) - 1),
            (map, 0x4000_0001),
        ] {
            self.memory.put(at, word);
        }
    }

    fn read(&self, detail: Detail) -> Fact<HeapStatistics> {
        let variables = Variables { heap: POINTER, shape: self.shape };
        statistics::read(variables, VARIABLES, &Space::new(&self.memory, Bounds::COUNTERS), detail)
    }

    fn resolve(&self) -> Fact<Arc<dyn Layout>> {
        let segment =
            Segment { address: 0, offset: 0, file_size: PAGE, memory_size: PAGE, writable: true };
        let elf =
            Elf { machine: 62, segments: vec![segment], sections: Vec::new(), is_static: false };
        let file = File::open("/dev/null").expect("every system has it");
        let mapped = Mapped { path: "/usr/bin/php".to_owned(), bias: VARIABLES };
        let image = Image { file, elf: &elf, mapped };
        Zend.resolve(&image, &Space::new(&self.memory, Bounds::RESOLVE))
    }
}

fn booked(statistics: &HeapStatistics, account: Account) -> u64 {
    let parts = statistics.claims.iter().flat_map(|claim| &claim.parts);
    parts.filter(|part| part.account == account).map(|part| part.bytes).sum()
}

#[test]
fn what_the_heap_counts_is_in_use_and_pages_have_addresses() {
    for shape in SHAPES {
        let captured = Captured::new(shape);
        let layout = format!("{:?}", captured.resolve().expect("it is found"));
        assert_eq!(layout, format!("{:?}", Variables { heap: POINTER, shape }));
        for detail in [Detail::Counters, Detail::Pages] {
            let statistics = captured.read(detail).expect("sound");
            let free = REAL - 2 * PAGE - SIZE;
            assert_eq!(statistics.runtime.in_use, Some(SIZE));
            assert_eq!(statistics.runtime.free, Some(free));
            assert_eq!(booked(&statistics, Account::HeapInUse), SIZE);
            assert_eq!(booked(&statistics, Account::AllocatorFree), free);
            assert_eq!(booked(&statistics, Account::AllocatorMetadata), 2 * PAGE);
            let used = [
                (HUGE, HUGE + HUGE_SIZE),
                (FIRST + PAGE, FIRST + (USED + 1) * PAGE),
                (SECOND + PAGE, SECOND + (USED + 1) * PAGE),
            ];
            assert_eq!(statistics.claims[1].extent, Extent::Ranges(used.to_vec()));
            assert!(captured.memory.readings.borrow().len() < 100);
        }
    }
}

#[test]
fn what_can_not_be_followed_is_an_amount() {
    let spoilt: [fn(&mut Captured); 9] = [
        // A ring that ends early, goes on, or is not linked both ways.
        |c| c.memory.put(FIRST + 8, FIRST),
        |c| c.memory.put(SECOND + 8, CACHED),
        |c| c.memory.put(SECOND + 16, CACHED),
        |c| c.memory.put(SECOND, HEAP + CHUNK),
        // Pages that are not those that are counted.
        |c| c.memory.put(SECOND + 24, 3),
        // Kept chunks and huge blocks whose lists do not end, or that have no size.
        |c| c.memory.put(CACHED + 8, CACHED),
        |c| c.memory.put(NODE + 16, NODE),
        |c| c.memory.put(NODE + 8, u64::MAX - PAGE + 1),
        |c| c.word(c.shape.real_size, REAL + PAGE),
    ];
    for shape in SHAPES {
        for (number, spoil) in spoilt.iter().enumerate() {
            let mut captured = Captured::new(shape);
            spoil(&mut captured);
            let statistics = captured.read(Detail::Counters).expect("its counters are sound");
            assert_eq!(statistics.runtime.in_use, Some(SIZE), "{number}");
            assert_eq!(statistics.claims[0].extent, Extent::Anywhere, "{number}");
            assert!(statistics.runtime.evidence[1].contains("not followed"), "{number}");
            // No search takes it for a heap.
            assert!(captured.resolve().is_err(), "{number}");
            assert!(captured.memory.readings.borrow().len() < 5000, "{number}");
        }
    }
}

#[test]
fn chunks_that_are_kept_from_one_request_to_the_next_are_free() {
    for shape in SHAPES {
        let mut captured = Captured::new(shape);
        // Cleared, but for the next one.
        captured.memory.put(CACHED, 0);
        assert!(captured.resolve().is_ok());
        let statistics = captured.read(Detail::Counters).expect("sound");
        let (start, end) = (CACHED, CACHED + CHUNK);
        let Extent::Ranges(free) = &statistics.claims[2].extent else { panic!("no ranges") };
        assert!(free.contains(&(start, end)), "{free:x?}");
        captured.memory.put(CACHED, HEAP + CHUNK);
        assert!(captured.resolve().is_err());
    }
}

#[test]
fn a_first_chunk_that_is_not_counted_is_there() {
    let mut captured = Captured::new(SHAPES[0]);
    captured.word(SHAPES[0].real_size, REAL - CHUNK);
    assert!(captured.resolve().is_ok());
    let statistics = captured.read(Detail::Counters).expect("sound");
    assert_eq!(statistics.runtime.free, Some(REAL - 2 * PAGE - SIZE));
}

#[test]
fn many_chunks_are_not_followed_on_a_collection() {
    let mut captured = Captured::new(SHAPES[0]);
    captured.word(SHAPES[0].main_chunk + 2, 200);
    captured.word(SHAPES[0].real_size, 201 * CHUNK + HUGE_SIZE);
    let statistics = captured.read(Detail::Counters).expect("its counters are sound");
    assert_eq!(statistics.runtime.in_use, Some(SIZE));
    assert_eq!(statistics.claims[0].extent, Extent::Anywhere);
    assert_eq!(captured.memory.readings.borrow().len(), 2);
}

#[test]
fn counters_that_break_a_rule_are_refused() {
    for shape in SHAPES {
        for (index, word) in [
            (2, REAL - PAGE),
            (2, u64::MAX),
            (shape.real_size, REAL + 1),
            (shape.real_size, 1 << 60),
            (shape.real_size, CHUNK),
            (shape.main_chunk, SECOND),
            (shape.main_chunk + 2, 0),
            (shape.main_chunk + 2, u64::MAX),
            (shape.main_chunk + 3, u64::MAX),
        ] {
            let mut captured = Captured::new(shape);
            captured.word(index, word);
            let lack = captured.read(Detail::Counters).expect_err("a rule is broken");
            assert_eq!(lack.kind, MissingKind::Malformed, "{index}: {lack}");
            assert!(captured.resolve().is_err(), "{index}");
        }
    }
}

#[test]
fn a_file_without_a_heap_says_why() {
    let mut captured = Captured::new(SHAPES[0]);
    captured.memory.put(VARIABLES + POINTER, 0);
    let lack = captured.resolve().expect_err("nothing leads there");
    assert!(lack.why.contains("USE_ZEND_ALLOC=0"), "{lack}");
    // One that shows more places than are followed.
    for at in 0..500 {
        captured.memory.put(VARIABLES + at * 8, CACHED + IN_CHUNK);
    }
    captured.memory.put(VARIABLES + 4000, HEAP);
    assert!(captured.resolve().is_err());
    assert!(captured.memory.readings.borrow().len() < 100);
}

proptest! {
    #[test]
    fn memory_of_any_kind_is_answered_or_refused(
        which in 0..SHAPES.len(),
        words in prop::collection::vec(
            (prop::sample::select(vec![FIRST, HEAP + 256, SECOND, CACHED, NODE]), 0u64..80, any::<u64>()),
            0..24,
        ),
        kind in 0u64..3,
    ) {
        let mut captured = Captured::new(SHAPES[which]);
        for (from, index, word) in words {
            let word = match kind {
                0 => word,
                1 => word % 4096,
                _ => CHUNK * (word % 256),
            };
            captured.memory.put(from + index * 8, word);
        }
        for detail in [Detail::Counters, Detail::Pages] {
            if let Ok(statistics) = captured.read(detail) {
                prop_assert!(statistics.runtime.in_use.is_some());
            }
        }
        let _ = captured.resolve();
    }
}
