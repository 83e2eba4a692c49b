//! What is free in the arenas: by the lists of free chunks, or by all chunks.

use memgap_kernel::memory::Space;
use memgap_kernel::source::pagemap::{Ranges, size};
use memgap_ledger::{Fact, Missing, MissingKind};

use super::arena::Arena;
use super::chase::{self, BLOCK, Blocks, Budget, Chase};
use super::{sample, scale, walk};

/// Chunks that are followed on every collection, and pages that are looked at for lists
/// in any program: 256 KiB.
const CHUNKS: usize = 20_000;
const BLOCKS: usize = 64;
/// Pages of a sample, where the lists are longer: so many in any program. In a large one
/// lists and sample share one page of a hundred.
const SAMPLED: usize = 24;
const MOST_SAMPLED: usize = 256;
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
    /// Pages that were judged for those that were not looked at.
    pub sampled: usize,
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
    /// Bytes of which nothing is known: they may be free.
    pub unknown: u64,
    /// Of the free bytes, those that may be taken without a trace in the arena.
    large: u64,
}

impl Free {
    /// A sum over all arenas.
    pub fn sum(&self, of: impl Fn(&FreeIn) -> u64) -> u64 {
        self.arenas.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Judges what the lists did not tell by `blocks` of those arenas.
    fn guess(
        &mut self,
        arenas: &[Arena],
        pages: &[Ranges],
        known: &[(u64, u64)],
        blocks: usize,
        space: &Space<'_>,
    ) {
        let open = |free: &FreeIn| free.unknown > 0;
        let sizes = self.arenas.iter().zip(pages).map(|(f, p)| if open(f) { size(p) } else { 0 });
        let all = sizes.fold(0, u64::saturating_add);
        for ((free, arena), pages) in self.arenas.iter_mut().zip(arenas).zip(pages) {
            if !open(free) {
                continue;
            }
            let share = scale(blocks as u64, size(pages), all);
            let reported = sample::measure(arena, known, pages, share, space);
            let there = rest(arena).min(size(pages));
            let likely = reported.free_of(there);
            free.guessed = likely.saturating_sub(free.free);
            free.free = free.free.saturating_add(free.guessed);
            free.unknown = free.unknown.saturating_sub(free.guessed);
            self.sampled += reported.pages;
        }
    }

    /// What was found when the arenas were as they are now, some time ago.
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

/// By the lists of free chunks, as far as a collection may follow them, and beyond that
/// by a sample of pages.
pub(super) fn by_lists(arenas: &[Arena], space: &Space<'_>) -> Free {
    // The arenas' own pages count too.
    let own = arenas.len() * PAGES_OF_ARENA;
    let budget = |blocks: usize| Budget { chunks: CHUNKS, blocks: blocks.saturating_sub(own) };
    let is_short =
        |chase: &Chase| chase.lack.as_ref().is_some_and(|lack| lack.kind == MissingKind::Refused);
    let mut read = Blocks::of(space);
    let mut chase = chase::follow(arenas, budget(BLOCKS), &mut read);
    let (mut pages, mut sampled) = (vec![Ranges::new(); arenas.len()], 0);
    if is_short(&chase) {
        pages = arenas.iter().map(|a| resident(a, space).unwrap_or_default()).collect();
        let share = pages.iter().map(|p| size(p)).fold(0, u64::saturating_add) / BLOCK / SHARE;
        let share = usize::try_from(share).unwrap_or_default().min(MOST_BLOCKS);
        sampled = (share / 2).min(MOST_SAMPLED).min(share.saturating_sub(BLOCKS)).max(SAMPLED);
        let blocks = share.saturating_sub(sampled);
        if blocks > BLOCKS {
            chase = chase::follow(arenas, budget(blocks), &mut read);
        }
    }
    let mut free =
        Free { arenas: Vec::new(), chunks: chase.chunks, caches: 0, sampled: 0, lack: None };
    for (at, arena) in arenas.iter().enumerate() {
        let listed = FreeIn { free: chase.free[at], large: chase.large[at], ..FreeIn::default() };
        free.arenas.push(listed);
        if !chase.whole[at] {
            free.arenas[at].unknown = rest(arena).saturating_sub(chase.free[at]);
        }
    }
    if is_short(&chase) {
        chase.wide.sort_unstable();
        free.guess(arenas, &pages, &chase.wide, sampled, space);
    }
    free.lack = chase.lack;
    free
}

/// By every chunk of the arenas; by the lists, where those do not follow on one
/// another. `fill` is how many chunks of a size a thread may keep.
pub(super) fn by_chunks(arenas: &[Arena], fill: u16, space: &Space<'_>) -> Free {
    let fast = chase::follow_fast(arenas, DEEP, space);
    let mut free = Free { arenas: Vec::new(), chunks: 0, caches: 0, sampled: 0, lack: fast.lack };
    for (arena, fast) in arenas.iter().zip(&fast.free) {
        let walked = walk::arena(arena, fill, space);
        free.chunks += walked.chunks;
        free.caches += walked.caches;
        // Of a part that the program changed each time, as much is free as elsewhere.
        let there = rest(arena).saturating_sub(walked.rest);
        let likely = scale(walked.free, walked.rest, there).min(walked.rest);
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
            let chase = chase::follow(std::slice::from_ref(arena), DEEP, &mut Blocks::of(space));
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
        let ends_at_break = arena.is_main && !arena.heaps.is_empty();
        if let (Some((start, end)), true) = (arena.top, ends_at_break) {
            let extra = (end - start).saturating_sub(MIN_TOP + 1) / page * page;
            whole.push((end - extra, end));
        }
        let (Some((start, _)), Some((_, end))) = (whole.first(), whole.last()) else { continue };
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

/// Bytes of an arena that may be free: all but its top and its own statistics.
fn rest(arena: &Arena) -> u64 {
    arena.system_mem.saturating_sub(arena.top_size()).saturating_sub(arena.metadata())
}

/// What of an arena is resident.
fn resident(arena: &Arena, space: &Space<'_>) -> Fact<Ranges> {
    let mut all = Ranges::new();
    for (start, end) in &arena.heaps {
        all.extend(space.resident(*start, *end)?);
    }
    Ok(all)
}
