//! The probe over captured memory that keeps the rules, breaks them, or changes
//! while it is read.

use memgap_kernel::memory::{Bounds, Space};
use memgap_ledger::Fact;
use proptest::prelude::*;

use super::arena::BINS;
use super::locate::{MMAP_MAX, NEXT};
use super::statistics::Kept;
use super::{Malloc, Parameters, Shape, arena, sample, statistics};
use crate::captured::Capture;
use crate::{Detail, HeapStatistics};

/// The library's data, the main arena's heap, another arena's heap.
const DATA: u64 = 0x7f00_0000_0000;
const HEAP: u64 = 0x5500_0000_0000;
const OTHER: u64 = 0x7e00_0000_0000;
const SIZE: u64 = 0x2_1000;
const MAIN: u64 = DATA + 0x100;
const MP: u64 = DATA + 0x2000;
const SHAPE: Shape = Shape { bins: 112, system_mem: 112 + NEXT + 24 };
/// `sizeof (struct heap_info)` and where the other arena is.
const ARENA: u64 = OTHER + 48;
const PREVIOUS: u64 = 1;

/// 132 KiB in the main arena: 64 KiB in use, a free chunk of 4 KiB, a fast one of 32
/// bytes, the rest is its top. As much in the other one, of which all is its top.
struct Captured(Capture);

const FREE: u64 = HEAP + 0x8000;
const FAST: u64 = HEAP + 0xc000;
const TOP: u64 = HEAP + 0x1_1000;
const OTHER_TOP: u64 = OTHER + 0x1000;
const UNSORTED: usize = 0;

impl Captured {
    fn new() -> Self {
        let parts = [HEAP, OTHER, DATA].map(|start| (start, start + SIZE));
        let mut captured = Self(Capture::of(&parts));
        for (arena, top, next) in [(MAIN, TOP, ARENA), (ARENA, OTHER_TOP, MAIN)] {
            captured.put(arena + SHAPE.bins - 16, top);
            for bin in 0..BINS {
                captured.link(arena, bin, head(arena, bin));
            }
            captured.put(arena + SHAPE.bins + NEXT, next);
            captured.put(arena + SHAPE.bins + NEXT + 16, 1);
            captured.put(arena + SHAPE.system_mem, SIZE);
            captured.put(arena + SHAPE.system_mem + 8, SIZE);
        }
        captured.put(OTHER, ARENA);
        captured.put(OTHER + 16, SIZE);
        for (at, word) in [(4, 0), (8, HEAP)] {
            captured.put(MP + at * 8, word);
        }
        // From the first chunk to the top: used, free, used, fast, used.
        let chunks = [
            (HEAP, 0x8000 | PREVIOUS),
            (FREE, 0x1000 | PREVIOUS),
            (FREE + 0x1000, FAST - FREE - 0x1000),
            (FAST, 32 | PREVIOUS),
            (FAST + 32, (TOP - FAST - 32) | PREVIOUS),
            (TOP, (HEAP + SIZE - TOP) | PREVIOUS),
            (OTHER_TOP, (OTHER + SIZE - OTHER_TOP) | PREVIOUS),
            (first_of_other(), (OTHER_TOP - first_of_other()) | PREVIOUS),
        ];
        for (chunk, word) in chunks {
            captured.put(chunk + 8, word);
        }
        captured.put(FREE + 0x1000, 0x1000);
        captured.link(MAIN, UNSORTED, FREE);
        captured.put(FREE + 16, head(MAIN, UNSORTED));
        captured.put(FREE + 24, head(MAIN, UNSORTED));
        captured.put(MAIN + SHAPE.bins - 96, FAST);
        captured.put(FAST + 16, (FAST + 16) >> 12);
        captured
    }

    fn link(&mut self, arena: u64, bin: usize, to: u64) {
        self.put(head(arena, bin) + 16, to);
        self.put(head(arena, bin) + 24, to);
    }

    fn put(&mut self, address: u64, word: u64) {
        self.0.put(address, word);
    }
}

fn head(arena: u64, bin: usize) -> u64 {
    arena + SHAPE.bins + bin as u64 * 16 - 16
}

fn first_of_other() -> u64 {
    (ARENA + SHAPE.system_mem + 16).next_multiple_of(16)
}

fn malloc() -> Malloc {
    let parameters = Parameters { mappings: MP, mapped: MP + 24, sbrk_base: MP + 64 };
    Malloc { version: None, main_arena: MAIN, shape: SHAPE, parameters }
}

