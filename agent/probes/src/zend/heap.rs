//! A heap: its counters, the ring of its chunks, those that it keeps for later, and the list
//! of its huge blocks.

use std::collections::BTreeSet;

use memgap_kernel::memory::{Space, u32_at, u64_at};
use memgap_ledger::Fact;

use super::chunk::{self, CHUNK, Chunk, PAGE};
use crate::probe::broken;

/// Where a heap stands in its first chunk.
pub(super) const IN_CHUNK: u64 = 64;
/// In a heap, in words: `size`.
const SIZE: usize = 2;
/// `real_size`, whose maximum follows: behind 30 lists of free pieces, before which 8.4 has
/// a key.
const REAL_SIZES: [usize; 2] = [34, 35];
/// Words between which `main_chunk` stands: limits, which differ, are before it. The list of
/// huge blocks comes right before, the one of cached chunks right after.
const MAIN_CHUNK: std::ops::Range<usize> = 38..48;
/// Behind it, in words: `cached_chunks`, `chunks_count`, `cached_chunks_count`.
const CACHED: usize = 1;
const COUNT: usize = 2;
const CACHED_COUNT: usize = 3;
/// The largest heap: that of an address space.
const LARGEST: u64 = 1 << 47;

/// What stands where in a heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// In words of the heap.
    pub real_size: usize,
    pub main_chunk: usize,
    /// In bytes of each chunk: `map`, before which `free_map` stands.
    pub map: usize,
}

/// How many of each are followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    pub chunks: u32,
    pub huge: usize,
}

impl Most {
    /// On a collection: a chunk takes a reading of its first page, of 512, and 4 us.
    pub const ON_COLLECTION: Self = Self { chunks: 128, huge: 128 };
    /// When a person asks.
    pub const DEEP: Self = Self { chunks: 16_384, huge: 16_384 };
}

/// The counters of a heap, by one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counters {
    pub heap: u64,
    /// What `memory_get_usage()` says, what it says of the system's, and the most of that.
    pub size: u64,
    pub real_size: u64,
    pub real_peak: u64,
    pub chunks: u32,
    pub cached: u32,
    /// The first of each.
    first_cached: u64,
    first_huge: u64,
}

/// The parts of a heap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Parts {
    pub chunks: Vec<Chunk>,
    /// The chunks that it keeps for later.
    pub cached: Vec<u64>,
    /// Huge blocks.
    pub huge: Vec<(u64, u64)>,
}

impl Parts {
    /// Bytes of the huge blocks.
    pub fn in_huge(&self) -> u64 {
        self.huge.iter().map(|(start, end)| end - start).sum()
    }
}

/// Whether a heap may stand there.
pub(super) fn is_place(at: u64) -> bool {
    at % CHUNK == IN_CHUNK && at > CHUNK
}

impl Shape {
    /// What stands where in the heap there, where one of the known orders keeps the rules.
    pub fn of(heap: u64, space: &Space<'_>) -> Fact<Self> {
        let start = heap.wrapping_sub(IN_CHUNK);
        let mut page = vec![0; 4096];
        space.read(start, &mut page)?;
        if u64_at(&page, chunk::HEAP) != Some(heap) {
            return Err(broken("no chunk begins there"));
        }
        let word = |index: usize| u64_at(&page[64..], index * 8);
        let main_chunk = MAIN_CHUNK
            .into_iter()
            .find(|index| word(*index) == Some(start))
            .ok_or_else(|| broken("the heap does not know its first chunk"))?;
        let map = chunk::place_of_map(&page, 64 + (main_chunk + CACHED_COUNT + 1) * 8)
            .ok_or_else(|| broken("its first chunk has no map"))?;
        let mut why = broken("it has no counters");
        for real_size in REAL_SIZES {
            let shape = Self { real_size, main_chunk, map };
            let read = Counters::read(heap, shape, space);
            match read.and_then(|counters| counters.parts(shape, Most::DEEP, space)) {
                Ok(_) => return Ok(shape),
                Err(lack) => why = lack,
            }
        }
        Err(why)
    }
}

