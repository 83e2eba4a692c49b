//! The probe over captured heap statistics, sound ones and others.

use std::fs::File;

use memgap_kernel::memory::{Area, Bounds, Space};
use memgap_ledger::Fact;
use memgap_ledger::account::Account;
use memgap_ledger::claim::Extent;
use proptest::prelude::*;

use super::{find, statistics};
use crate::captured::{Capture, area};
use crate::elf::{Elf, Segment};
use crate::{HeapStatistics, Image, Mapped};

const BASE: u64 = 0x7f00_0000_0000;
/// Of `__malloc_context`, of two pages of heap statistics, and of the heap.
const CONTEXT: u64 = 0x108;
const BOOKS: u64 = 0x1000;
const MORE: u64 = 0x2000;
const HEAP: u64 = 0x3000;
const SIZE: u64 = HEAP + 0x9000;
const SECRET: u64 = 0x0123_4567_89ab_cdef;

/// A group of 4 pages with 7 slots of 2,032 bytes, of which five are in use, one
/// by a group of eight slots of 48 bytes, three of them in use; and 5 pages in one.
struct Captured(Capture);

impl Captured {
    fn new() -> Self {
        let mut captured = Self(Capture::of(&[(BASE, BASE + SIZE)]));
        let variables = Area { is_anonymous: false, ..area(BASE, BASE + BOOKS) };
        captured.0.areas = vec![variables, area(BASE + BOOKS, BASE + SIZE)];
        captured.put(CONTEXT, SECRET);
        captured.put(CONTEXT + 56, BASE + BOOKS);
        for (page, next) in [(BOOKS, BASE + MORE), (MORE, 0)] {
            captured.put(page, SECRET);
            captured.put(page + 8, next);
            captured.put(page + 16, 101);
        }
        // avail_mask 64, freed_mask 2.
        captured.meta(BOOKS, 0, [BASE + HEAP, 64 | 2 << 32, bits(6, 22, 4)]);
        captured.meta(BOOKS, 7, [BASE + HEAP + 16, 0xf8, bits(7, 2, 0)]);
        captured.meta(MORE, 100, [BASE + HEAP + 0x4000, 0, bits(0, 63, 5)]);
        captured
    }

    fn meta(&mut self, page: u64, index: u64, words: [u64; 3]) {
        for (word, at) in words.into_iter().zip([16, 24, 32]) {
            self.put(page + 24 + index * 40 + at, word);
        }
    }

    fn put(&mut self, at: u64, word: u64) {
        self.0.put(BASE + at, word);
    }
}

/// `last_idx`, `freeable`, `sizeclass` and `maplen`.
fn bits(last: u64, class: u64, pages: u64) -> u64 {
    last | 1 << 5 | class << 6 | pages << 12
}

fn read(captured: &Captured) -> Fact<HeapStatistics> {
    statistics::read(BASE + CONTEXT, &Space::new(&captured.0, Bounds::COUNTERS))
}

fn located(captured: &Captured) -> Fact<u64> {
    let segment =
        Segment { offset: 0, address: 0, file_size: 0, memory_size: 0x1000, writable: true };
    let elf = Elf { machine: 62, segments: vec![segment], sections: Vec::new(), is_static: false };
    let file = File::open("/dev/null").expect("a file of nothing");
    let mapped = Mapped { path: "/lib/ld-musl-x86_64.so.1".to_owned(), bias: BASE };
    find(&Image { file, elf: &elf, mapped }, &Space::new(&captured.0, Bounds::RESOLVE))
}

#[test]
fn slots_in_use_are_counted_once() {
    let captured = Captured::new();
    assert_eq!(located(&captured), Ok(CONTEXT));
    let statistics = read(&captured).expect("sound");
    // The group of 8 slots fills a slot of 25 units itself.
    let in_use = 5 * 102 * 16 + 3 * 48 - 400 + (5 * 4096 - 16);
    assert_eq!(statistics.runtime.in_use, Some(in_use));
    let own =
        vec![(BASE + HEAP, BASE + HEAP + 0x4000), (BASE + HEAP + 0x4000, BASE + HEAP + 0x9000)];
    assert_eq!(statistics.claims[0].extent, Extent::Ranges(own));
    let sum: u64 = statistics.claims[0].parts.iter().map(|part| part.bytes).sum();
    assert_eq!(sum, 0x9000);
    let statistics_of = |claim: &memgap_ledger::claim::Claim| claim.parts[0].account;
    assert_eq!(statistics_of(&statistics.claims[1]), Account::AllocatorMetadata);
}

#[test]
fn statistics_that_break_a_rule_are_refused_by_its_name() {
    let first = BOOKS + 24;
    for (place, word, rule) in [
        (CONTEXT, SECRET + 1, "does not begin with the secret"),
        (BOOKS + 16, 102, "does not begin with the secret"),
        (CONTEXT + 56, BASE + BOOKS + 8, "is none"),
        (CONTEXT + 56, u64::MAX << 12, "is none"),
        (MORE + 8, BASE + BOOKS, "is none"),
        (first + 16, BASE + HEAP + 8, "breaks its rules"),
        (first + 24, 2 | 2 << 32, "breaks its rules"),
        (first + 32, bits(6, 50, 4), "class of a group"),
        (first + 32, bits(31, 22, 4), "larger than its memory"),
        (first + 32, bits(6, 22, u64::MAX >> 12), "larger than its memory"),
        (first + 32, bits(6, 22, 5), "overlap"),
    ] {
        let mut captured = Captured::new();
        captured.put(place, word);
        let lack = read(&captured).expect_err(rule);
        assert!(lack.why.contains(rule), "{rule}: {lack}");
    }
    let mut captured = Captured::new();
    captured.put(CONTEXT, 0);
    let lack = located(&captured).expect_err("no secret");
    assert!(lack.why.contains("another allocator"), "{lack}");
}

proptest! {
    #[test]
    fn memory_of_any_kind_is_answered_or_refused(
        words in prop::collection::vec((0..HEAP / 8, any::<u64>()), 0..32),
        metas in prop::collection::vec((0u64..101, any::<[u64; 2]>(), 0..SIZE), 0..8),
    ) {
        let mut captured = Captured::new();
        for (index, [masks, bits], start) in metas {
            captured.meta(BOOKS, index, [BASE + start / 16 * 16, masks, bits]);
        }
        let _ = read(&captured);
        for (at, word) in words {
            captured.put(at * 8, word);
        }
        let _ = (located(&captured), read(&captured));
    }
}
