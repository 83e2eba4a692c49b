//! The probe over captured variables, sound ones and others.

use std::fs::File;
use std::sync::Arc;

use memgap_kernel::memory::{Bounds, Space};
use memgap_ledger::account::Account;
use memgap_ledger::{Fact, MissingKind};
use proptest::prelude::*;

use super::Tcmalloc;
use crate::captured::{Capture, area};
use crate::elf::{Elf, Segment};
use crate::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};

const VARIABLES: u64 = 0x5000_0000;
const SIZE: u64 = 256 << 10;
/// Places among the variables.
const PAGE_HEAP: u64 = VARIABLES + 0x1008;
const COUNTERS: u64 = PAGE_HEAP + 256 * 48;
const TABLE: u64 = VARIABLES + 0x8000;
const CENTRAL: u64 = VARIABLES + 0x1_0040;
const LIST: u64 = 1216;
const FIRST_THREAD: u64 = VARIABLES + 0x300;
/// Caches of threads, and a span that is on a list.
const HEAP: u64 = 0x7f00_0000_0000;
const CACHES: [u64; 3] = [HEAP + 0x40, HEAP + 0x1_1080, HEAP + 0x2_2000];
const SPAN: u64 = HEAP + 0x3_0000;

/// 8 bytes to 256 KiB, each twice as large as the one before.
const CLASSES: u64 = 16;
const SYSTEM: u64 = 64 << 20;
const FREE: u64 = 10 << 20;
const UNMAPPED: u64 = 3 << 20;
/// Free in the spans of class 5, of 128 bytes; in the transfer cache of class 8, of 1 KiB.
const IN_SPANS: u64 = 40 * 128;
const IN_TRANSFER: u64 = 3 * 32 * 1024;
const KEPT: [u64; 3] = [5000, 70_000, 0];
const IN_USE: u64 = SYSTEM - FREE - UNMAPPED - IN_SPANS - IN_TRANSFER - 75_000;

/// Variables as they were before 2.10, and since.
struct Captured {
    memory: Capture,
    links: u64,
}

fn size(class: u64) -> u64 {
    4 << class
}

impl Captured {
    fn new(is_old: bool) -> Self {
        let parts = [(VARIABLES, VARIABLES + SIZE), (HEAP, HEAP + SIZE)];
        let memory = Capture::of(&parts);
        let mut captured = Self { memory, links: if is_old { 4144 } else { 4128 } };
        captured.memory.areas[0].is_anonymous = false;
        captured.memory.areas[1] = area(HEAP, HEAP + SIZE);
        for list in 0..256 {
            captured.empty(PAGE_HEAP + list * 48);
        }
        captured.list(PAGE_HEAP + 7 * 48, SPAN);
        for (index, word) in [SYSTEM, FREE, UNMAPPED, SYSTEM - UNMAPPED].into_iter().enumerate() {
            captured.memory.put(COUNTERS + index as u64 * 8, word);
        }
        captured.table(is_old);
        for class in 0..=CLASSES {
            let at = CENTRAL + class * LIST;
            captured.memory.put(at + 8, class);
            captured.empty(at + 16);
            captured.empty(at + 64);
        }
        captured.class(5, 112, 2);
        captured.class(5, 120, 40);
        captured.class(8, 112, 20);
        captured.class(8, 1152, 3 | 16 << 32);
        captured.threads(is_old);
        captured
    }

    fn empty(&mut self, at: u64) {
        self.list(at, at);
    }

    fn list(&mut self, at: u64, first: u64) {
        self.memory.put(at + 16, first);
        self.memory.put(at + 24, first);
    }

    fn class(&mut self, class: u64, at: u64, word: u64) {
        self.memory.put(CENTRAL + class * LIST + at, word);
    }

    fn table(&mut self, is_old: bool) {
        let moved = |class: u64| if class == 0 { 0 } else { (65_536 / size(class)).clamp(2, 32) };
        let size = |class: u64| if class == 0 { 0 } else { size(class) };
        let known = |class: u64| class <= CLASSES;
        // Pairs of half words, the first of which stands in the middle of a word.
        for pair in 0..64 {
            for (from, of) in [(TABLE + 4, &moved as &dyn Fn(u64) -> u64), (TABLE + 516, &size)] {
                for class in [2 * pair, 2 * pair + 1].into_iter().filter(|class| known(*class)) {
                    self.half(from + class * 4, of(class));
                }
            }
        }
        for class in 1..=CLASSES {
            self.memory.put(TABLE + 1032 + class * 8, (size(class) / 8192).max(1));
        }
        let count = if is_old { 2056 } else { 2064 };
        self.memory.put(TABLE + count, CLASSES + 1);
    }

    fn half(&mut self, at: u64, value: u64) {
        let space = Space::new(&self.memory, Bounds::RESOLVE);
        let [word] = space.words::<1>(at & !7).expect("captured");
        let shift = at % 8 * 8;
        self.memory.put(at & !7, word & !(0xffff_ffff << shift) | value << shift);
    }

    fn threads(&mut self, is_old: bool) {
        self.memory.put(FIRST_THREAD, CACHES[1]);
        for (index, at) in CACHES.into_iter().enumerate() {
            for class in 1..=CLASSES {
                self.memory.put(at + class * 32 + 24, size(class));
            }
            self.memory.put(at + 4096, KEPT[index]);
            if is_old {
                self.memory.put(at + 4128, 0x7fff_0000_1740);
            }
            let next = CACHES.get(index + 1).copied().unwrap_or(0);
            let prev = index.checked_sub(1).map_or(0, |index| CACHES[index]);
            self.memory.put(at + self.links, next);
            self.memory.put(at + self.links + 8, prev);
        }
    }

