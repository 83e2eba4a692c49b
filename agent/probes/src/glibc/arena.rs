//! One arena: `struct malloc_state` in one reading, with the heaps that it holds.

use memgap_kernel::memory::{Space, u64_at};
use memgap_ledger::{Fact, MissingKind};

use super::locate::NEXT;
use super::{ADDRESSES, ALIGN, MAX_ARENAS, SMALLEST_PAGE, Shape, is_chunk};
use crate::probe::broken;

/// Readings of an arena that grows meanwhile.
const TRIES: usize = 8;
/// Heaps of all arenas that are not the main one, of 64 MiB each.
const MAX_HEAPS: usize = 1 << 16;
/// Pairs of links, of bins 1 to 127.
pub(super) const BINS: usize = 127;
/// Single lists of `fastbinsY`.
pub(super) const FAST_BINS: usize = 10;
/// `HEAP_MAX_SIZE`: heaps are aligned to it. With `glibc.malloc.hugetlb=2` it is four
/// huge pages.
const HEAP_SIZES: [u64; 3] = [64 << 20, 8 << 20, 4 << 30];
/// The flags in the size of a chunk.
pub(super) const FLAGS: u64 = 7;
pub(super) const PREVIOUS_IN_USE: u64 = 1;
const NON_MAIN_ARENA: u64 = 4;

/// An arena at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arena {
    pub base: u64,
    /// Where the pairs of links are.
    pub bins_at: u64,
    /// Those of bins that hold something; most are empty.
    bins: Vec<(usize, [u64; 2])>,
    /// Empty since 2.43.
    pub fast: Vec<u64>,
    pub next: u64,
    pub system_mem: u64,
    /// The chunk at the end, from which new ones are cut; none before the first.
    pub top: Option<(u64, u64)>,
    /// What it holds by address, in order; empty where that is not known: memory of
    /// the main arena that does not follow on the rest.
    pub heaps: Vec<(u64, u64)>,
    /// Whether it lies in the C library's data, the others in their first heap.
    pub is_main: bool,
    /// Bytes of `malloc_state`.
    size: u64,
}

impl Arena {
    /// Reads the main arena. `sbrk_base` is where its memory begins.
    pub fn main(base: u64, shape: Shape, sbrk_base: u64, space: &Space<'_>) -> Fact<Self> {
        let (mut arena, top) = Self::read(base, shape, space)?;
        arena.is_main = true;
        if let Some(top) = top {
            let (start, end) = end_of(top, arena.system_mem, space)?;
            arena.top = Some((start, end));
            let is_whole = sbrk_base.checked_add(arena.system_mem) == Some(end);
            if is_whole && sbrk_base <= start {
                arena.heaps.push((sbrk_base, end));
            }
        }
        Ok(arena)
    }

    /// Reads one of the others.
    pub fn other(base: u64, shape: Shape, space: &Space<'_>) -> Fact<Self> {
        let mut arena = Self::other_once(base, shape, space);
        for _ in 1..TRIES {
            if arena.as_ref().is_err_and(|lack| lack.kind == MissingKind::Malformed) {
                arena = Self::other_once(base, shape, space);
            }
        }
        arena
    }

    fn other_once(base: u64, shape: Shape, space: &Space<'_>) -> Fact<Self> {
        let (mut arena, top) = Self::read(base, shape, space)?;
        let top = top.ok_or_else(|| broken("an arena has no top"))?;
        // One after the other: what is no heap of that size is a page of the program's.
        let found = HEAP_SIZES.into_iter().find_map(|size| {
            let heaps = heaps(&arena, top & !(size - 1), size, space).ok()?;
            let sum = heaps.iter().fold(0u64, |sum, (start, end)| sum.saturating_add(end - start));
            // It is the last chunk of the newest heap: its own word of its size is on a page
            // that need not be read for that.
            let end = heaps.first().map(|(_, end)| *end).filter(|end| top < *end)?;
            (sum == arena.system_mem).then_some((heaps, end))
        });
        let (heaps, end) =
            found.ok_or_else(|| broken("the heaps of an arena are not its system_mem"))?;
        (arena.heaps, arena.top) = (heaps, Some((top, end)));
        arena.heaps.sort_unstable();
        Ok(arena)
    }

    /// Reads `malloc_state`, and tells where the top begins.
    fn read(base: u64, shape: Shape, space: &Space<'_>) -> Fact<(Self, Option<u64>)> {
        let size = usize::try_from(shape.system_mem + 16).unwrap_or_default();
        let mut bytes = vec![0; size];
        space.read(base, &mut bytes)?;
        let word = |at: u64| {
            usize::try_from(at)
                .ok()
                .and_then(|at| u64_at(&bytes, at))
                .ok_or_else(|| broken("an arena is larger than it is known to be"))
        };
        let bins_at = base.wrapping_add(shape.bins);
        let mut bins = Vec::new();
        for bin in 0..BINS {
            let at = shape.bins + bin as u64 * 16;
            let pair = [word(at)?, word(at + 8)?];
            if pair != [head(bins_at, bin); 2] {
                bins.push((bin, pair));
            }
        }
        let fast = match shape.bins.checked_sub(16 + FAST_BINS as u64 * 8) {
            None => Vec::new(),
            Some(start) => {
                (0..FAST_BINS as u64).map(|i| word(start + i * 8)).collect::<Fact<_>>()?
            }
        };
        let next = word(shape.bins + NEXT)?;
        let (system_mem, most) = (word(shape.system_mem)?, word(shape.system_mem + 8)?);
        if system_mem > most || most >= ADDRESSES {
            return Err(broken("an arena holds more than it ever did"));
        }
        let top = match word(shape.bins - 16)? {
            // Before the first chunk it is the first bin, or nothing at all.
            top if top == bins_at.wrapping_sub(16) || top == 0 => None,
            top if !is_chunk(top) => return Err(broken("the top of an arena is no chunk")),
            top => Some(top),
        };
        if top.is_none() && system_mem != 0 {
            return Err(broken("an arena that holds memory has no top"));
        }
        let (heaps, size) = (Vec::new(), (shape.system_mem + 16).next_multiple_of(ALIGN));
        let (is_main, none) = (false, None);
        let arena =
            Self { base, bins_at, bins, fast, next, system_mem, top: none, heaps, is_main, size };
        Ok((arena, top))
    }

