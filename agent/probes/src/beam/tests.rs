//! The probe over captured allocators, sound ones and others.

use memgap_kernel::memory::{Bounds, Space};
use memgap_ledger::account::Account;
use memgap_ledger::{Fact, MissingKind};
use proptest::prelude::*;

use super::Variables;
use crate::captured::Capture;
use crate::{Detail, HeapStatistics, Layout, Mapped};

const TABLES: u64 = 0x5000_0000;
const THREADS: u64 = 0x400;
const PLACES: u64 = TABLES + 0x800;
const HEAP: u64 = 0x7f00_0000_0000;
const SIZE: u64 = 0x8000;
const EHEAP: u64 = 6;
const LITERAL: u64 = 9;
const LAYOUT: Variables = Variables { shared: 0, threads: THREADS };

/// Two allocators of threads, and one that all share.
const AT: [u64; 3] = [HEAP, HEAP + 0x1000, HEAP + 0x2000];

fn captured() -> Capture {
    let mut memory = Capture::of(&[(TABLES, TABLES + 0x1000), (HEAP, HEAP + SIZE)]);
    for kind in [EHEAP, LITERAL] {
        memory.put(TABLES + kind * 24, 1 | 1 << 32);
        memory.put(TABLES + kind * 24 + 16, AT[2]);
    }
    memory.put(TABLES + THREADS + EHEAP * 24, 1);
    memory.put(TABLES + THREADS + EHEAP * 24 + 8, EHEAP | 2 << 32);
    memory.put(TABLES + THREADS + EHEAP * 24 + 16, PLACES);
    for (number, kind) in [(0, EHEAP), (1, EHEAP), (2, LITERAL)] {
        let at = AT[number];
        memory.put(PLACES + number as u64 * 8, at);
        memory.put(at + 16 * 8, kind | 4 << 32);
        memory.put(at + 17 * 8, if kind == EHEAP { number as u64 } else { 0 });
    }
    // A single block of 900 of 1000; many of 3500 in 4000, 1000 of them malloc's; 200 of 800 pooled.
    carriers(&mut memory, AT[0] + 136 * 8, [1, 1000, 0, 0], 900);
    carriers(&mut memory, AT[1] + 218 * 8, [2, 3000, 1, 1000], 3500);
    memory.put(AT[1] + 61 * 8, 200);
    memory.put(AT[1] + 81 * 8, 800);
    memory.put(AT[1] + 82 * 8, 1);
    memory
}

fn carriers(memory: &mut Capture, at: u64, words: [u64; 4], blocks: u64) {
    for (index, word) in words.into_iter().enumerate() {
        memory.put(at + index as u64 * 8, word);
    }
    memory.put(at + 48, words[0] + words[2]);
    memory.put(at + 56, words[1] + words[3]);
    let block = at + (10 + 5 * 6) * 8;
    for index in 0..4 {
        memory.put(block + index * 8, if index % 2 == 0 { 1 } else { blocks });
    }
}

fn read(memory: &Capture) -> Fact<HeapStatistics> {
    let mapped = Mapped { path: "/usr/lib/erlang/bin/beam.smp".to_owned(), bias: TABLES };
    LAYOUT.read(&mapped, &Space::new(memory, Bounds::COUNTERS), Detail::Counters)
}

#[test]
fn blocks_in_its_own_carriers_are_in_use() {
    let HeapStatistics { runtime, claims } = read(&captured()).expect("sound");
    // Of 3500 in 3000 and 1000 at least 2500 and at most 3000 are its own's.
    assert_eq!(runtime.in_use, Some(900 + 2625 + 200));
    assert_eq!(runtime.in_use_bounds, Some((900 + 2500 + 200, 900 + 3000 + 200)));
    assert_eq!(runtime.free, Some(4800 - 3725));
    assert!(runtime.evidence[0].contains("3 allocators have 4600 bytes"), "{runtime:?}");
    let parts: Vec<_> = claims[0].parts.iter().map(|part| (part.account, part.bytes)).collect();
    assert_eq!(parts, [(Account::HeapInUse, 3725), (Account::AllocatorFree, 1075)]);
}

#[test]
fn allocators_that_break_a_rule_are_refused() {
    for (at, word) in [
        (TABLES + THREADS + EHEAP * 24 + 8, LITERAL | 2 << 32),
        (TABLES + THREADS + EHEAP * 24 + 8, EHEAP | 1 << 60),
        (AT[0] + 16 * 8, LITERAL),
        (AT[1] + 17 * 8, 0),
        (AT[0] + 140 * 8, 1),
        (AT[0] + 136 * 8, 0),
        (AT[0] + 137 * 8, u64::MAX),
        (AT[0] + 143 * 8, 999),
        (AT[0] + (146 + 31) * 8, 901),
        (AT[1] + (228 + 30) * 8 + 8, 4001),
        (AT[1] + 61 * 8, 801),
        (AT[1] + 82 * 8, 0),
    ] {
        let mut memory = captured();
        memory.put(at, word);
        let lack = read(&memory).expect_err("broken");
        assert_eq!(lack.kind, MissingKind::Malformed, "{at:#x}: {lack}");
        assert!(memory.readings.borrow().len() < 100);
    }
}

#[test]
fn without_allocators_of_its_own_nothing_is_said() {
    let mut memory = captured();
    memory.put(TABLES + EHEAP * 24, 1 << 32);
    memory.put(TABLES + LITERAL * 24, 1 << 32);
    assert!(read(&memory).expect_err("none").why.contains("turned off"));
}

#[test]
fn counters_that_change_in_every_reading_make_an_interval() {
    let mut memory = captured();
    carriers(&mut memory, AT[1] + 218 * 8, [2, 4000, 0, 0], 3000);
    memory.put(AT[1] + (228 + 30) * 8 + 24, 4000);
    memory.churn = Some((AT[1] + (228 + 30) * 8 + 8, 1));
    let runtime = read(&memory).expect("little is off").runtime;
    let (low, high) = runtime.in_use_bounds.expect("an interval");
    let in_use = runtime.in_use.expect("an amount");
    assert!(low < in_use && in_use < high, "{low} {in_use} {high}");
    assert!(runtime.evidence[1].contains("changed its counters"));
}

proptest! {
    #[test]
    fn memory_of_any_kind_is_answered_or_refused(
        words in prop::collection::vec((0u64..3, 0u64..300, any::<u64>()), 0..8),
        tables in prop::collection::vec((0u64..280, any::<u64>()), 0..4),
        is_small in any::<bool>(),
    ) {
        let mut memory = captured();
        let word = |word: u64| if is_small { word % 4096 } else { word };
        for (number, index, value) in words {
            memory.put(HEAP + number * 0x1000 + index * 8, word(value));
        }
        for (index, value) in tables {
            memory.put(TABLES + index * 8, word(value));
        }
        if let Ok(HeapStatistics { runtime, .. }) = read(&memory) {
            let in_use = runtime.in_use.expect("an amount");
            let (low, high) = runtime.in_use_bounds.unwrap_or((in_use, in_use));
            prop_assert!(low <= in_use && in_use <= high && high < 1 << 60);
        }
    }
}
