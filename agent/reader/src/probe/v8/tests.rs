//! The probe over captured chunks of each shape, sound ones and others.

use memgap_ledger::account::Account;
use memgap_ledger::{Fact, Missing, MissingKind};
use proptest::prelude::*;

use super::books;
use super::chunk::{self, ALIGNED, SHAPES, Shape};
use crate::memory::{Area, Bounds, Memory, Space};
use crate::probe::Books;
use crate::source::pagemap::Ranges;

const BASE: u64 = 0x40_0000_0000;
/// Where metadata stand that are apart from their chunks.
const APART: u64 = 6 * ALIGNED;
const SIZE: u64 = APART + ALIGNED;
const HEADER: u64 = 4096;
const HEAP: u64 = 0x1234_5678;

/// A process with an old chunk, a young one, an evacuated one and one of code.
struct Captured {
    bytes: Vec<u8>,
    shape: Shape,
    areas: Vec<Area>,
}

impl Captured {
    fn new(shape: Shape) -> Self {
        let bytes = vec![0; usize::try_from(SIZE).expect("small")];
        let area = |from: u64, to: u64, is_executable| Area {
            start: BASE + from * ALIGNED,
            end: BASE + to * ALIGNED,
            is_writable: true,
            is_executable,
            is_anonymous: true,
        };
        let areas = vec![area(0, 3, false), area(3, 4, true), area(4, 7, false)];
        let mut captured = Self { bytes, shape, areas };
        for (number, flags) in [(0, 0), (1, 1 << 4), (2, 1 << 3), (3, 0)] {
            captured.chunk(number, flags, 100_000);
        }
        captured
    }

    fn chunk(&mut self, number: u64, flags: u64, allocated: u64) {
        let start = BASE + number * ALIGNED;
        let shape = self.shape;
        let mut books = number * ALIGNED;
        if let Some(index) = shape.metadata {
            self.put(books + index as u64 * 8, BASE + APART + number * 256);
            books = APART + number * 256;
        }
        for (index, word) in [
            (shape.own, start),
            (shape.size, ALIGNED),
            (shape.heap, HEAP),
            (shape.area_start, start + HEADER),
            (shape.area_end, start + ALIGNED),
            (shape.allocated, allocated),
            (shape.owner, HEAP + 8),
        ] {
            self.put(books + index as u64 * 8, word);
        }
        self.put(number * ALIGNED + shape.flags as u64 * 8, flags);
    }

    /// The place of a word in the books of the first chunk.
    fn place(&self, index: usize) -> u64 {
        let books = if self.shape.metadata.is_some() { APART } else { 0 };
        books + index as u64 * 8
    }

    fn put(&mut self, at: u64, word: u64) {
        let at = usize::try_from(at).expect("within the capture");
        self.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
}

impl Memory for Captured {
    fn read(&self, address: u64, into: &mut [u8]) -> Fact<()> {
        let outside = || Missing::new(MissingKind::Refused, format!("nothing at {address:#x}"));
        let at = usize::try_from(address.wrapping_sub(BASE)).map_err(|_| outside())?;
        let end = at.checked_add(into.len()).ok_or_else(outside)?;
        into.copy_from_slice(self.bytes.get(at..end).ok_or_else(outside)?);
        Ok(())
    }

    fn resident(&self, start: u64, end: u64, _: usize) -> Fact<Ranges> {
        Ok(vec![(start, end)])
    }

    fn areas(&self) -> Fact<Vec<Area>> {
        Ok(self.areas.clone())
    }
}

fn read(captured: &Captured) -> Fact<Books> {
    let space = Space::new(captured, Bounds::COUNTERS);
    books::read(chunk::shape(&space)?, &space)
}

fn booked(books: &Books, account: Account) -> u64 {
    let parts = books.claims.iter().flat_map(|claim| &claim.parts);
    parts.filter(|part| part.account == account).map(|part| part.bytes).sum()
}

#[test]
fn every_shape_is_told_apart_and_every_chunk_is_of_its_sort() {
    let room = ALIGNED - HEADER;
    for shape in SHAPES {
        let captured = Captured::new(shape);
        let space = Space::new(&captured, Bounds::RESOLVE);
        assert_eq!(chunk::shape(&space), Ok(shape));
        let books = read(&captured).expect("sound");
        // The young one is counted whole.
        assert_eq!(books.runtime.in_use, Some(100_000 + room));
        assert_eq!(books.runtime.in_use_bounds, Some((100_000, 100_000 + room)));
        assert_eq!(books.runtime.free, Some(room - 100_000 + room));
        assert_eq!(booked(&books, Account::HeapInUse), 100_000 + room);
        assert_eq!(booked(&books, Account::AllocatorMetadata), 3 * HEADER);
        assert_eq!(booked(&books, Account::JitCode), ALIGNED);
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
            (shape.area_start, BASE - 8),
            (shape.area_start, BASE + ALIGNED),
            (shape.area_end, BASE + 8),
            (shape.area_end, u64::MAX),
        ] {
            let mut captured = Captured::new(shape);
            let place = captured.place(index);
            captured.put(place, word);
            let books = read(&captured).expect("the other chunks are sound");
            assert_eq!(books.runtime.in_use, Some(ALIGNED - HEADER), "{index} {word:#x}");
        }
    }
}

#[test]
fn a_process_without_chunks_is_refused_by_the_versions_that_are_known() {
    let mut captured = Captured::new(SHAPES[0]);
    captured.bytes.fill(0);
    let lack = read(&captured).expect_err("nothing is there");
    assert!(lack.why.contains("node 22"), "{lack}");
}

#[test]
fn more_chunks_than_the_bounds_allow_are_refused() {
    let captured = Captured::new(SHAPES[0]);
    let bounds = Bounds { calls: 4, ..Bounds::COUNTERS };
    let lack = books::read(SHAPES[0], &Space::new(&captured, bounds)).expect_err("too many");
    assert!(lack.why.contains("bound of readings"), "{lack}");
}

proptest! {
    #[test]
    fn memory_of_any_kind_is_answered_or_refused(
        which in 0..SHAPES.len(),
        words in prop::collection::vec((0u64..4, 0u64..12, any::<u64>()), 0..24),
        is_near in any::<bool>(),
    ) {
        let mut captured = Captured::new(SHAPES[which]);
        for (number, index, word) in words {
            let word = if is_near { BASE + word % SIZE } else { word };
            captured.put(number * ALIGNED + index * 8, word);
            captured.put(APART + number * 256 + index * 8, word);
        }
        if let Ok(books) = read(&captured) {
            prop_assert!(books.runtime.in_use.is_some());
        }
    }
}