fn read(captured: &Captured, detail: Detail) -> Fact<HeapStatistics> {
    let bounds = match detail {
        Detail::Counters => Bounds::COUNTERS,
        Detail::Pages => Bounds::PAGES,
    };
    statistics::read(&malloc(), 0, &Space::new(&captured.0, bounds), detail, &mut Kept::default())
}

/// What is in use, and its bounds where there are some.
fn in_use(captured: &Captured, detail: Detail) -> (u64, Option<(u64, u64)>) {
    let statistics = read(captured, detail).expect("sound");
    (statistics.runtime.in_use.expect("told"), statistics.runtime.in_use_bounds)
}

const IN_USE: u64 = (TOP - HEAP) - 0x1000 - 32 + (OTHER_TOP - OTHER);

#[test]
fn statistics_that_keep_every_rule_are_exact_by_lists_and_by_chunks() {
    let captured = Captured::new();
    for detail in [Detail::Counters, Detail::Pages] {
        assert_eq!(in_use(&captured, detail), (IN_USE, None), "{detail:?}");
        let statistics = read(&captured, detail).expect("sound");
        assert_eq!(statistics.runtime.free, Some(2 * SIZE - IN_USE), "{detail:?}");
        let claimed = statistics.claims.iter().flat_map(|c| &c.parts).map(|p| p.bytes).sum::<u64>();
        assert_eq!(claimed, 2 * SIZE, "{detail:?}");
    }
}

#[test]
fn free_chunks_are_not_read_again_while_the_arenas_stay_as_they_are() {
    let mut captured = Captured::new();
    let mut kept = Kept::default();
    let again = |captured: &Captured, kept: &mut Kept| {
        let space = Space::new(&captured.0, Bounds::COUNTERS);
        statistics::read(&malloc(), 0, &space, Detail::Counters, kept).expect("sound")
    };
    let first = again(&captured, &mut kept);
    // A list that leads in a circle.
    captured.put(FREE + 16, FREE);
    assert_eq!(again(&captured, &mut kept), first);
    assert_ne!(again(&captured, &mut Kept::default()), first);
    // The fast chunk was taken.
    captured.put(MAIN + SHAPE.bins - 96, 0);
    assert_ne!(again(&captured, &mut kept), first);
}

#[test]
fn arenas_that_can_not_be_are_refused_by_the_rule_they_break() {
    for (place, word, rule) in [
        (MAIN + SHAPE.system_mem, 1 << 63, "more than it ever did"),
        (MAIN + SHAPE.bins - 16, TOP + 8, "no chunk"),
        (TOP + 8, SIZE + 16, "larger than the arena"),
        (OTHER, MAIN, "not its system_mem"),
        (OTHER + 8, OTHER, "not its system_mem"),
        (ARENA + SHAPE.bins + NEXT, ARENA, "does not lead back"),
        (MP + 24, 4096, "does not agree with their size"),
        (MP + 64, HEAP + 4096, "neither where the break began nor its usual limits"),
    ] {
        let mut captured = Captured::new();
        captured.put(place, word);
        for detail in [Detail::Counters, Detail::Pages] {
            let lack = read(&captured, detail).expect_err(rule);
            assert!(lack.why.contains(rule), "{rule}: {lack}");
        }
        assert!(
            captured.0.readings.borrow().len() < 100_000,
            "{}",
            captured.0.readings.borrow().len()
        );
    }
}

#[test]
fn lists_that_can_not_be_leave_an_interval_that_holds_the_truth() {
    for (place, word) in [
        // In a circle, out of the arena, not of the arena's size, not linked back.
        (FAST + 16, FAST ^ ((FAST + 16) >> 12)),
        (FREE + 16, FREE),
        (FREE + 16, DATA),
        (head(MAIN, UNSORTED) + 16, 0x10),
        (FREE + 8, u64::MAX),
        (FREE + 24, HEAP),
    ] {
        let mut captured = Captured::new();
        captured.put(place, word);
        let (_, bounds) = in_use(&captured, Detail::Counters);
        let (low, high) = bounds.expect("not exact");
        assert!((low..=high).contains(&IN_USE), "{place:#x}: {low} {high}");
    }
}

