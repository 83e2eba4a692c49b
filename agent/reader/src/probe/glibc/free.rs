//! What is free in the arenas: by the lists of free chunks, or by all chunks.

use memgap_ledger::{Fact, Missing, MissingKind};

use super::arena::Arena;
use super::chase::{self, BLOCK, Budget};
use super::walk;
use crate::memory::Space;
use crate::source::pagemap::Ranges;

/// Chunks that are followed on every collection, and pages that are looked at for
/// it in any program: 256 KiB. In a large one it is one page of a hundred.
const CHUNKS: usize = 20_000;
const BLOCKS: usize = 64;
const MOST_BLOCKS: usize = 3000;
const SHARE: u64 = 100;
/// Of an arena and of its heap, and where its top begins.
const PAGES_OF_ARENA: usize = 3;
/// When a person asks.
const DEEP: Budget = Budget { chunks: 4 << 20, blocks: 32_768 };
/// `MINSIZE`, which trimming leaves of a top.
const MIN_TOP: u64 = 32;

/// What is free in the arenas.
#[derive(Debug, Clone)]
pub(super) struct Free {
    /// In the order of the arenas.
    arenas: Vec<FreeIn>,
    /// Chunks that were met.
    pub chunks: usize,
    /// Threads that keep chunks for themselves.
    pub caches: usize,
    /// Why not everything was looked at.
    pub lack: Option<Missing>,
}

/// What is free in an arena, without the chunk at its end.
#[derive(Debug, Clone, Default)]
pub(super) struct FreeIn {
    /// Bytes of free chunks.
    pub free: u64,
    /// Bytes of free chunks that threads keep for themselves.
    pub cached: u64,
    /// Whole pages within free chunks, by address.
    pub whole: Ranges,
    /// Of the free bytes, those that are so by the measure of others.
    pub guessed: u64,
    /// Bytes of which nothing was told: they may be free.
    pub unknown: u64,
    /// Of the free bytes, those that may be taken without a trace in the arena.
    large: u64,
}

impl Free {
    /// A sum over all arenas.
    pub fn sum(&self, of: impl Fn(&FreeIn) -> u64) -> u64 {
        self.arenas.iter().map(of).fold(0, u64::saturating_add)
    }

    /// What was told when the arenas were as they are now, some time ago.
    pub fn of_then(&self) -> Self {
        let mut then = self.clone();
        for arena in &mut then.arenas {
            arena.guessed = arena.guessed.max(arena.large);
        }
        then
    }

    /// Each arena with what is free in it.
    pub fn zip<'a>(&'a self, arenas: &'a [Arena]) -> impl Iterator<Item = (&'a Arena, &'a FreeIn)> {
        arenas.iter().zip(&self.arenas)
    }
}

/// By the lists of free chunks, as far as a collection may follow them.
pub(super) fn by_lists(arenas: &[Arena], space: &Space<'_>) -> Free {
    // The arenas' own pages count too.
    let own = arenas.len() * PAGES_OF_ARENA;
    let mut budget = Budget { chunks: CHUNKS, blocks: BLOCKS.saturating_sub(own) };
    let mut chase = chase::follow(arenas, budget, space);
    if chase.lack.as_ref().is_some_and(|lack| lack.kind == MissingKind::Refused) {
        let share = resident(arenas, space).unwrap_or_default() / BLOCK / SHARE;
        let share = usize::try_from(share).unwrap_or_default().min(MOST_BLOCKS);
        if share > BLOCKS {
            budget.blocks = share.saturating_sub(own);
            chase = chase::follow(arenas, budget, space);
        }
    }
    let of = |((arena, (free, large)), whole): ((&Arena, (&u64, &u64)), &bool)| {
        let unknown = if *whole { 0 } else { rest(arena).saturating_sub(*free) };
        FreeIn { free: *free, large: *large, unknown, ..FreeIn::default() }
    };
    let sums = chase.free.iter().zip(&chase.large);
    Free {
        arenas: arenas.iter().zip(sums).zip(&chase.whole).map(of).collect(),
        chunks: chase.chunks,
        caches: 0,
        lack: chase.lack,
    }
}

