//! The probe over captured heaps of each shape, sound ones and others.

use memgap_kernel::memory::{Area, Bounds, Space};
use memgap_ledger::account::Account;
use memgap_ledger::{Fact, MissingKind};
use proptest::prelude::*;

use super::chunk::ALIGNED;
use super::shape::{Kind, SHAPES, Shape};
use super::{Heap, spaces, statistics};
use crate::captured::{Capture, area};
use crate::{Detail, HeapStatistics};

const BASE: u64 = 0x40_0000_0000;
const CHUNKS: u64 = 12;
/// The last chunk is code.
const CODE: u64 = CHUNKS - 1;
/// Where metadata stand that are apart from their chunks, the heap, and its spaces.
const APART: u64 = CHUNKS * ALIGNED + 4096;
const HEAP: u64 = APART + 0x8000;
const SPACES: u64 = HEAP + 0x8000;
const OF_ONE: u64 = 0x1000;
const SIZE: u64 = SPACES + 16 * OF_ONE;
/// In the heap: the pointers to its spaces.
const POINTERS: u64 = 0x138;

/// What the spaces count: a paged space and one of large objects, and the halves.
const COMMITTED: u64 = 5 * ALIGNED;
const CAPACITY: u64 = COMMITTED - 5 * 4096;
const ALLOCATED: u64 = 300_000;
const LARGE: u64 = 2 * ALIGNED;
const OBJECTS: u64 = 500_000;
const HALF: u64 = ALIGNED;

/// A process with a heap.
struct Captured {
    memory: Capture,
    shape: Shape,
}

impl Captured {
    fn new(shape: Shape) -> Self {
        let chunk = |number| {
            let start = BASE + number * ALIGNED;
            Area { is_executable: number == CODE, ..area(start, start + ALIGNED) }
        };
        let mut memory = Capture::of(&[(BASE, BASE + SIZE)]);
        memory.areas = (0..CHUNKS).map(chunk).chain([area(BASE + APART, BASE + SIZE)]).collect();
        let mut captured = Self { memory, shape };
        for number in 0..CHUNKS {
            captured.chunk(number);
        }
        captured.spaces();
        captured
    }

    /// The place of a word of a chunk.
    fn word_of(&self, number: u64, index: usize) -> u64 {
        let statistics = if self.shape.metadata.is_some() { APART } else { number * ALIGNED };
        statistics + index as u64 * 8 + if self.shape.metadata.is_some() { number * 256 } else { 0 }
    }

    fn chunk(&mut self, number: u64) {
        let shape = self.shape;
        if let Some(index) = shape.metadata {
            self.put(number * ALIGNED + index as u64 * 8, BASE + APART + number * 256);
        }
        for (index, word) in [
            (shape.own, BASE + number * ALIGNED),
            (shape.size, ALIGNED),
            (shape.heap, BASE + HEAP),
            (shape.owner, BASE + SPACES),
        ] {
            self.put(self.word_of(number, index), word);
        }
    }

    fn spaces(&mut self) {
        for (number, kind) in self.shape.kinds.iter().enumerate() {
            let at = SPACES + number as u64 * OF_ONE;
            self.put(HEAP + POINTERS + number as u64 * 8, BASE + at);
            self.begin(at, number, 0);
            match kind {
                Kind::New => {
                    for half in [at + 15 * 8, at + 50 * 8] {
                        self.begin(half, number, HALF);
                    }
                }
                Kind::Paged | Kind::Code if self.is_first(number) => {
                    self.put(at + 3 * 8, COMMITTED);
                    self.paged(at, [ALIGNED - 4096, CAPACITY, CAPACITY, ALLOCATED]);
                }
                Kind::Paged | Kind::Code => self.paged(at, [ALIGNED - 4096, 0, 0, 0]),
                Kind::LargeData if self.is_first(number) => {
                    self.put(at + 3 * 8, LARGE);
                    for (index, word) in [LARGE, 2, OBJECTS].into_iter().enumerate() {
                        self.put(at + (self.shape.large + index) as u64 * 8, word);
                    }
                }
                Kind::LargeData | Kind::LargeCode | Kind::ReadOnly => {}
            }
        }
    }