impl Counters {
    pub fn read(heap: u64, shape: Shape, space: &Space<'_>) -> Fact<Self> {
        let mut bytes = vec![0; (shape.main_chunk + CACHED_COUNT + 1) * 8];
        space.read(heap, &mut bytes)?;
        let word = |index: usize| u64_at(&bytes, index * 8).unwrap_or_default();
        let count = |index: usize| u32_at(&bytes, index * 8).unwrap_or_default();
        let start = heap.wrapping_sub(IN_CHUNK);
        if !is_place(heap) || word(shape.main_chunk) != start {
            return Err(broken("the heap does not know its first chunk"));
        }
        let counters = Self {
            heap,
            size: word(SIZE),
            real_size: word(shape.real_size),
            real_peak: word(shape.real_size + 1),
            chunks: count(shape.main_chunk + COUNT),
            cached: count(shape.main_chunk + CACHED_COUNT),
            first_cached: word(shape.main_chunk + CACHED),
            first_huge: word(shape.main_chunk - 1),
        };
        let own = u64::from(counters.chunks) * PAGE;
        let is_sound = counters.chunks > 0
            && counters.real_size <= LARGEST
            && counters.real_size.is_multiple_of(PAGE)
            && counters.in_chunks() <= counters.real_size + CHUNK
            && counters.size.checked_add(own).is_some_and(|all| all <= counters.at_least());
        if is_sound { Ok(counters) } else { Err(broken("a heap counts more than it has")) }
    }

    /// Bytes of the chunks.
    pub fn in_chunks(&self) -> u64 {
        (u64::from(self.chunks) + u64::from(self.cached)) * CHUNK
    }

    /// Bytes that it has, as far as counters tell: 7.4 leaves out the first chunk once a
    /// request has ended.
    pub fn at_least(&self) -> u64 {
        self.real_size.max(self.in_chunks())
    }

    /// Whether so many may be followed.
    pub fn are_within(&self, most: Most) -> bool {
        self.chunks.saturating_add(self.cached) <= most.chunks
    }

    /// Its parts, where they are those that it counts.
    pub fn parts(&self, shape: Shape, most: Most, space: &Space<'_>) -> Fact<Parts> {
        if !self.are_within(most) {
            return Err(broken("a heap has more chunks than are followed"));
        }
        let parts = Parts {
            chunks: self.ring(shape, space)?,
            cached: self.cached(space)?,
            huge: self.huge(most, space)?,
        };
        let all = self.in_chunks() + parts.in_huge();
        if all != self.real_size && all != self.real_size + CHUNK {
            return Err(broken("chunks and huge blocks are not what the heap has"));
        }
        Ok(parts)
    }

    /// The ring, linked both ways, from its first chunk to that again.
    fn ring(&self, shape: Shape, space: &Space<'_>) -> Fact<Vec<Chunk>> {
        let first = self.heap - IN_CHUNK;
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut at = first;
        for _ in 0..self.chunks {
            let chunk = Chunk::read(at, self.heap, shape.map, space)?;
            if chunks.last().is_some_and(|last| last.start != chunk.prev) || chunk.next % CHUNK != 0
            {
                return Err(broken("the ring of chunks is not linked both ways"));
            }
            at = chunk.next;
            chunks.push(chunk);
        }
        let closes = at == first
            && chunks.first().map(|chunk| chunk.prev) == chunks.last().map(|chunk| chunk.start);
        if !closes {
            return Err(broken("the ring of chunks has not as many as are counted"));
        }
        Ok(chunks)
    }

    fn cached(&self, space: &Space<'_>) -> Fact<Vec<u64>> {
        let mut cached = Vec::new();
        let mut at = self.first_cached;
        for _ in 0..self.cached {
            if at == 0 || !at.is_multiple_of(CHUNK) {
                return Err(broken("not as many chunks are kept as are counted"));
            }
            cached.push(at);
            let [heap, next] = space.words(at)?;
            // At the end of a request it is cleared, but for the next one.
            if heap != self.heap && heap != 0 {
                return Err(broken("a chunk that is kept is of another heap"));
            }
            at = next;
        }
        if at == 0 { Ok(cached) } else { Err(broken("more chunks are kept than are counted")) }
    }

    fn huge(&self, most: Most, space: &Space<'_>) -> Fact<Vec<(u64, u64)>> {
        let (mut huge, mut met) = (Vec::new(), BTreeSet::new());
        let mut at = self.first_huge;
        while at != 0 {
            if huge.len() == most.huge || !met.insert(at) {
                return Err(broken("the list of huge blocks does not end"));
            }
            let [start, size, next] = space.words(at)?;
            let end = start.checked_add(size).filter(|end| {
                start % CHUNK == 0 && size > 0 && size % PAGE == 0 && *end <= LARGEST
            });
            huge.push((start, end.ok_or_else(|| broken("a huge block has no size"))?));
            at = next;
        }
        Ok(huge)
    }
}
