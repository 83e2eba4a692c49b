//! The probe over captured segments, sound ones and others.

use std::fs::File;

use memgap_kernel::memory::{Area, Bounds, Space};
use memgap_ledger::account::Account;
use memgap_ledger::{Fact, MissingKind};
use proptest::prelude::*;

use super::segment::{ALIGNED, SLICE};
use super::shape::{Field, SHAPES, Shape};
use super::{Variables, find, statistics, version};
use crate::captured::{Capture, area};
use crate::elf::{Elf, Segment};
use crate::{Detail, HeapStatistics, Image, Mapped};

/// Where the segments are, and the variables of the library.
const BASE: u64 = ALIGNED * 9;
const HUGE: u64 = BASE + ALIGNED;
const HUGE_SLICES: u64 = 800;
const END: u64 = BASE + 3 * ALIGNED;
const VARIABLES: u64 = 0x5000_0000;
const COOKIE: u64 = 0x1238;
const SECRET: u64 = 0x0123_4567_89ab_cdef;
/// What of a segment, and of the variables, is captured.
const TABLE: u64 = 64 << 10;

/// How a page is freed by other threads: by its own list for ever, or because the owner
/// has not seen the first one yet.
const NEVER_DELAYED: u64 = 3;
const NOT_DELAYED: u64 = 2;

/// A segment with a page of 5 slices of which 3 blocks of 100,000 are in use, one page
/// where other threads freed some of 70 blocks, one of 9 where they did not, another one
/// of 9 where they did, and free slices; behind it a segment of one block.
struct Captured {
    memory: Capture,
    shape: Shape,
}

impl Captured {
    fn new(shape: Shape) -> Self {
        let part = |start| (start, start + TABLE);
        let mut memory = Capture::of(&[part(BASE), part(HUGE), part(VARIABLES)]);
        let variables = Area { is_anonymous: false, ..area(VARIABLES, VARIABLES + TABLE) };
        memory.areas = vec![variables, area(BASE - 4096, END)];
        let mut captured = Self { memory, shape };
        captured.memory.put(VARIABLES + COOKIE, SECRET);
        captured.segment(BASE, [512, 1, 0, 512]);
        captured.page(BASE, 0, 1, [0; 4]);
        captured.page(BASE, 1, 5, [3, 3, 100_000, 0]);
        captured.page(BASE, 6, 1, [70, 100, 640, 0xbee0]);
        captured.page(BASE, 7, 1, [9, 9, 512, NEVER_DELAYED]);
        captured.page(BASE, 8, 1, [9, 9, 256, NOT_DELAYED]);
        captured.page(BASE, 9, 503, [0; 4]);
        captured.segment(HUGE, [HUGE_SLICES, 1, 1, 512]);
        captured.page(HUGE, 0, 1, [0; 4]);
        captured.page(HUGE, 1, 511, [1, 1, (HUGE_SLICES - 1) * SLICE, 0]);
        captured
    }

    fn segment(&mut self, at: u64, words: [u64; 4]) {
        for (index, word) in words.into_iter().enumerate() {
            self.memory.put(at + (self.shape.slices + index) as u64 * 8, word);
        }
        self.memory.put(at + self.shape.cookie as u64 * 8, SECRET ^ at);
    }

    fn entry(&self, segment: u64, index: u64) -> u64 {
        segment + self.shape.table + index * self.shape.page.bytes as u64
    }

    /// A page with so many blocks in use, of so many, of that size.
    fn page(&mut self, segment: u64, index: u64, count: u64, words: [u64; 4]) {
        let [used, blocks, size, thread_free] = words;
        let at = self.entry(segment, index);
        let page = self.shape.page;
        // Fields of half a word and less share one with the next.
        let mut words = [0u64; 12];
        let mut set = |field, value: u64| {
            let (Field::Two(at) | Field::Four(at) | Field::Eight(at)) = field;
            words[at / 8] |= value << (at % 8 * 8);
        };
        set(Field::Four(0), count);
        set(Field::Two(10), blocks);
        set(Field::Two(12), blocks);
        set(page.used, used);
        set(page.block_size, size);
        set(Field::Eight(page.thread_free), thread_free);
        for (index, word) in words.into_iter().take(page.bytes / 8).enumerate() {
            self.memory.put(at + index as u64 * 8, word);
        }
    }

    fn read(&self, detail: Detail) -> Fact<HeapStatistics> {
        let variables = Variables { shape: self.shape, cookie: COOKIE };
        statistics::read(variables, VARIABLES, &Space::new(&self.memory, Bounds::COUNTERS), detail)
    }