    /// What every space begins with, and each half of new space too.
    fn begin(&mut self, at: u64, number: usize, committed: u64) {
        // The upper half of the number's word is of nobody.
        let number = number as u64 | 0x4141_4141 << 32;
        for (index, word) in [0xfeed, BASE + HEAP, number, committed].into_iter().enumerate() {
            self.put(at + index as u64 * 8, word);
        }
    }

    fn paged(&mut self, at: u64, words: [u64; 4]) {
        for (index, word) in words.into_iter().enumerate() {
            self.put(at + (self.shape.capacity + index - 1) as u64 * 8, word);
        }
    }

    fn is_first(&self, number: usize) -> bool {
        let kind = self.shape.kinds[number];
        self.shape.kinds.iter().position(|other| *other == kind) == Some(number)
    }

    /// Where the first space of a kind is.
    fn space(&self, kind: Kind) -> u64 {
        let number = self.shape.kinds.iter().position(|other| *other == kind);
        SPACES + number.expect("every version has it") as u64 * OF_ONE
    }

    fn put(&mut self, at: u64, word: u64) {
        self.memory.put(BASE + at, word);
    }

    fn layout(&self) -> Heap {
        Heap { shape: self.shape, spaces: POINTERS }
    }

    fn read(&self, detail: Detail) -> Fact<HeapStatistics> {
        statistics::read(self.layout(), &Space::new(&self.memory, Bounds::COUNTERS), detail)
    }
}

fn booked(statistics: &HeapStatistics, account: Account) -> u64 {
    let parts = statistics.claims.iter().flat_map(|claim| &claim.parts);
    parts.filter(|part| part.account == account).map(|part| part.bytes).sum()
}

#[test]
fn every_shape_is_reported_apart_and_its_spaces_are_added_up() {
    for shape in SHAPES {
        let captured = Captured::new(shape);
        let found = spaces::find(&Space::new(&captured.memory, Bounds::RESOLVE));
        assert_eq!(found, Ok(captured.layout()));
        // Two of the chunks are in no space's heap statistics.
        let kept = 2 * ALIGNED;
        let old = ALLOCATED + OBJECTS;
        for (detail, most) in [(Detail::Counters, kept), (Detail::Pages, 0)] {
            let statistics = captured.read(detail).expect("sound");
            let free = CAPACITY - ALLOCATED + HALF + kept;
            assert_eq!(statistics.runtime.in_use, Some(old + HALF));
            assert_eq!(statistics.runtime.in_use_bounds, Some((old, old + HALF + most)));
            assert_eq!(statistics.runtime.free, Some(free));
            assert_eq!(booked(&statistics, Account::HeapInUse), old + HALF);
            assert_eq!(booked(&statistics, Account::AllocatorFree), free);
            let headers = COMMITTED - CAPACITY + LARGE - OBJECTS;
            assert_eq!(booked(&statistics, Account::AllocatorMetadata), headers);
            assert_eq!(booked(&statistics, Account::JitCode), ALIGNED);
        }
    }
}

#[test]
fn a_scheduled_look_reads_one_header_of_eight() {
    let captured = Captured::new(SHAPES[3]);
    let statistics = captured.read(Detail::Counters).expect("sound");
    assert!(
        statistics.runtime.evidence[0].starts_with("2 chunks"),
        "{:?}",
        statistics.runtime.evidence
    );
    let statistics = captured.read(Detail::Pages).expect("sound");
    assert!(
        statistics.runtime.evidence[0].starts_with("12 chunks"),
        "{:?}",
        statistics.runtime.evidence
    );
}