    /// Whether a chunk may lie there.
    pub fn holds(&self, chunk: u64) -> bool {
        let after = self.heaps.partition_point(|(start, _)| *start <= chunk);
        let heap = after.checked_sub(1).and_then(|at| self.heaps.get(at));
        is_chunk(chunk) && (self.heaps.is_empty() || heap.is_some_and(|(_, end)| chunk < *end))
    }

    /// What the ring of a bin begins and ends with.
    pub fn head(&self, bin: usize) -> u64 {
        head(self.bins_at, bin)
    }

    /// The first and the last chunk of a bin, or its head where there are none.
    pub fn pair(&self, bin: usize) -> [u64; 2] {
        let found = self.bins.binary_search_by_key(&bin, |(bin, _)| *bin);
        found.map_or([self.head(bin); 2], |at| self.bins[at].1)
    }

    /// The first chunk of a heap.
    pub fn first_chunk(&self, heap: u64) -> u64 {
        let holds_arena = (heap..heap.saturating_add(SMALLEST_PAGE)).contains(&self.base);
        let first = match (self.is_main, holds_arena) {
            (true, _) => heap,
            (false, true) => self.base.saturating_add(self.size),
            (false, false) => heap.saturating_add(self.base % SMALLEST_PAGE),
        };
        first.next_multiple_of(ALIGN)
    }

    /// Flags that chunks of the arena may have beside the state of the one before.
    pub fn flags(&self) -> u64 {
        if self.is_main { 0 } else { NON_MAIN_ARENA }
    }

    /// Bytes of `malloc_state` and of each `heap_info`, where they stand in the heaps.
    pub fn metadata(&self) -> u64 {
        if self.is_main {
            return 0;
        }
        let head = self.base % SMALLEST_PAGE;
        self.size + head * self.heaps.len() as u64
    }

    /// Bytes of the top.
    pub fn top_size(&self) -> u64 {
        self.top.map_or(0, |(start, end)| end - start)
    }
}

/// The chunk at the end of an arena, as a range.
fn end_of(top: u64, system_mem: u64, space: &Space<'_>) -> Fact<(u64, u64)> {
    let [size] = space.words::<1>(top.wrapping_add(8))?;
    let size = size & !FLAGS;
    if size > system_mem {
        return Err(broken("the top of an arena is larger than the arena"));
    }
    Ok((top, top.saturating_add(size)))
}

/// The heaps of an arena, the newest first: each begins with a `heap_info`, which
/// tells whose it is, the one before, and how much of it is used.
fn heaps(arena: &Arena, newest: u64, largest: u64, space: &Space<'_>) -> Fact<Vec<(u64, u64)>> {
    let mut heaps = Vec::new();
    let (mut at, mut left) = (newest, arena.system_mem);
    while at != 0 {
        let [owner, previous, size] = space.words::<3>(at)?;
        let is_one = owner == arena.base && size > 0 && size <= left.min(largest);
        left = left.saturating_sub(size);
        let is_page = size.is_multiple_of(SMALLEST_PAGE) && at.is_multiple_of(largest);
        if !is_one || !is_page || heaps.len() >= MAX_HEAPS {
            return Err(broken("a heap is not its arena's"));
        }
        heaps.push((at, at.saturating_add(size)));
        at = previous;
    }
    Ok(heaps)
}

fn head(bins_at: u64, bin: usize) -> u64 {
    bins_at.wrapping_add(bin as u64 * 16).wrapping_sub(16)
}

/// Every arena, the main one first: a list that leads back to it.
pub(super) fn all(base: u64, shape: Shape, sbrk_base: u64, space: &Space<'_>) -> Fact<Vec<Arena>> {
    let main = Arena::main(base, shape, sbrk_base, space)?;
    let mut at = main.next;
    let mut arenas = vec![main];
    // An arena of some steps before, then of twice as many: a circle meets it.
    let mut met = 0;
    while at != base {
        if arenas.len().is_power_of_two() {
            met = at;
        } else if at == met || arenas.len() >= MAX_ARENAS {
            return Err(broken("the list of arenas does not lead back to the main one"));
        }
        let arena = Arena::other(at, shape, space)?;
        at = arena.next;
        arenas.push(arena);
    }
    if overlap(&arenas) {
        return Err(broken("two arenas have the same memory"));
    }
    Ok(arenas)
}

fn overlap(arenas: &[Arena]) -> bool {
    let mut heaps: Vec<_> = arenas.iter().flat_map(|arena| &arena.heaps).collect();
    heaps.sort_unstable();
    heaps.windows(2).any(|pair| pair[0].1 > pair[1].0)
}