/// By every chunk of the arenas; by the lists, where those do not follow on one
/// another. `fill` is how many chunks of a size a thread may keep.
pub(super) fn by_chunks(arenas: &[Arena], fill: u16, space: &Space<'_>) -> Free {
    let fast = chase::follow_fast(arenas, DEEP, space);
    let mut free = Free { arenas: Vec::new(), chunks: 0, caches: 0, lack: fast.lack };
    for (arena, fast) in arenas.iter().zip(&fast.free) {
        let walked = walk::arena(arena, fill, space);
        free.chunks += walked.chunks;
        free.caches += walked.caches;
        // Of a part that the program changed each time, as much is free as elsewhere.
        let there = rest(arena).saturating_sub(walked.rest);
        let likely = u128::from(walked.free) * u128::from(walked.rest) / u128::from(there.max(1));
        let likely = u64::try_from(likely).unwrap_or(u64::MAX).min(walked.rest);
        let mut found = FreeIn {
            free: walked.free.saturating_add(likely).saturating_add(*fast),
            cached: walked.cached,
            whole: walked.whole,
            guessed: likely,
            unknown: walked.rest - likely,
            large: 0,
        };
        let is_short = walked.lack.is_some() && walked.rest > rest(arena) / 10 * 9;
        if is_short || arena.heaps.is_empty() && arena.system_mem > 0 {
            let chase = chase::follow(std::slice::from_ref(arena), DEEP, space);
            let unknown = rest(arena).saturating_sub(chase.free.iter().sum());
            found = FreeIn {
                free: chase.free.iter().sum(),
                unknown: if chase.lack.is_some() { unknown } else { 0 },
                ..FreeIn::default()
            };
            free.lack = free.lack.or(chase.lack);
        }
        free.arenas.push(found);
    }
    free
}

/// What `malloc_trim` would give back: whole pages of free chunks, and the end of
/// the main arena, as far as they are resident.
pub(super) fn trimmable(arenas: &[Arena], free: &Free, space: &Space<'_>) -> Fact<u64> {
    let page = rustix::param::page_size() as u64;
    let mut sum = 0u64;
    for (arena, free) in free.zip(arenas) {
        let mut whole = free.whole.clone();
        if let (Some((start, end)), true) = (arena.top, arena.is_main) {
            let extra = (end - start).saturating_sub(MIN_TOP + 1) / page * page;
            whole.push((end - extra, end));
        }
        let (Some((start, _)), Some((_, end))) = (arena.heaps.first(), arena.heaps.last()) else {
            continue;
        };
        let resident = space.resident(*start, *end)?;
        sum = sum.saturating_add(common(&whole, &resident));
    }
    Ok(sum)
}

/// The bytes that two lists of ranges have in common, both in order.
fn common(a: &[(u64, u64)], b: &[(u64, u64)]) -> u64 {
    let (mut sum, mut first) = (0, 0);
    for (start, end) in a {
        first += b[first..].partition_point(|(_, to)| to <= start);
        let meet = b[first..].iter().take_while(|(from, _)| from < end);
        sum += meet.map(|(from, to)| to.min(end) - from.max(start)).sum::<u64>();
    }
    sum
}

/// Bytes of an arena that may be free: all but its top and its own books.
fn rest(arena: &Arena) -> u64 {
    arena.system_mem.saturating_sub(arena.top_size()).saturating_sub(arena.metadata())
}

/// Bytes of the arenas that are resident.
fn resident(arenas: &[Arena], space: &Space<'_>) -> Fact<u64> {
    let mut heaps = arenas.iter().flat_map(|arena| &arena.heaps);
    heaps.try_fold(0u64, |sum, (start, end)| {
        let ranges = space.resident(*start, *end)?;
        Ok(ranges.iter().fold(sum, |sum, (from, to)| sum.saturating_add(to - from)))
    })
}