#[test]
fn spaces_that_break_a_rule_are_refused() {
    for shape in SHAPES {
        let sound = Captured::new(shape);
        let (paged, large) = (sound.space(Kind::Paged), sound.space(Kind::LargeData));
        let capacity = paged + shape.capacity as u64 * 8;
        for (place, word) in [
            (HEAP + POINTERS + 2 * 8, BASE + SIZE),
            (paged + 8, BASE),
            (paged + 2 * 8, 77),
            (paged + 3 * 8, CAPACITY - 1),
            (capacity - 8, 4096),
            (capacity, COMMITTED + 1),
            (capacity + 8, CAPACITY - 1),
            (capacity + 2 * 8, CAPACITY + 1),
            (large + 3 * 8, LARGE - 4096),
            (large + shape.large as u64 * 8 + 2 * 8, LARGE + 1),
            (sound.space(Kind::New) + 51 * 8, 0),
            (sound.space(Kind::New) + 50 * 8, 0),
        ] {
            let mut captured = Captured::new(shape);
            captured.put(place, word);
            let lack = captured.read(Detail::Counters).expect_err("a rule is broken");
            assert!(lack.kind != MissingKind::Absent, "{lack}");
            let found = spaces::find(&Space::new(&captured.memory, Bounds::RESOLVE));
            assert_eq!(found.map_err(|lack| lack.kind), Err(MissingKind::Absent), "{place:#x}");
        }
    }
}

#[test]
fn what_breaks_a_rule_is_no_chunk() {
    for shape in SHAPES {
        for (index, word) in [
            (shape.own, BASE + 8),
            (shape.size, ALIGNED + 1),
            (shape.size, 0),
            (shape.size, u64::MAX - 4095),
            (shape.heap, 0),
            (shape.owner, 7),
        ] {
            let mut captured = Captured::new(shape);
            captured.put(captured.word_of(0, index), word);
            let statistics = captured.read(Detail::Pages).expect("the other chunks are sound");
            let Some(free) = statistics.runtime.free else { panic!("{statistics:?}") };
            assert_eq!(free, CAPACITY - ALLOCATED + HALF + ALIGNED, "{index} {word:#x}");
        }
    }
}

#[test]
fn chunks_of_a_heap_that_has_ended_are_free_but_for_the_interval() {
    // Its memory is gone, or somebody else's.
    for ended in [0x10, BASE + APART + 0x7000] {
        for shape in SHAPES {
            let mut captured = Captured::new(shape);
            for number in 0..4 {
                captured.put(captured.word_of(number, shape.heap), ended);
            }
            let found = spaces::find(&Space::new(&captured.memory, Bounds::RESOLVE));
            assert_eq!(found, Ok(captured.layout()));
            let statistics = captured.read(Detail::Pages).expect("the other heap is sound");
            let old = ALLOCATED + OBJECTS;
            let kept = 2 * ALIGNED;
            assert_eq!(statistics.runtime.in_use, Some(old + HALF));
            assert_eq!(statistics.runtime.in_use_bounds, Some((old, old + HALF + kept)));
        }
    }
}

#[test]
fn a_process_without_chunks_is_refused_by_the_versions_that_are_known() {
    let mut captured = Captured::new(SHAPES[0]);
    let areas = captured.memory.areas;
    captured.memory = Capture::of(&[(BASE, BASE + SIZE)]);
    captured.memory.areas = areas;
    let lack = spaces::find(&Space::new(&captured.memory, Bounds::RESOLVE)).expect_err("nothing");
    assert!(lack.why.contains("node 22"), "{lack}");
    assert!(captured.read(Detail::Counters).is_err());
}

#[test]
fn more_readings_than_the_bounds_allow_are_refused() {
    let captured = Captured::new(SHAPES[0]);
    let space = Space::new(&captured.memory, Bounds { calls: 4, ..Bounds::COUNTERS });
    let lack = statistics::read(captured.layout(), &space, Detail::Counters).expect_err("too many");
    assert!(lack.why.contains("bound of readings"), "{lack}");
}

proptest! {
    #[test]
    fn memory_of_any_kind_is_answered_or_refused(
        which in 0..SHAPES.len(),
        words in prop::collection::vec((0u64..4, 0u64..96, any::<u64>()), 0..24),
        is_near in any::<bool>(),
    ) {
        let mut captured = Captured::new(SHAPES[which]);
        for (number, index, word) in words {
            let word = if is_near { BASE + word % SIZE } else { word };
            for start in [number * ALIGNED, APART + number * 256, HEAP, SPACES + number * OF_ONE] {
                captured.put(start + index * 8, word);
            }
        }
        for detail in [Detail::Counters, Detail::Pages] {
            if let Ok(statistics) = captured.read(detail) {
                prop_assert!(statistics.runtime.in_use.is_some());
            }
        }
        let _ = spaces::find(&Space::new(&captured.memory, Bounds::RESOLVE));
    }
}
