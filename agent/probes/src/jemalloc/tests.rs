//! The probe over captured memory that keeps the rules, breaks them, or changes
//! while it is read.

use memgap_kernel::memory::{Bounds, Space};
use memgap_ledger::Fact;
use memgap_ledger::account::Account;
use memgap_ledger::claim::{Claim, Extent};
use proptest::prelude::*;

use super::size::Quantum;
use super::{Variables, shape, statistics};
use crate::captured::{Capture, area};
use crate::{Detail, HeapStatistics};

const BASE: u64 = 0x50_0000;
const SIZE: u64 = 0x4_0000;
/// Places in the capture: the array of arenas is at its begin.
const BIN_INFOS: u64 = 0x9000;
const ARENA: u64 = 0x1_0000;
const ARENA_BASE: u64 = 0x2_8000;
const BLOCK: u64 = 0x3_0000;
const EDATA: u64 = BLOCK + 0x1000;
/// In an `edata_t` of 5.3.0: the next one in a list of free pages.
const LINK: u64 = 64;
/// What it gives out: mapped, and never read.
const HEAP: u64 = 0x7f00_0000_0000;
const PAGE: u64 = 4096;

/// Places of 5.3.0.
const NACTIVE: u64 = ARENA + 10656;
const NPAGES: [u64; 3] = [ARENA + 20480, ARENA + 39920, ARENA + 59360];
const LARGE: u64 = ARENA + 976;
const BIN: u64 = ARENA + 78952 + 112;

/// An arena with a full slab of 512 pieces of 8 bytes, two pieces of 16 KiB, and 4
/// dirty, 8 muzzy and 16 retained pages.
struct Captured(Capture);

impl Captured {
    fn new() -> Self {
        let parts = [(BASE, BASE + SIZE), (HEAP, HEAP + 21 * PAGE)];
        let mut captured = Self(Capture::of(&parts));
        captured.0.areas = vec![area(BASE, BASE + SIZE), area(HEAP, HEAP + (1 << 20))];
        captured.put(0, BASE + ARENA);
        for (size, at) in small_sizes().into_iter().zip((BIN_INFOS..).step_by(40)) {
            let regions =
                (1..=PAGE).find(|count| size * count % PAGE == 0).expect("of powers of two");
            captured.put(at, size);
            captured.put(at + 8, size * regions);
            captured.put(at + 16, regions | 1 << 32);
        }
        for ((at, state), pages) in NPAGES.into_iter().zip(1..).zip([4, 8, 16]) {
            captured.put(at, pages);
            captured.put(at + 8, state);
            captured.put(at + 9656 + 8, state);
        }
        captured.put(NACTIVE, 11);
        captured.put(ARENA + 78936, BASE + ARENA_BASE);
        captured.put(ARENA_BASE + 160, BASE + BLOCK);
        captured.put(ARENA_BASE + 3880, 7777);
        captured.put(BLOCK, 0x1_0000);
        for (word, at) in [600, 88, 0, 512].into_iter().zip((BIN..).step_by(8)) {
            captured.put(at, word);
        }
        captured.put(LARGE, 3);
        captured.put(LARGE + 8, 1);
        let large = 36 << 20;
        for (number, (bits, pages)) in [
            (1 << 12, 1),
            (large, 5),
            (large, 5),
            (1 << 17, 4),
            (2 << 17, 8),
            (3 << 17, 10),
            (3 << 17, 6),
        ]
        .into_iter()
        .enumerate()
        {
            let (at, before) = (edata(number as u64), [0, 1, 6, 11, 15, 23, 33][number]);
            captured.put(at, bits);
            captured.put(at + 8, HEAP + before * PAGE);
            captured.put(at + 16, pages * PAGE);
        }
        // The lists of muzzy and retained extents: rings.
        for (head, ring) in [(NPAGES[1] - 8, vec![4]), (NPAGES[2] - 8, vec![6, 5])] {
            captured.put(head, BASE + edata(ring[0]));
            for (at, next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                captured.put(edata(*at) + LINK, BASE + edata(*next));
            }
        }
        captured
    }

    fn without_statistics() -> Self {
        let mut captured = Self::new();
        for at in [BIN, BIN + 8, BIN + 24, LARGE, LARGE + 8] {
            captured.put(at, 0);
        }
        captured
    }

    fn put(&mut self, at: u64, word: u64) {
        self.0.put(BASE + at, word);
    }

    fn read(&self, detail: Detail) -> Fact<HeapStatistics> {
        statistics::read(&variables(), 0, &Space::new(&self.0, Bounds::COUNTERS), detail)
    }
}

