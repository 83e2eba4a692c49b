//! Chunks, known by their headers: each points to itself.

use std::collections::BTreeSet;

use memgap_kernel::memory::{Area, Space, u64_at};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::{Fact, Missing, MissingKind};

use super::shape::Shape;

/// Chunks begin at its multiples (`kRegularPageSize`).
pub(super) const ALIGNED: u64 = 256 << 10;
/// The largest chunk: an array buffer is no part of the heap.
const LARGEST: u64 = 4 << 30;
/// Words of a header that are read.
const WORDS: usize = 12;
/// Of so many places one is looked at: its page is one of 64, and in some versions so
/// is the one that it leads to.
const STEP: usize = 8;
/// Places that are looked at by a sample, about.
const AT_MOST: usize = 1024;
/// What the C library aligns begins at its multiples: the heaps of threads. So does one
/// chunk of 32. And a large place may be a thread's stack, and costs little to look at.
const SUSPECT: u64 = 8 << 20;
const LARGE: u64 = 4 << 20;
/// Heaps in one process: the program's and one for each of its workers.
const MAX_HEAPS: usize = 256;

/// A chunk of the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub end: u64,
    pub heap: u64,
}

/// The chunks of a process.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunks {
    /// Where they are, but for those of code.
    pub data: Ranges,
    /// Where those of compiled code are.
    pub code: Ranges,
    /// The heaps that they are of.
    pub heaps: BTreeSet<u64>,
    /// Whose headers were read.
    pub read: usize,
}

impl Chunks {
    fn add(&mut self, (start, end): (u64, u64), heap: Option<u64>, areas: &[Area]) -> Fact<()> {
        self.heaps.extend(heap);
        self.read += usize::from(heap.is_some());
        if self.heaps.len() > MAX_HEAPS {
            let why = format!("more than {MAX_HEAPS} heaps of V8 in a process");
            return Err(Missing::new(MissingKind::Refused, why));
        }
        // A chunk is code where any part of it may be run: what can not stands before.
        let first = areas.partition_point(|area| area.end <= start);
        let slot = end.max(start.saturating_add(ALIGNED));
        let inside = areas[first..].iter().take_while(|area| area.start < slot);
        let code = inside.filter(|area| area.is_executable).map(|area| area.end);
        if let Some(end) = code.max() {
            self.code.push((start, end));
        } else {
            self.data.push((start, end));
        }
        Ok(())
    }
}

/// Where chunks may begin: V8 maps them one by one.
pub(super) fn places(areas: &[Area]) -> impl Iterator<Item = &Area> {
    areas.iter().filter(|area| is_data(area) && area.start.is_multiple_of(ALIGNED))
}

/// The chunks of a process, by the headers of some: what stands between two of them in
/// such a place is taken for one too.
pub(super) fn sample(shape: Shape, areas: &[Area], space: &Space<'_>) -> Fact<Chunks> {
    let mut chunks = Chunks::default();
    let step = STEP.max(places(areas).count() / AT_MOST);
    for (index, area) in places(areas).enumerate() {
        let mut heap = None;
        let is_large = area.end - area.start >= LARGE;
        if index % step == 0 || is_large || area.start.is_multiple_of(SUSPECT) {
            let Some(chunk) = chunk(area.start, shape, space)? else { continue };
            heap = Some(chunk.heap);
        }
        chunks.add((area.start, area.end), heap, areas)?;
    }
    Ok(chunks)
}

/// Every chunk with a header in memory.
pub(super) fn all(shape: Shape, areas: &[Area], space: &Space<'_>) -> Fact<Chunks> {
    let mut chunks = Chunks::default();
    let mut behind = 0;
    for area in areas.iter().filter(|area| is_data(area)) {
        for (from, to) in parts(area, space)? {
            let mut at = from.next_multiple_of(ALIGNED).max(behind);
            while at < to {
                if let Some(chunk) = chunk(at, shape, space)? {
                    behind = chunk.end.next_multiple_of(ALIGNED);
                    chunks.add((at, chunk.end), Some(chunk.heap), areas)?;
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

fn is_data(area: &Area) -> bool {
    area.is_writable && area.is_anonymous
}

/// The chunk that begins there, if one does.
pub(super) fn chunk(at: u64, shape: Shape, space: &Space<'_>) -> Fact<Option<Chunk>> {
    let Some(header) = words(at, space)? else { return Ok(None) };
    let word = |bytes: &[u8], index: usize| u64_at(bytes, index * 8).unwrap_or_default();
    let statistics = match shape.metadata {
        None => header,
        Some(index) => {
            let metadata = word(&header, index);
            // A pointer to itself would be a header of another shape.
            if metadata % 8 != 0 || metadata == 0 || metadata == at {
                return Ok(None);
            }
            let Some(statistics) = words(metadata, space)? else { return Ok(None) };
            statistics
        }
    };
    let of = |index| word(&statistics, index);
    let (size, heap) = (of(shape.size), of(shape.heap));
    let is_owned = [heap, of(shape.owner)].iter().all(|word| *word != 0 && word % 8 == 0);
    let is_sized = size % 4096 == 0 && (4096..=LARGEST).contains(&size);
    let end = at.checked_add(size).filter(|_| of(shape.own) == at && is_owned && is_sized);
    Ok(end.map(|end| Chunk { end, heap }))
}

/// The words at an address; none where they are not in memory.
fn words(at: u64, space: &Space<'_>) -> Fact<Option<[u8; WORDS * 8]>> {
    let mut bytes = [0; WORDS * 8];
    Ok(space.read_if_resident(at, &mut bytes)?.then_some(bytes))
}