    fn find(&self) -> Fact<Option<Variables>> {
        let segment =
            Segment { address: 0, offset: 0, file_size: TABLE, memory_size: TABLE, writable: true };
        let elf =
            Elf { machine: 62, segments: vec![segment], sections: Vec::new(), is_static: false };
        let file = File::open("/dev/null").expect("every system has it");
        let mapped = Mapped { path: "/usr/lib/libmimalloc.so.2.0".to_owned(), bias: VARIABLES };
        let image = Image { file, elf: &elf, mapped };
        find(&image, &Space::new(&self.memory, Bounds::RESOLVE))
    }
}

fn booked(statistics: &HeapStatistics, account: Account) -> u64 {
    let parts = statistics.claims.iter().flat_map(|claim| &claim.parts);
    parts.filter(|part| part.account == account).map(|part| part.bytes).sum()
}

const BLOCK: u64 = (HUGE_SLICES - 1) * SLICE;
const PERHAPS: u64 = 70 * 640 + 9 * 256;
const IN_USE: u64 = 3 * 100_000 + PERHAPS + 9 * 512 + BLOCK;

#[test]
fn pages_in_use_are_counted_and_the_rest_of_the_mapping_is_free() {
    for shape in SHAPES {
        let captured = Captured::new(shape);
        for detail in [Detail::Counters, Detail::Pages] {
            let statistics = captured.read(detail).expect("sound");
            assert_eq!(statistics.runtime.in_use, Some(IN_USE));
            assert_eq!(statistics.runtime.in_use_bounds, Some((IN_USE - PERHAPS, IN_USE)));
            let free = 511 * SLICE + BLOCK - IN_USE + END - HUGE - HUGE_SLICES * SLICE;
            assert_eq!(statistics.runtime.free, Some(free));
            assert_eq!(booked(&statistics, Account::HeapInUse), IN_USE);
            assert_eq!(booked(&statistics, Account::AllocatorFree), free);
            let own = booked(&statistics, Account::AllocatorMetadata);
            assert!((2 * 40_000..=2 * SLICE).contains(&own), "{own}");
        }
    }
}

#[test]
fn the_cookie_of_the_main_heap_tells_the_segments_and_their_version() {
    for (shape, other) in SHAPES.into_iter().zip(SHAPES.into_iter().cycle().skip(1)) {
        let captured = Captured::new(shape);
        assert_eq!(captured.find(), Ok(Some(Variables { shape, cookie: COOKIE })));
        let mut misread = captured;
        misread.shape = other;
        assert!(misread.read(Detail::Counters).is_err(), "{}", other.versions);
        let mut strange = Captured::new(shape);
        strange.memory.put(VARIABLES + COOKIE, SECRET + 1);
        assert_eq!(strange.find(), Ok(None));
        assert!(strange.read(Detail::Counters).is_err());
    }
}

#[test]
fn segments_that_break_a_rule_are_refused() {
    let spoilt: [fn(&mut Captured); 6] = [
        |captured| captured.page(BASE, 1, 100, [3, 3, 100_000, 0]),
        |captured| captured.page(BASE, 1, 0, [3, 3, 100_000, 0]),
        |captured| captured.page(BASE, 0, 2, [0; 4]),
        |captured| captured.page(BASE, 9, u64::from(u32::MAX), [0; 4]),
        |captured| captured.page(BASE, 1, 5, [4, 3, 8, 0]),
        |captured| captured.page(BASE, 1, 5, [4, 4, 100_000, 0]),
    ];
    for shape in SHAPES {
        for spoil in spoilt {
            let mut captured = Captured::new(shape);
            spoil(&mut captured);
            let lack = captured.read(Detail::Counters).expect_err("a rule is broken");
            assert_eq!(lack.kind, MissingKind::Malformed, "{lack}");
        }
    }
}

#[test]
fn the_files_name_tells_the_version() {
    for (path, reported) in [
        ("/usr/lib/libmimalloc.so.2.0", Some("2.0")),
        ("/opt/libmimalloc-secure.so.3", Some("3")),
        ("/usr/lib/libmimalloc.so", None),
        ("/usr/lib/libmimalloc.so.2.0 (deleted)", None),
    ] {
        assert_eq!(version(path).as_deref(), reported, "{path}");
    }
}

proptest! {
    #[test]
    fn memory_of_any_kind_is_answered_or_refused(
        which in 0..SHAPES.len(),
        words in prop::collection::vec((0usize..2, 0u64..120, any::<u64>()), 0..24),
        is_small in any::<bool>(),
    ) {
        let mut captured = Captured::new(SHAPES[which]);
        for (segment, index, word) in words {
            let word = if is_small { word % 600 } else { word };
            captured.memory.put([BASE, HUGE][segment] + index * 8, word);
        }
        for detail in [Detail::Counters, Detail::Pages] {
            if let Ok(statistics) = captured.read(detail) {
                prop_assert!(statistics.runtime.in_use.is_some());
            }
        }
        prop_assert!(captured.find().is_ok());
    }
}
