//! Chunks, found by their headers: each points to itself.

use memgap_ledger::{Fact, Missing};

use crate::memory::{Area, Space, u64_at};
use crate::source::pagemap::Ranges;

/// Chunks begin at its multiples (`kRegularPageSize`).
pub(super) const ALIGNED: u64 = 256 << 10;
/// The largest chunk: an array buffer is no part of the heap.
const LARGEST: u64 = 4 << 30;
/// What of a chunk stands before its objects is less than this.
const LARGEST_HEADER: u64 = 32 << 10;
/// Words of a header that are read.
const WORDS: usize = 12;

/// Where the words of a header stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub versions: &'static str,
    pub flags: usize,
    /// The word that leads to the others, where they stand apart from the chunk
    /// (`MemoryChunkMetadata`).
    pub metadata: Option<usize>,
    pub own: usize,
    pub size: usize,
    pub heap: usize,
    pub area_start: usize,
    pub area_end: usize,
    pub allocated: usize,
    pub owner: usize,
}

pub(super) const SHAPES: [Shape; 3] = [
    Shape {
        versions: "10.2 to 11.3 (node 18 to 20)",
        flags: 1,
        metadata: None,
        own: 10,
        size: 0,
        heap: 2,
        area_start: 3,
        area_end: 4,
        allocated: 5,
        owner: 8,
    },
    Shape {
        versions: "12.4 (node 22)",
        flags: 0,
        metadata: None,
        own: 1,
        size: 2,
        heap: 3,
        area_start: 4,
        area_end: 5,
        allocated: 6,
        owner: 9,
    },
    Shape {
        versions: "13.6 to 14.1 (node 24 to 25)",
        flags: 0,
        metadata: Some(1),
        own: 1,
        size: 2,
        heap: 8,
        area_start: 9,
        area_end: 7,
        allocated: 3,
        owner: 10,
    },
];

/// A chunk of the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub start: u64,
    pub end: u64,
    /// Bytes before its objects, or behind them.
    pub header: u64,
    /// Bytes of objects, living or not, since it was swept.
    pub allocated: u64,
    pub age: Age,
}

/// Which part of the heap a chunk is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// Old, large or compiled code: what is allocated is counted.
    Old,
    /// New objects come here: how many, the header does not tell.
    Young,
    /// Where new objects were before the last collection.
    Evacuated,
}

const FROM_PAGE: u64 = 1 << 3;
const TO_PAGE: u64 = 1 << 4;

/// The shape that the chunks of a process have.
pub(super) fn shape(space: &Space<'_>) -> Fact<Shape> {
    let areas = space.areas()?;
    let mut best: Option<(usize, Shape)> = None;
    for shape in SHAPES {
        let found = all(shape, &areas, space)?.len();
        if found > best.map_or(0, |(most, _)| most) {
            best = Some((found, shape));
        }
    }
    best.map(|(_, shape)| shape).ok_or_else(|| {
        let last = SHAPES.map(|shape| shape.versions).join(", ");
        Missing::absent(format!("V8 shows no chunk as of {last}: it just starts, or is another"))
    })
}

/// Every chunk with a header in memory, in order.
pub(super) fn all(shape: Shape, areas: &[Area], space: &Space<'_>) -> Fact<Vec<Chunk>> {
    let mut chunks = Vec::new();
    let mut behind = 0;
    for area in areas.iter().filter(|area| area.is_writable && area.is_anonymous) {
        for (from, to) in parts(area, space)? {
            let mut at = from.next_multiple_of(ALIGNED).max(behind);
            while at < to {
                if let Some(chunk) = chunk(at, shape, space)? {
                    behind = chunk.end.next_multiple_of(ALIGNED);
                    chunks.push(chunk);
                    at = behind;
                } else {
                    at += ALIGNED;
                }
            }
        }
    }
    Ok(chunks)
}

/// What of an area is worth a look: of one with many chunks, or with much that was
/// never touched, what is in memory.
fn parts(area: &Area, space: &Space<'_>) -> Fact<Ranges> {
    const FEW: u64 = 4;
    if area.end - area.start <= FEW * ALIGNED {
        return Ok(vec![(area.start, area.end)]);
    }
    space.resident(area.start, area.end)
}

fn chunk(at: u64, shape: Shape, space: &Space<'_>) -> Fact<Option<Chunk>> {
    let Some(header) = words(at, space)? else { return Ok(None) };
    let word = |bytes: &[u8], index: usize| u64_at(bytes, index * 8).unwrap_or_default();
    let flags = word(&header, shape.flags);
    let books = match shape.metadata {
        None => header,
        Some(index) => {
            let metadata = word(&header, index);
            // A pointer to itself would be a header of another shape.
            if metadata % 8 != 0 || metadata == 0 || metadata == at {
                return Ok(None);
            }
            let Some(books) = words(metadata, space)? else { return Ok(None) };
            books
        }
    };
    let of = |index| word(&books, index);
    let (size, start, end) = (of(shape.size), of(shape.area_start), of(shape.area_end));
    let is_owned = [shape.heap, shape.owner].iter().all(|i| of(*i) != 0 && of(*i) % 8 == 0);
    let is_sized = size % 4096 == 0 && (4096..=LARGEST).contains(&size);
    let bounds = at..at.saturating_add(size.min(LARGEST));
    let is_inside = bounds.contains(&start) && start <= end && end <= bounds.end;
    if of(shape.own) != at || !is_owned || !is_sized || !is_inside || start - at > LARGEST_HEADER {
        return Ok(None);
    }
    let room = end - start;
    let age = match flags & (FROM_PAGE | TO_PAGE) {
        TO_PAGE => Age::Young,
        FROM_PAGE => Age::Evacuated,
        _ => Age::Old,
    };
    let allocated = if age == Age::Old { of(shape.allocated).min(room) } else { room };
    Ok(Some(Chunk { start: at, end: bounds.end, header: size - room, allocated, age }))
}

/// The words at an address; none where they are not in memory.
fn words(at: u64, space: &Space<'_>) -> Fact<Option<[u8; WORDS * 8]>> {
    let mut bytes = [0; WORDS * 8];
    Ok(space.read_if_resident(at, &mut bytes)?.then_some(bytes))
}