#[test]
fn what_changes_in_every_reading_is_not_exact() {
    // The size of the top grows and shrinks with the arena.
    let mut captured = Captured::new();
    captured.0.churn = Some((MAIN + SHAPE.system_mem, 16));
    for detail in [Detail::Counters, Detail::Pages] {
        match read(&captured, detail) {
            Ok(statistics) => assert!(statistics.runtime.in_use_bounds.is_some(), "{detail:?}"),
            Err(lack) => assert!(lack.why.contains("than it ever did"), "{lack}"),
        }
        assert!(captured.0.readings.borrow().len() < 1000);
    }
}

#[test]
fn an_arena_that_was_never_used_is_in_use_by_nothing() {
    let mut captured = Captured::new();
    let length = SHAPE.bins + NEXT;
    for at in (0..length).step_by(8) {
        captured.put(MAIN + at, 0);
    }
    captured.put(MAIN + SHAPE.bins + NEXT, MAIN);
    for at in [0, 8] {
        captured.put(MAIN + SHAPE.system_mem + at, 0);
    }
    captured.put(MP, u64::from(MMAP_MAX) << 32);
    let statistics = read(&captured, Detail::Counters).expect("sound");
    assert_eq!((statistics.runtime.in_use, statistics.claims.len()), (Some(0), 0));
}

proptest! {
    #[test]
    fn memory_of_any_kind_is_answered_or_refused(
        words in prop::collection::vec((0..3usize, 0..SIZE / 8, any::<u64>()), 0..32),
        links in prop::collection::vec((0..BINS, 0..SIZE / 16), 0..8),
        sizes in prop::collection::vec((0..SIZE / 16, 0u64..0x1_0000), 0..32),
        churn in prop::option::of((0..SIZE / 8, any::<u64>())),
    ) {
        let mut captured = Captured::new();
        captured.0.churn = churn.map(|(at, step)| (HEAP + at * 8, step));
        for (part, at, word) in words {
            captured.put([HEAP, OTHER, DATA][part] + at * 8, word);
        }
        for (bin, at) in links {
            captured.link(MAIN, bin, HEAP + at * 16);
        }
        for (at, size) in sizes {
            captured.put(HEAP + at * 16 + 8, size);
        }
        for detail in [Detail::Counters, Detail::Pages] {
            let _ = read(&captured, detail);
        }
    }
}

/// The main arena's heap in chunks of these sizes, in units of 16 bytes, that are free or
/// hold the words; and how much of it is free.
fn heap_of(chunks: &[(u64, bool)], words: &[u64]) -> (Captured, u64) {
    let mut captured = Captured::new();
    for at in (HEAP..TOP).step_by(8) {
        // In no order: blocks that repeat the header of one every so often are taken for many.
        let scattered = (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        captured.put(at, words[scattered % words.len()]);
    }
    let (mut at, mut before, mut free) = (HEAP, 0, 0);
    let mut all = chunks.iter().cycle();
    while at < TOP {
        let (units, is_free) = *all.next().expect("a cycle");
        let size = if TOP - at < units * 16 + 32 { TOP - at } else { units * 16 };
        if before > 0 {
            captured.put(at, before);
        }
        captured.put(at + 8, size | if before > 0 { 0 } else { PREVIOUS });
        before = if is_free { size } else { 0 };
        free += before;
        at += size;
    }
    captured.put(TOP, before);
    captured.put(TOP + 8, (HEAP + SIZE - TOP) | if before > 0 { 0 } else { PREVIOUS });
    (captured, free)
}

proptest! {
    #[test]
    fn pages_show_what_is_free_whatever_blocks_hold(
        chunks in prop::collection::vec((2u64..128, any::<bool>()), 40..80),
        // Small numbers may be sizes: one word of 40 is one.
        words in prop::collection::vec(
            prop_oneof![20 => Just(0), 10 => HEAP..TOP, 9 => any::<u64>(), 1 => 0u64..512],
            200..300,
        ),
    ) {
        let (captured, free) = heap_of(&chunks, &words);
        let space = Space::new(&captured.0, Bounds::COUNTERS);
        let arenas = arena::all(MAIN, SHAPE, HEAP, &space).expect("sound");
        let resident = [(HEAP, HEAP + SIZE)];
        let judged = sample::Judged { arena: &arenas[0], resident: &resident, known: &[] };
        let measure = &sample::measure(&[judged], 1000, &space)[0];
        let reported = measure.free_of(TOP - HEAP);
        prop_assert!(reported.abs_diff(free) <= (TOP - HEAP) / 10, "{reported} {free} {measure:?}");
    }
}
