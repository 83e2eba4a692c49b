//! The probe over captured memory that keeps the rules, breaks them, or lies.

use std::fs::File;

use memgap_kernel::memory::{Bounds, Space};
use memgap_ledger::Fact;
use memgap_ledger::account::Account;
use memgap_ledger::claim::Extent;
use proptest::prelude::*;

use super::pools::HEADER;
use super::table::{self, Place, Sizes};
use super::{Variables, statistics, version};
use crate::captured::Capture;
use crate::elf::{Elf, Segment};
use crate::{Detail, HeapStatistics, Image, Mapped};

const BASE: u64 = 0x5500_0000;
/// Of the variables, which a segment of a page holds, and of one that counts.
const TABLE: u64 = 0x400;
const LEN: u64 = 0x408;
const COUNT: u64 = 0x440;
const LIST: u64 = 0x418;
/// Of the table, of two arenas that touch, and of the end.
const ENTRIES: u64 = 0x1000;
const ARENAS: u64 = 0x2000;
const SIZE: u64 = ARENAS + 2 * ARENA;

const ARENA: u64 = 256 << 10;
const POOL: u64 = 4 << 10;
const SIZES: Sizes = Sizes { arena: ARENA, pool: POOL };
/// Blocks of 64 bytes: 63 fit into a pool, and 16 bytes are left.
const BLOCK: u64 = 64;
const CLASS: u64 = 3;

/// A word of two half words, the lower one first.
fn halves(low: u64, high: u64) -> u64 {
    low | high << 32
}

/// Two arenas: of the first every pool is in use but one that is free, of the second
/// three, and the others were never carved. Ten blocks of each pool are in use.
struct Captured(Capture);

impl Captured {
    fn new() -> Self {
        let mut captured = Self(Capture::of(&[(BASE, BASE + SIZE)]));
        captured.put(TABLE, BASE + ENTRIES);
        captured.put(LEN, 16);
        captured.put(COUNT, 2);
        captured.put(LIST, BASE + ENTRIES + 48);
        captured.arena(0, 64, 1);
        captured.arena(1, 3, 61);
        for pool in (0..64).filter(|pool| *pool != 5).chain(64..67) {
            captured.pool(pool, 10);
        }
        captured
    }

    fn arena(&mut self, number: u64, carved: u64, free: u64) {
        let (entry, start) = (ENTRIES + number * 48, BASE + ARENAS + number * ARENA);
        self.put(entry, start);
        self.put(entry + 8, start + carved * POOL);
        self.put(entry + 16, halves(free, 64));
    }

    fn pool(&mut self, number: u64, blocks: u64) {
        let at = ARENAS + number * POOL;
        self.put(at, blocks);
        self.put(at + 8, BASE + at + 48 + blocks * BLOCK);
        self.put(at + 32, halves(0, CLASS));
        self.put(at + 40, halves(48 + (blocks + 1) * BLOCK, POOL - BLOCK));
    }

    fn put(&mut self, at: u64, word: u64) {
        self.0.put(BASE + at, word);
    }
}

fn read(captured: &Captured, detail: Detail) -> Fact<HeapStatistics> {
    let version = version::of_name(b"python3.9").expect("a version");
    let place = Place { table: BASE + TABLE, len: BASE + LEN };
    let variables = Variables { version, place, sizes: SIZES };
    statistics::read(&variables, 0, &Space::new(&captured.0, Bounds::COUNTERS), detail)
}

fn find(captured: &Captured) -> Fact<Place> {
    let segment =
        Segment { offset: 0, address: 0, file_size: 0, memory_size: 0x1000, writable: true };
    let (segments, sections) = (vec![segment], Vec::new());
    let elf = Elf { machine: 62, segments, sections, is_static: false };
    let file = File::open("/dev/null").expect("a file of nothing");
    let mapped = Mapped { path: "/usr/bin/python3.9".to_owned(), bias: BASE };
    let image = Image { file, elf: &elf, mapped };
    table::find(&image, SIZES, &Space::new(&captured.0, Bounds::RESOLVE))
}

fn part(statistics: &HeapStatistics, account: Account) -> u64 {
    let parts = statistics.claims.iter().flat_map(|claim| &claim.parts);
    parts.filter(|part| part.account == account).map(|part| part.bytes).sum()
}

#[test]
fn the_table_is_found_by_what_stands_around_it() {
    assert_eq!(find(&Captured::new()), Ok(Place { table: TABLE, len: LEN }));
    for (place, word) in [(LEN, 17), (COUNT, 3), (LIST, BASE + ENTRIES + 49), (TABLE, 16)] {
        let mut captured = Captured::new();
        captured.put(place, word);
        let lack = find(&captured).expect_err("nothing is there");
        assert!(lack.why.contains("no table of arenas"), "{place:#x}: {lack}");
    }
}

#[test]
fn the_lists_of_arenas_may_stand_elsewhere_with_their_number() {
    for (count, is_found) in [(0xc40, true), (0x80, false)] {
        let mut captured = Captured::new();
        captured.put(LIST, 0);
        captured.put(COUNT, 0);
        captured.put(0xc00, BASE + ENTRIES + 48);
        captured.put(count, 2);
        let found = find(&captured).ok();
        assert_eq!(found, is_found.then_some(Place { table: TABLE, len: LEN }), "{count:#x}");
    }
}