    fn resolve(&self) -> Fact<Arc<dyn Layout>> {
        let segment =
            Segment { address: 0, offset: 0, file_size: SIZE, memory_size: SIZE, writable: true };
        let elf =
            Elf { machine: 62, segments: vec![segment], sections: Vec::new(), is_static: false };
        let file = File::open("/dev/null").expect("every system has it");
        let image = Image { file, elf: &elf, mapped: mapped() };
        Tcmalloc.resolve(&image, &Space::new(&self.memory, Bounds::RESOLVE))
    }

    fn read(&self, layout: &dyn Layout) -> Fact<HeapStatistics> {
        let space = Space::new(&self.memory, Bounds::COUNTERS);
        layout.read(&mapped(), &space, Detail::Counters)
    }
}

fn mapped() -> Mapped {
    Mapped { path: "/usr/lib/libtcmalloc_minimal.so.4".to_owned(), bias: VARIABLES }
}

fn layout() -> Arc<dyn Layout> {
    Captured::new(false).resolve().expect("sound")
}

#[test]
fn what_no_cache_keeps_is_in_use() {
    for is_old in [false, true] {
        let captured = Captured::new(is_old);
        let layout = captured.resolve().expect("it is found");
        let HeapStatistics { runtime, claims } = captured.read(&*layout).expect("sound");
        assert_eq!((runtime.in_use, runtime.in_use_bounds), (Some(IN_USE), None));
        assert_eq!((runtime.free, runtime.released), (Some(SYSTEM - IN_USE), Some(UNMAPPED)));
        assert!(runtime.evidence[0].contains("75000 in caches of threads (3)"), "{runtime:?}");
        let parts = claims[0].parts.iter().map(|part| (part.account, part.bytes));
        let free = SYSTEM - IN_USE - UNMAPPED;
        let expected = [(Account::HeapInUse, IN_USE), (Account::AllocatorFree, free)];
        assert_eq!(parts.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn variables_that_break_a_rule_are_not_taken_for_it() {
    let spoilt: [(&str, u64, u64); 12] = [
        ("page heap", PAGE_HEAP + 16, 0),
        ("page heap", PAGE_HEAP + 48, 1),
        ("page heap", COUNTERS, SYSTEM + 1),
        ("page heap", COUNTERS + 8, SYSTEM),
        ("page heap", COUNTERS + 24, SYSTEM),
        ("size table", TABLE + 1032 + 8, 0),
        ("size table", TABLE + 1032 + 8 * CLASSES, 1),
        ("size table", TABLE + 2064, CLASSES),
        ("lists of its size classes", CENTRAL + LIST + 8, 7),
        ("lists of its size classes", CENTRAL + 5 * LIST + 120, 1 << 20),
        ("lists of its size classes", CENTRAL + 8 * LIST + 1152, 65),
        ("cache of a thread", FIRST_THREAD, 0),
    ];
    for (what, at, word) in spoilt {
        let mut captured = Captured::new(false);
        captured.memory.put(at, word);
        let lack = captured.resolve().expect_err(what);
        assert!(lack.why.contains(what), "{what}: {lack}");
        // Nor by what was found elsewhere.
        let lack = captured.read(&*layout());
        let lack = if what == "page heap" && at < COUNTERS { continue } else { lack };
        assert_eq!(lack.expect_err(what).kind, MissingKind::Malformed);
    }
}

#[test]
fn lists_of_threads_that_lie_are_refused() {
    let layout = layout();
    for (at, word) in [
        // It keeps less than nothing; a link leads back to none, into nothing, to itself.
        (CACHES[0] + 4096, u64::from(u32::MAX)),
        (CACHES[0] + 4128, SPAN),
        (CACHES[2] + 4128, CACHES[0]),
        (CACHES[2] + 4128, u64::MAX - 4095),
        // It keeps more than there is.
        (COUNTERS + 16, 60 << 20),
    ] {
        let mut captured = Captured::new(false);
        captured.memory.put(at, word);
        assert!(captured.read(&*layout).is_err(), "{at:#x}");
        assert!(captured.memory.readings.borrow().len() < 100);
    }
}

#[test]
fn counters_that_change_in_every_reading_make_an_interval() {
    let layout = layout();
    let mut captured = Captured::new(false);
    captured.memory.churn = Some((CENTRAL + 5 * LIST + 120, 1));
    let runtime = captured.read(&*layout).expect("little is off").runtime;
    let (low, high) = runtime.in_use_bounds.expect("an interval");
    // Each reading finds less in use than the one before.
    let in_use = runtime.in_use.expect("an amount");
    assert!(in_use < IN_USE && low < in_use && in_use + 3 * 128 < high, "{low} to {high}");
    assert!(runtime.evidence[1].contains("changed its counters"));
}

proptest! {
    #[test]
    fn memory_of_any_kind_is_answered_or_refused(
        is_old in any::<bool>(),
        words in prop::collection::vec(
            (
                prop::sample::select(vec![COUNTERS, TABLE, TABLE + 1032, CENTRAL, CENTRAL + 5 * LIST,
                    FIRST_THREAD, CACHES[0] + 4096, CACHES[1] + 4096, CACHES[2] + 4096]),
                0u64..16,
                any::<u64>(),
            ),
            0..12,
        ),
        kind in 0u64..3,
    ) {
        let mut captured = Captured::new(is_old);
        let layout = captured.resolve().expect("sound");
        for (from, index, word) in words {
            let word = match kind {
                0 => word,
                1 => word % 4096,
                _ => HEAP + word % SIZE / 8 * 8,
            };
            captured.memory.put(from + index * 8, word);
        }
        if let Ok(statistics) = captured.read(&*layout) {
            prop_assert!(statistics.runtime.in_use.is_some_and(|bytes| bytes <= 1 << 47));
        }
        let _ = captured.resolve();
    }
}
