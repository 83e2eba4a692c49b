//! The probe over captured memory that keeps the rules, breaks them, or changes
//! while it is read.

use memgap_kernel::memory::{Bounds, Space};
use memgap_ledger::Fact;
use memgap_ledger::account::Account;
use memgap_ledger::claim::Extent;
use proptest::prelude::*;

use super::locate::{MAX_PAIRS, Places};
use super::shape::{RANGES, SHAPES};
use super::{Machine, Variables, calibrate, statistics};
use crate::Detail;
use crate::captured::Capture;

const BASE: u64 = 0x50_0000;
const MEMSTATS: u64 = 0x2000;
const PAGES: u64 = 0x4000;
const LIST: u64 = 0x2_0000;
const SIZE: u64 = 0x2_1000;
const HEAP: u64 = 0xc0_0000_0000;

/// A heap of 4 MiB: 2 MiB in use, 1 MiB free, 512 KiB given back, 448 KiB of stacks
/// and 64 KiB of work buffers.
struct Captured(Capture);

impl Captured {
    fn new() -> Self {
        let mut captured = Self(Capture::of(&[(BASE, BASE + SIZE)]));
        let [in_use, free, released, stacks, bufs] = [2048u64, 1024, 512, 448, 64].map(|k| k << 10);
        let shape = variables().shape;
        for (word, at) in [in_use, released, free, 9000, 1000].into_iter().zip(0..) {
            captured.put(shape.in_use + at * 8, word);
        }
        captured.put(0, 100);
        captured.put(8, u64::MAX >> 1);
        captured.put(16, 4 << 20);
        // What one slot has too much, another lacks.
        let delta = shape.delta;
        let sums = [in_use + free + stacks + bufs, released, in_use, stacks, bufs];
        for (sum, at) in sums.into_iter().zip(0..) {
            captured.put(MEMSTATS + at * 8, sum + 77);
            captured.put(MEMSTATS + delta + at * 8, 77u64.wrapping_neg());
        }
        for (word, at) in [BASE + LIST, 1, 16].into_iter().zip(0..) {
            captured.put(PAGES + RANGES + at * 8, word);
        }
        captured.put(LIST, HEAP);
        captured.put(LIST + 8, HEAP + (4 << 20));
        captured
    }

    fn put(&mut self, at: u64, word: u64) {
        self.0.put(BASE + at, word);
    }
}

fn variables() -> Variables {
    Variables {
        version: None,
        gc_controller: BASE,
        memstats: BASE + MEMSTATS,
        page_alloc: BASE + PAGES,
        shape: SHAPES[0],
        machine: Machine::Amd64,
    }
}

fn prove(captured: &Captured) -> Fact<()> {
    statistics::prove(&variables(), 0, &Space::new(&captured.0, Bounds::COUNTERS))
}

fn read(captured: &Captured, detail: Detail) -> Fact<crate::HeapStatistics> {
    statistics::read(&variables(), 0, &Space::new(&captured.0, Bounds::COUNTERS), detail)
}

#[test]
fn statistics_that_keep_every_rule_are_believed() {
    let captured = Captured::new();
    assert_eq!(prove(&captured), Ok(()));
    let statistics = read(&captured, Detail::Counters).expect("sound");
    assert_eq!(statistics.runtime.in_use, Some(2 << 20));
    assert_eq!(statistics.runtime.stacks, Some(448 << 10));
    let heap = &statistics.claims[0];
    assert_eq!(heap.extent, Extent::Ranges(vec![(HEAP, HEAP + (4 << 20))]));
    assert_eq!(heap.parts.iter().map(|p| p.bytes).sum::<u64>(), 4 << 20);
    let stack = heap.parts.iter().find(|p| p.account == Account::Stack);
    assert_eq!(stack.map(|p| p.bytes), Some(448 << 10));
}

