//! How much of the arenas is free by the measure of some of their pages, of all arenas
//! together: as many of each as it has of them all.

use memgap_kernel::memory::{PAGE, Space};

use super::arena::Arena;
use super::chase::BLOCK;
use super::page::{LEAST_CHUNKS, Page};
use super::scale;

/// What a page has of a chunk that ends behind it is left out up to so many bytes; for
/// more, what follows the chunk is asked for its state.
const TAIL: u64 = 256;
/// Chunks of more than a page that are judged one after the other, from one that was met.
const HOPS: usize = 16;
/// With fewer of them arenas are walked over from their first chunks.
const FEW: usize = 64;
/// Places that are tried for each page that is read: others are not in memory.
const PLACES: u64 = 8;
/// The golden ratio, of 2^64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What was judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Measure {
    pub pages: usize,
    judged: Sides,
    /// Bytes of pages within chunks of which neither end is to be seen.
    hidden: u64,
    /// Of chunks that were met by their start, what can hide a page.
    hiding: Sides,
    /// Chunks that were met by their end. How large those in use are is not known.
    ending: Sides,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sides {
    free: u64,
    used: u64,
}

impl Sides {
    fn book(&mut self, bytes: u64, is_free: bool) {
        let side = if is_free { &mut self.free } else { &mut self.used };
        *side = side.saturating_add(bytes);
    }

    fn sum(self) -> u64 {
        self.free.saturating_add(self.used)
    }

    fn add(&mut self, other: Self) {
        self.free = self.free.saturating_add(other.free);
        self.used = self.used.saturating_add(other.used);
    }
}

impl Measure {
    /// How much of `bytes` is free, if it is as it is where it was judged. What is hidden
    /// is as free as chunks are that can hide it, or where none was met, as others are;
    /// where nothing was met at all it may be either.
    pub fn free_of(&self, bytes: u64) -> u64 {
        let known = [self.hiding, self.ending, self.judged];
        let sides = known.into_iter().find(|sides| sides.sum() > 0);
        let hidden = sides.map_or(self.hidden / 2, |s| scale(self.hidden, s.free, s.sum()));
        let judged = self.judged.sum().saturating_add(self.hidden);
        scale(bytes, self.judged.free.saturating_add(hidden), judged)
    }

    pub fn add(&mut self, other: &Self) {
        self.pages += other.pages;
        self.hidden = self.hidden.saturating_add(other.hidden);
        self.judged.add(other.judged);
        self.hiding.add(other.hiding);
        self.ending.add(other.ending);
    }
}

/// An arena that is judged.
pub(super) struct Judged<'a> {
    pub arena: &'a Arena,
    /// What of it is resident, in order.
    pub resident: &'a [(u64, u64)],
    /// Free chunks of a page and more that are known, in order: they are left out.
    pub known: &'a [(u64, u64)],
}

