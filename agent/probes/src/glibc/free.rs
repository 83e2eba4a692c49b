//! What is free in the arenas: by the lists of free chunks, or by all chunks.

use memgap_kernel::memory::Space;
use memgap_kernel::source::pagemap::{Ranges, size};
use memgap_ledger::{Fact, Missing, MissingKind};

use super::arena::Arena;
use super::chase::{self, BLOCK, Blocks, Budget, Chase};
use super::sample::{self, Judged, Measure};
use super::{scale, walk};

/// Chunks that are followed on every collection, and pages that are looked at in any
/// program, the arenas' own among them. With what is read beside them, at the ends of what
/// lies in a page, it is less than 512 KiB.
const CHUNKS: usize = 20_000;
const BLOCKS: usize = 112;
/// So many beside the arenas' own, however many these are.
const LEAST_BLOCKS: usize = 80;
/// In a large program they are one of so many, up to so many: less than one of a hundred
/// with what is read beside them.
const SHARE: u64 = 128;
const MOST_BLOCKS: usize = 3000;
/// Of these, pages for lists before it is known how long they may be.
const FIRST_BLOCKS: usize = 32;
/// Pages by which an arena is judged alone: with fewer, arenas are judged together.
const ENOUGH: usize = 64;
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
    /// What lists reported, as far as they were followed.
    fn listed(arenas: &[Arena], chase: Chase) -> Self {
        let listed = |(at, arena): (usize, &Arena)| FreeIn {
            free: chase.free[at],
            large: chase.large[at],
            unknown: if chase.whole[at] { 0 } else { rest(arena).saturating_sub(chase.free[at]) },
            ..FreeIn::default()
        };
        Self {
            arenas: arenas.iter().enumerate().map(listed).collect(),
            chunks: chase.chunks,
            caches: 0,
            sampled: 0,
            lack: chase.lack,
        }
    }

    /// A sum over all arenas.
    pub fn sum(&self, of: impl Fn(&FreeIn) -> u64) -> u64 {
        self.arenas.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Judges what the lists did not tell by `blocks` of those arenas.
    fn guess(
        &mut self,
        arenas: &[Arena],
        pages: &[Ranges],
        wide: &[Ranges],
        blocks: usize,
        space: &Space<'_>,
    ) {
        let open = self.arenas.iter_mut().zip(arenas).zip(pages).zip(wide);
        let open = open.filter(|(((free, _), _), _)| free.unknown > 0);
        let (mut open, judged): (Vec<_>, Vec<_>) = open
            .map(|(((free, arena), resident), known)| {
                ((free, arena, size(known)), Judged { arena, resident, known })
            })
            .unzip();
        let measures = sample::measure(&judged, blocks as u64, space);
        let sum = |least: usize| {
            let mut sum = Measure::default();
            measures.iter().filter(|m| m.pages < least).for_each(|m| sum.add(m));
            sum
        };
        let (all, few) = (sum(usize::MAX), sum(ENOUGH));
        let together = if few.pages < ENOUGH { all } else { few };
        for ((free, arena, known), own) in open.iter_mut().zip(&measures) {
            let reported = if own.pages < ENOUGH { &together } else { own };
            let likely = *known + reported.free_of(rest(arena).saturating_sub(*known));
            free.guessed = likely.saturating_sub(free.free).min(free.unknown);
            free.free = free.free.saturating_add(free.guessed);
            free.unknown = free.unknown.saturating_sub(free.guessed);
        }
        self.sampled = all.pages;
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

/// By the lists of free chunks where a collection may follow them to their ends, else by
/// a sample of pages.
pub(super) fn by_lists(arenas: &[Arena], space: &Space<'_>) -> Free {
    let budget = |blocks: usize| Budget { chunks: CHUNKS, blocks };
    let mut read = Blocks::of(space);
    let chase = chase::follow(arenas, budget(FIRST_BLOCKS), &mut read);
    if !is_short(&chase) {
        return Free::listed(arenas, chase);
    }
    let pages: Vec<_> = arenas.iter().map(|a| resident(a, space).unwrap_or_default()).collect();
    let blocks = all_blocks(arenas, &pages);
    let left = blocks.saturating_sub(read.count());
    // A third of the pages shows how much there may be on lists.
    let mut likely = Free::listed(arenas, chase.clone());
    likely.guess(arenas, &pages, &chase.wide, left / 3, space);
    let met = chase.free.iter().fold(0, |sum: u64, free| sum.saturating_add(*free));
    let needed = scale(read.count() as u64, likely.sum(|arena| arena.free), met);
    let most = read.count() + left / 3 * 2;
    let chase =
        if needed <= most as u64 { chase::follow(arenas, budget(most), &mut read) } else { chase };
    let wide = chase.wide.clone();
    let is_left = is_short(&chase);
    let mut free = Free::listed(arenas, chase);
    if is_left {
        // Those that were looked at for the first time come first again.
        free.guess(arenas, &pages, &wide, blocks.saturating_sub(read.count()), space);
    }
    free
}

/// Whether lists were left for the budget.
fn is_short(chase: &Chase) -> bool {
    chase.lack.as_ref().is_some_and(|lack| lack.kind == MissingKind::Refused)
}

/// Pages that may be looked at beside the arenas' own: `malloc_state` stands in the first
/// heap behind its `heap_info`, the main arena's in the library's data.
fn all_blocks(arenas: &[Arena], pages: &[Ranges]) -> usize {
    let own = arenas.iter().map(|arena| if arena.is_main { 1 } else { arena.heaps.len() });
    let own = own.fold(0, usize::saturating_add);
    let share = pages.iter().map(|p| size(p)).fold(0, u64::saturating_add) / BLOCK / SHARE;
    let share = usize::try_from(share).unwrap_or_default().min(MOST_BLOCKS);
    share.max(BLOCKS).saturating_sub(own).max(LEAST_BLOCKS)
}

/// By every chunk of the arenas; by the lists, where those do not follow on one
/// another. `fill` is how many chunks of a size a thread may keep.
pub(super) fn by_chunks(arenas: &[Arena], fill: u16, space: &Space<'_>) -> Free {
    let mut free = Free { arenas: Vec::new(), chunks: 0, caches: 0, sampled: 0, lack: None };
    for arena in arenas {
        let fast = chase::follow_fast(arena, DEEP, space);
        let walked = walk::arena(arena, fill, space);
        free.chunks += walked.chunks;
        free.caches += walked.caches;
        // Of a part that the program changed each time, as much is free as elsewhere.
        let there = rest(arena).saturating_sub(walked.rest);
        let likely = scale(walked.free, walked.rest, there).min(walked.rest);
        let mut found = FreeIn {
            free: walked.free.saturating_add(likely).saturating_add(fast.free.iter().sum()),
            cached: walked.cached,
            whole: walked.whole,
            guessed: likely,
            unknown: walked.rest - likely,
            large: 0,
        };
        if is_short(&fast) {
            // What is on the rest of these lists looks like chunks in use.
            found.unknown = rest(arena).saturating_sub(found.free);
        }
        free.lack = free.lack.or(fast.lack);
        let is_lost = walked.lack.is_some() && walked.rest > rest(arena) / 10 * 9;
        if is_lost || arena.heaps.is_empty() && arena.system_mem > 0 {
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