/// The place of an extent's description.
fn edata(number: u64) -> u64 {
    EDATA + 128 * number
}

fn absent(statistics: &HeapStatistics) -> Vec<(u64, u64)> {
    let ranges = |claim: &Claim| match &claim.extent {
        Extent::Absent(ranges) => Some(ranges.clone()),
        _ => None,
    };
    statistics.claims.iter().find_map(ranges).unwrap_or_default()
}

fn small_sizes() -> Vec<u64> {
    let groups = (0..7).flat_map(|group| (5..=8).map(move |step| (step * 16) << group));
    [8, 16, 32, 48, 64].into_iter().chain(groups).chain([10 << 10, 12 << 10, 14 << 10]).collect()
}

fn variables() -> Variables {
    Variables {
        version: "5.3.0".to_owned(),
        variable: None,
        arenas: BASE,
        bin_infos: BASE + BIN_INFOS,
        quantum: Quantum::Sixteen,
        shape: shape::of("5.3.0").expect("known"),
    }
}

#[test]
fn statistics_that_keep_every_rule_are_believed() {
    for (captured, detail) in [
        (Captured::new(), Detail::Counters),
        (Captured::new(), Detail::Pages),
        (Captured::without_statistics(), Detail::Counters),
    ] {
        let HeapStatistics { runtime, claims } = captured.read(detail).expect("sound");
        assert_eq!(runtime.in_use, Some(9 * PAGE), "{runtime:?}");
        assert_eq!((runtime.free, runtime.released), (Some(30 * PAGE), Some(24 * PAGE)));
        assert_eq!((runtime.lazily_freed, runtime.trimmable), (Some(8 * PAGE), Some(4 * PAGE)));
        assert_eq!(claims[0].extent, Extent::Ranges(vec![(BASE + BLOCK, BASE + BLOCK + 0x1_0000)]));
        let mut parts = claims.iter().flat_map(|claim| &claim.parts);
        let in_use = parts.find(|p| p.account == Account::HeapInUse);
        assert_eq!(in_use.map(|p| p.bytes), Some(9 * PAGE));
    }
    let statistics = Captured::new().read(Detail::Pages).expect("sound");
    assert_eq!(statistics.claims[1].extent, Extent::Ranges(vec![(HEAP, HEAP + 11 * PAGE)]));
    // Of eight muzzy pages two are gone.
    assert_eq!(statistics.runtime.lazily_freed_resident, Some(6 * PAGE));
}

#[test]
fn what_was_given_back_and_is_not_in_memory_has_addresses() {
    // Sixteen retained pages, and two that are gone of those that are muzzy.
    let found = absent(&Captured::new().read(Detail::Counters).expect("sound"));
    assert_eq!(found, [(HEAP + 23 * PAGE, HEAP + 39 * PAGE), (HEAP + 21 * PAGE, HEAP + 23 * PAGE)]);
    // What a huge page brought in is free.
    let mut captured = Captured::new();
    captured.put(edata(5) + 8, HEAP + 13 * PAGE);
    let statistics = captured.read(Detail::Counters).expect("sound");
    let brought_in = Extent::Ranges(vec![(HEAP + 13 * PAGE, HEAP + 21 * PAGE)]);
    let claim = statistics.claims.iter().find(|claim| claim.extent == brought_in);
    assert_eq!(claim.expect("claimed").parts[0].account, Account::AllocatorFree);
}

#[test]
fn a_list_of_what_was_given_back_is_followed_as_far_as_it_is_one() {
    let all = 18;
    for (place, word, pages) in [
        (NPAGES[2], 0, 2),
        (NPAGES[2] - 8, 0, 2),
        (NPAGES[2] - 8, HEAP + (2 << 20), 2),
        // Of another state; of another arena; of no size; of more than is mapped.
        (edata(6), 2 << 17, 2),
        (edata(5), 3 << 17 | 1, 8),
        (edata(5) + 16, 0, 8),
        (edata(5) + 16, 1 << 46, 8),
        (edata(5) + 8, u64::MAX, 8),
        // A ring that does not come back to its first.
        (edata(5) + LINK, BASE + edata(5), all),
        (edata(5) + LINK, 0, all),
    ] {
        let mut captured = Captured::new();
        captured.put(place, word);
        let statistics = captured.read(Detail::Counters).expect("its counters are sound");
        let size: u64 = absent(&statistics).iter().map(|(start, end)| end - start).sum();
        assert_eq!(size, pages * PAGE, "{place:#x} {word:#x}");
        assert!(captured.0.readings.borrow().len() < 5000);
    }
}