#[test]
fn statistics_that_break_a_rule_are_refused_by_its_name() {
    let in_use = variables().shape.in_use;
    for (place, word, rule) in [
        (in_use, (2 << 20) + 1, "whole pages"),
        (in_use + 32, 9001, "more was freed than allocated"),
        (in_use + 16, 8192, "memstats do not agree"),
        (MEMSTATS + 24, 0, "memstats do not agree"),
        (LIST + 8, HEAP + (8 << 20), "not the sum of its ranges"),
        (LIST + 8, HEAP, "not in order"),
        (LIST + 8, 1 << 60, "beyond the address space"),
        (in_use, 8 << 20, "larger than its ranges"),
        (in_use + 8, 1 << 60, "larger than its ranges"),
        (PAGES + RANGES + 8, u64::MAX, "longer than its room"),
        (PAGES + RANGES, u64::MAX - 7, "out of the address space"),
    ] {
        let mut captured = Captured::new();
        captured.put(place, word);
        let lack = prove(&captured).expect_err(rule);
        assert!(lack.why.contains(rule) || lack.why.contains("nothing at"), "{rule}: {lack}");
    }
}

#[test]
fn an_unknown_version_is_found_by_agreement() {
    let captured = Captured::new();
    let space = Space::new(&captured.0, Bounds::COUNTERS);
    let known = variables().shape;
    let gc_misc_sys = BASE + MEMSTATS + known.after_deltas() + 32;
    let shapes = calibrate::shapes(BASE, known.own_pointer, gc_misc_sys, &space);
    let found = shapes.iter().find(|s| (s.in_use, s.delta) == (known.in_use, known.delta));
    let found = Variables { shape: *found.expect("among the candidates"), ..variables() };
    assert_eq!(statistics::prove(&found, 0, &space), Ok(()));
}

#[test]
fn of_millions_of_places_that_look_right_few_are_tried() {
    // A program may fill its variables with them.
    let own_pointer = variables().shape.own_pointer;
    let words = (0..4096u64).flat_map(|n| {
        let at = BASE + n * 40 + 24;
        [100, u64::MAX >> 1, 4 << 20, at.wrapping_sub(own_pointer), 0]
    });
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    let mut places = Places::default();
    places.scan(BASE, &bytes);
    let captured = Captured::new();
    let space = Space::new(&captured.0, Bounds::RESOLVE);
    let count = places.candidates(&space).count();
    assert!((MAX_PAIRS..=2 * MAX_PAIRS).contains(&count), "{count}");
}

#[test]
fn counters_that_change_in_every_reading_are_answered_without_those_that_are_torn() {
    let mut captured = Captured::new();
    captured.0.churn = Some((BASE + MEMSTATS + 16, 8192));
    let statistics = read(&captured, Detail::Counters).expect("single words are whole");
    assert_eq!((statistics.runtime.in_use, statistics.runtime.stacks), (Some(2 << 20), None));
    assert!(statistics.runtime.evidence.iter().any(|e| e.contains("changed memstats")));
    assert!(captured.0.readings.borrow().len() < 100);
}

#[test]
fn a_heap_whose_bitmaps_are_nowhere_is_refused_by_page_alone() {
    let captured = Captured::new();
    assert!(read(&captured, Detail::Pages).is_err());
    assert!(read(&captured, Detail::Counters).is_ok());
}

proptest! {
    #[test]
    fn memory_of_any_kind_is_answered_or_refused(
        words in prop::collection::vec((0..SIZE / 8 - 1, any::<u64>()), 0..64),
        churn in prop::option::of((0..SIZE, any::<u64>())),
        seed in prop::collection::vec((0u64..49, any::<u64>()), 0..8),
    ) {
        let mut captured = Captured::new();
        captured.0.churn = churn.map(|(at, step)| (BASE + at, step));
        for (at, word) in words {
            captured.put(at * 8, word);
        }
        for (at, word) in seed {
            captured.put(at * 8, word);
        }
        let _ = prove(&captured);
        for detail in [Detail::Counters, Detail::Pages] {
            let _ = read(&captured, detail);
        }
    }
}