#[test]
fn every_byte_of_the_arenas_is_in_use_or_lost_or_free() {
    let statistics = read(&Captured::new(), Detail::Pages).expect("sound");
    let in_use = 66 * 10 * BLOCK;
    let lost = 66 * (HEADER as u64 + 16);
    assert_eq!((statistics.runtime.in_use, statistics.runtime.in_use_bounds), (Some(in_use), None));
    assert_eq!(part(&statistics, Account::HeapInUse), in_use);
    assert_eq!(part(&statistics, Account::AllocatorMetadata), lost);
    assert_eq!(part(&statistics, Account::AllocatorFree), 2 * ARENA - in_use - lost);
    let start = |pool| BASE + ARENAS + pool * POOL;
    let used = vec![(start(0), start(5)), (start(6), start(67))];
    assert_eq!(statistics.claims[0].extent, Extent::Ranges(used));
}

#[test]
fn a_scheduled_reading_touches_few_pools_and_always_the_same() {
    let captured = Captured::new();
    let statistics = read(&captured, Detail::Counters).expect("sound");
    // All are as full as one another here.
    assert_eq!(statistics.runtime.in_use, Some(66 * 10 * BLOCK));
    assert_eq!(part(&statistics, Account::AllocatorMetadata), 66 * HEADER as u64);
    let (low, high) = statistics.runtime.in_use_bounds.expect("most pools were not read");
    assert!(low < 66 * 10 * BLOCK && high > 66 * 10 * BLOCK, "{low} to {high}");
    let first = captured.0.readings.take();
    assert_eq!(read(&captured, Detail::Counters), Ok(statistics));
    assert_eq!(*captured.0.readings.borrow(), first);
    let pools = first.iter().filter(|at| **at >= BASE + ARENAS).count();
    assert!((8..=17).contains(&pools), "{pools} pools were read");
}

#[test]
fn pools_that_are_swapped_out_are_not_called_exact() {
    let mut captured = Captured::new();
    captured.0.cut(BASE + ARENAS + ARENA + POOL);
    let statistics = read(&captured, Detail::Pages).expect("sound");
    assert_eq!(statistics.runtime.in_use, Some(64 * 10 * BLOCK + 2 * POOL));
    let least = 64 * 10 * BLOCK;
    assert_eq!(statistics.runtime.in_use_bounds, Some((least, least + 2 * POOL)));
    assert!(statistics.runtime.evidence.iter().any(|e| e.contains("but 2 that are not in memory")));
}

#[test]
fn statistics_that_break_a_rule_are_refused_by_its_name() {
    let first = ENTRIES;
    for (place, word, rule) in [
        (LEN, 0, "no sound length"),
        (LEN, 1 << 20, "no sound length"),
        (TABLE, 0, "no sound length"),
        (TABLE, u64::MAX - 15, "out of the address space"),
        (first, BASE + ARENAS + 8, "do not add up"),
        (first, u64::MAX - 100, "leads out of memory"),
        (first + 8, BASE + ARENAS + 65 * POOL, "do not add up"),
        (first + 8, BASE + ARENAS - POOL, "do not add up"),
        (first + 16, halves(65, 64), "do not add up"),
        (first + 16, halves(1, 63), "do not add up"),
        (ENTRIES + 48 + 16, halves(60, 64), "do not add up"),
    ] {
        let mut captured = Captured::new();
        captured.put(place, word);
        let lack = read(&captured, Detail::Counters).expect_err(rule);
        assert!(lack.why.contains(rule) || lack.why.contains("nothing at"), "{rule}: {lack}");
    }
    let mut captured = Captured::new();
    captured.arena(1, 3, 61);
    captured.put(ENTRIES + 48, BASE + ARENAS);
    captured.put(ENTRIES + 48 + 8, BASE + ARENAS + 3 * POOL);
    let lack = read(&captured, Detail::Counters).expect_err("one arena twice");
    assert!(lack.why.contains("overlap"), "{lack}");
    for at in (0..96).step_by(8) {
        captured.put(ENTRIES + at, 0);
    }
    let lack = read(&captured, Detail::Counters).expect_err("no arena");
    assert!(lack.why.contains("holds no arena"), "{lack}");
}

#[test]
fn a_pool_that_breaks_its_rules_is_refused_or_left_out() {
    let at = ARENAS + 7 * POOL;
    for (place, word) in [
        (at, 64),
        (at + 8, BASE + at + 40),
        (at + 8, BASE + at + POOL),
        (at + 32, halves(0, 32)),
        (at + 40, halves(40, POOL - BLOCK)),
        (at + 40, halves(48, POOL)),
    ] {
        let mut captured = Captured::new();
        captured.put(place, word);
        let lack = read(&captured, Detail::Pages).expect_err("broken");
        assert!(lack.why.contains("breaks its rules"), "{lack}");
        let statistics = read(&captured, Detail::Counters).expect("by the others");
        assert_eq!(statistics.runtime.in_use, Some(66 * 10 * BLOCK));
    }
}

proptest! {
    #[test]
    fn memory_of_any_kind_is_answered_or_refused(
        words in prop::collection::vec((0..SIZE / 8 - 1, any::<u64>()), 0..64),
        entries in prop::collection::vec((0u64..12, any::<u64>()), 0..8),
        end in 0..SIZE,
    ) {
        let mut captured = Captured::new();
        for (at, word) in words {
            captured.put(at * 8, word);
        }
        for (at, word) in entries {
            captured.put(ENTRIES + at * 8, word);
        }
        captured.0.cut(BASE + end);
        let _ = find(&captured);
        for detail in [Detail::Counters, Detail::Pages] {
            if let Ok(statistics) = read(&captured, detail) {
                let parts = statistics.claims.iter().flat_map(|claim| &claim.parts);
                prop_assert!(parts.map(|part| part.bytes).sum::<u64>() <= 16 * ARENA);
            }
        }
    }
}