#[test]
fn statistics_that_break_a_rule_are_refused_by_its_name() {
    for (place, word, rule) in [
        (0, 0, "it has no arena"),
        (8, BASE + ARENA, "an arena's base is another one's"),
        (0, HEAP, "nothing at"),
        (NPAGES[1] + 8, 3, "not of its state"),
        (NPAGES[1], 1 << 63, "more is counted than fits"),
        (NACTIVE, u64::MAX, "more is counted than fits"),
        (NACTIVE, 1, "more is given out than is in active pages"),
        (LARGE + 8, 4, "more large pieces were returned"),
        (LARGE, 1 << 63, "more is counted than fits"),
        (BIN + 8, 601, "more regions were returned"),
        (BIN + 24, 1 << 61, "more is counted than fits"),
        (BIN + 24, 1, "not those that were given out"),
        (BIN_INFOS, 7, "does not fill its slabs"),
        (BIN_INFOS + 16, 512, "does not fill its slabs"),
        (BIN_INFOS + 16, 512 | u64::from(u32::MAX) << 32, "does not fill its slabs"),
        (ARENA_BASE + 160, 0, "base has no block"),
        (BLOCK + 8, BASE + BLOCK, "list of blocks does not end"),
        (BLOCK, 0, "block has no size"),
        (BLOCK, u64::MAX - 4095, "block has no size"),
    ] {
        let mut captured = Captured::new();
        captured.put(place, word);
        let lack = captured.read(Detail::Counters).expect_err(rule);
        assert!(lack.why.contains(rule), "{rule}: {lack}");
        assert!(captured.0.readings.borrow().len() < 200, "{rule}");
    }
}

#[test]
fn extents_that_lie_are_not_believed_and_the_counters_are() {
    for (place, word) in [
        // Two that overlap; one of no class; one that is not mapped; one too many.
        (EDATA + 128 + 8, HEAP),
        (EDATA + 128, 255 << 20),
        (EDATA + 8, HEAP + (2 << 20)),
        (EDATA + 16, 1 << 63),
        (EDATA + 256, 36 << 20 | 1 << 12),
        (EDATA, 1 << 12 | 1023 << 28),
    ] {
        let mut captured = Captured::new();
        captured.put(place, word);
        let statistics = captured.read(Detail::Pages).expect("its counters are sound");
        assert_eq!(statistics.runtime.in_use, Some(9 * PAGE));
        assert_eq!(statistics.claims[1].extent, Extent::Anywhere, "{place:#x}");
        assert_eq!(statistics.runtime.lazily_freed_resident, None);
        let mut captured = Captured::without_statistics();
        captured.put(place, word);
        let runtime = captured.read(Detail::Counters).expect("its counters are sound").runtime;
        assert_eq!((runtime.in_use, runtime.free), (None, None), "{place:#x}");
        assert!(runtime.evidence.iter().any(|e| e.contains("allocated at most")));
    }
}

#[test]
fn counters_that_change_in_every_reading_are_reported_with_what_may_be_off() {
    let churn = |step| {
        let mut captured = Captured::new();
        captured.0.churn = Some((BASE + BIN, step));
        captured
    };
    let runtime = churn(1).read(Detail::Counters).expect("little is off").runtime;
    assert!(runtime.evidence.iter().any(|e| e.contains("may be off")), "{runtime:?}");
    let lack = churn(1000).read(Detail::Counters).expect_err("much is off");
    assert!(lack.why.contains("not those that were given out"), "{lack}");
}

#[test]
fn an_array_full_of_arenas_is_bounded() {
    let mut captured = Captured::new();
    for number in 0..4096 {
        captured.put(number * 8, BASE + ARENA);
    }
    assert!(captured.read(Detail::Pages).is_err());
    assert!(captured.0.readings.borrow().len() < 200);
}

proptest! {
    #[test]
    fn memory_of_any_kind_is_answered_or_refused(
        words in prop::collection::vec((0..SIZE / 8, any::<u64>()), 0..64),
        near in prop::collection::vec((0u64..16, prop::sample::select(
            vec![NACTIVE, NPAGES[0], LARGE, BIN, BIN_INFOS, BLOCK, EDATA, ARENA_BASE],
        ), any::<u64>()), 0..8),
        churn in prop::option::of((0..SIZE, any::<u64>())),
    ) {
        let mut captured = Captured::new();
        captured.0.churn = churn.map(|(at, step)| (BASE + at, step));
        for (at, word) in words {
            captured.put(at * 8, word);
        }
        for (at, place, word) in near {
            captured.put(place + at * 8, word);
        }
        for detail in [Detail::Counters, Detail::Pages] {
            let _ = captured.read(detail);
        }
    }
}