/// Judges resident pages of arenas, spread over all of them, without their tops. At most
/// `blocks` are read. What was judged is told for each arena.
pub(super) fn measure(arenas: &[Judged<'_>], blocks: u64, space: &Space<'_>) -> Vec<Measure> {
    let mut sample = Sample { left: blocks, hops: 0, space };
    let mut reported = vec![Measure::default(); arenas.len()];
    let mut has_walked = false;
    for (_, place, index) in places(arenas, blocks.saturating_mul(PLACES)) {
        if !has_walked && sample.left <= blocks / 3 * 2 && is_hidden(&reported) {
            has_walked = true;
            sample.walk_all(arenas, &mut reported);
        }
        if sample.left == 0 {
            break;
        }
        sample.judge(&arenas[index], place, &mut reported[index]);
    }
    reported
}

/// Whether of more than half no page showed what it is.
fn is_hidden(reported: &[Measure]) -> bool {
    let sum = |of: fn(&Measure) -> u64| reported.iter().map(of).fold(0, u64::saturating_add);
    sum(|measure| measure.hidden) > sum(|measure| measure.judged.sum())
}

/// About so many pages of the arenas, each with the index of its arena, in an order that
/// is spread evenly however far it is followed. A page has its turn by its own address:
/// the same ones are looked at each time, also where arenas grow.
fn places(arenas: &[Judged<'_>], most: u64) -> Vec<(u64, u64, usize)> {
    let parts = || arenas.iter().enumerate().flat_map(|(i, a)| parts(a.arena).map(move |p| (i, p)));
    let all = parts().fold(0u64, |sum, (_, (from, to))| sum.saturating_add(to - from)) / BLOCK;
    let limit = scale(u64::MAX, most.min(all), all);
    let mut places = Vec::new();
    for (index, (from, to)) in parts() {
        for page in from / BLOCK..to / BLOCK {
            let turn = page.wrapping_mul(GOLDEN);
            if turn <= limit {
                places.push((turn, page * BLOCK, index));
            }
        }
    }
    places.sort_unstable();
    places
}

/// The whole pages of an arena that hold chunks, but for the ones behind its top.
fn parts(arena: &Arena) -> impl Iterator<Item = (u64, u64)> {
    let (top, top_end) = arena.top.unwrap_or_default();
    arena.heaps.iter().map(move |(start, end)| {
        let end = if *end == top_end { top } else { *end };
        let from = arena.first_chunk(*start) / BLOCK * BLOCK;
        (from, end.next_multiple_of(BLOCK).max(from))
    })
}

struct Sample<'s, 'm> {
    /// Pages that may yet be read.
    left: u64,
    /// Chunks of more than a page whose state was met.
    hops: usize,
    space: &'s Space<'m>,
}

impl Sample<'_, '_> {
    /// Books a page by the states of the chunks in it.
    fn judge(&mut self, of: &Judged<'_>, at: u64, reported: &mut Measure) {
        let mut bytes = [0; PAGE];
        if meets(of.known, at, at + BLOCK) == BLOCK {
            return;
        }
        if meets(of.resident, at, at + BLOCK) == 0 {
            // What was never written lies within a chunk; what is swapped out may be anything.
            if self.space.read_sparse(at, &mut bytes).is_ok() {
                reported.hidden += BLOCK;
            }
            return;
        }
        self.left = self.left.saturating_sub(1);
        if self.space.read(at, &mut bytes).is_err() {
            return;
        }
        let page = Page { at, bytes: &bytes, arena: of.arena };
        self.judge_page(of, &page, reported);
    }

    fn judge_page(&mut self, of: &Judged<'_>, page: &Page<'_>, reported: &mut Measure) {
        let within = |place: u64| place.checked_sub(page.at).filter(|at| *at < BLOCK);
        let heap = of.arena.heaps.iter().find(|(start, end)| (*start..*end).contains(&page.at));
        let first = heap.and_then(|(start, _)| within(of.arena.first_chunk(*start)));
        let top = of.arena.top.and_then(|(top, _)| within(top));
        let mut starts = first.map_or_else(|| page.starts(), |first| page.starts_from(first));
        if let Some(top) = top {
            // It leads to nowhere, and what leads not to it is no chunk.
            starts.retain(|start| *start <= top);
            if starts.last() != Some(&top) {
                return;
            }
        }
        let tail = starts.last().copied().filter(|_| top.is_none());
        let end = tail.and_then(|last| self.tail(of, page, last, reported));
        reported.pages += 1;
        if starts.len() < LEAST_CHUNKS && end.is_none() && top.is_none() {
            reported.hidden += BLOCK - meets(of.known, page.at, page.at + BLOCK);
            return;
        }
        let mut from = None;
        for start in starts {
            let is_fast = from.is_some_and(|from| page.is_fast(from, start - from));
            let is_free = page.is_free_before(start) || is_fast;
            let begin = from.unwrap_or(0);
            let is_known = meets(of.known, page.at + begin, page.at + start) > 0;
            if !(is_known || first == Some(start)) {
                reported.judged.book(start - begin, is_free);
                if from.is_none() && start <= TAIL {
                    // For the tails that are left out: there are as many.
                    reported.judged.book(start, is_free);
                } else if from.is_none() {
                    reported.ending.book(1, is_free);
                }
            }
            from = Some(start);
        }
        if let (Some(last), Some(is_free)) = (tail, end)
            && BLOCK - last > TAIL
        {
            reported.judged.book(BLOCK - last, is_free);
        }
    }

    /// The state of a chunk that ends behind its page, by what follows it; `None` where it
    /// is known, or can not be.
    fn tail(
        &mut self,
        of: &Judged<'_>,
        page: &Page<'_>,
        last: u64,
        reported: &mut Measure,
    ) -> Option<bool> {
        let chunk = (page.at + last, page.size(last)?);
        let is_short = BLOCK - last <= TAIL && chunk.1 <= BLOCK;
        if is_short || meets(of.known, chunk.0, chunk.0 + 1) > 0 {
            return None;
        }
        self.run(of, chunk, reported)
    }

    /// Judges arenas from their first chunks on, where pages taken at random show too few
    /// of the chunks that hide them.
    fn walk_all(&mut self, arenas: &[Judged<'_>], reported: &mut [Measure]) {
        let mut turns: Vec<_> = arenas.iter().zip(reported).collect();
        turns.sort_unstable_by_key(|(of, _)| of.arena.base.wrapping_mul(GOLDEN));
        for (of, reported) in turns {
            if self.hops < FEW {
                self.walk(of, reported);
            }
        }
    }

    /// Judges an arena from its first chunk on.
    fn walk(&mut self, of: &Judged<'_>, reported: &mut Measure) {
        let first = of.arena.heaps.first().map(|(heap, _)| of.arena.first_chunk(*heap));
        let chunk = first.and_then(|first| self.last_from(of.arena, first));
        if let Some(chunk) = chunk.filter(|(_, size)| *size > BLOCK) {
            self.run(of, chunk, reported);
        }
    }

    /// The state of a chunk. Where chunks are large, pages that show one are few: those
    /// that follow on it are judged too.
    fn run(
        &mut self,
        of: &Judged<'_>,
        mut chunk: (u64, u64),
        reported: &mut Measure,
    ) -> Option<bool> {
        let (mut state, mut hiding, mut hops) = (None, Sides::default(), 0);
        for _ in 0..HOPS {
            let (at, size) = chunk;
            let (is_free, next) = match self.hop(of.arena, chunk) {
                Hop::To(is_free, next) => (is_free, next),
                Hop::Spent => break,
                // It is none of the arena's: what a free chunk was put together of stays
                // in it, and looks like chunks up to its end.
                Hop::Astray => return None,
            };
            state = state.or(Some(is_free));
            if size > BLOCK && meets(of.known, at, at + 1) == 0 {
                hiding.book(size - BLOCK, is_free);
                hops += 1;
            }
            match next {
                Some(next) if size > BLOCK && next.1 > BLOCK => chunk = next,
                _ => break,
            }
        }
        reported.hiding.add(hiding);
        self.hops += hops;
        state
    }

    /// The state of a chunk, by the page that it ends on, and the last chunk there. From
    /// the top on it goes back to the first one, so that each has as many before it.
    fn hop(&mut self, arena: &Arena, (at, size): (u64, u64)) -> Hop {
        let mut bytes = [0; PAGE];
        let next = at.saturating_add(size);
        let begin = next % BLOCK;
        if !arena.holds(next) || !self.read(next - begin, &mut bytes) {
            return if self.left == 0 { Hop::Spent } else { Hop::Astray };
        }
        let page = Page { at: next - begin, bytes: &bytes, arena };
        if page.size(begin).is_none() || !page.agrees(begin, size) {
            return Hop::Astray;
        }
        let is_free = page.is_free_before(begin);
        let is_top = |(at, _): &(u64, u64)| arena.top.is_some_and(|(top, _)| top <= *at);
        let end = last_from(&page, begin).filter(|end| !is_top(end));
        let first = arena.heaps.first().map(|(heap, _)| arena.first_chunk(*heap));
        let again = || first.and_then(|first| self.last_from(arena, first));
        Hop::To(is_free, end.or_else(again).filter(|end| !is_top(end)))
    }

    /// The last chunk that begins on the page of another.
    fn last_from(&mut self, arena: &Arena, chunk: u64) -> Option<(u64, u64)> {
        let mut bytes = [0; PAGE];
        let at = chunk / BLOCK * BLOCK;
        self.read(at, &mut bytes).then_some(())?;
        last_from(&Page { at, bytes: &bytes, arena }, chunk - at)
    }

    /// Reads a page, if one more may be read.
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        self.space.read(at, bytes).is_ok()
    }
}

fn last_from(page: &Page<'_>, from: u64) -> Option<(u64, u64)> {
    let last = page.starts_from(from).last().copied()?;
    Some((page.at + last, page.size(last)?))
}

/// Where a chunk leads to.
enum Hop {
    /// Whether it is free, and the last chunk that begins on the page behind it.
    To(bool, Option<(u64, u64)>),
    /// To no chunk.
    Astray,
    /// No page more may be read.
    Spent,
}

/// How many bytes of a range ranges in order have.
fn meets(ranges: &[(u64, u64)], start: u64, end: u64) -> u64 {
    let first = ranges.partition_point(|(_, to)| *to <= start);
    let meet = ranges[first..].iter().take_while(|(from, _)| *from < end);
    meet.map(|(from, to)| end.min(*to) - start.max(*from)).sum()
}
