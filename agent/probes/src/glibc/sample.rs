//! How much of an arena is free by the measure of some of its pages. Each chunk leads
//! to the next one and tells whether the one before is free: read from any place on,
//! memory shows where chunks begin.

use std::iter::successors;

use memgap_kernel::memory::{Space, u64_at};

use super::ALIGN;
use super::arena::{Arena, FLAGS, PREVIOUS_IN_USE};
use super::chase::{BLOCK, SMALLEST};
use super::scale;

/// What a page has of a chunk that ends behind it is left out up to so many bytes; for
/// more, what follows the chunk is asked for its state.
const TAIL: u64 = 256;
/// Two words alone may look like chunks by chance.
const LEAST_CHUNKS: usize = 2;
/// Chunks of fast lists are at most so large.
const LARGEST_FAST: u64 = 128;
/// Places that are tried for each page that is read: others are not in memory.
const PLACES: u64 = 64;
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
}

impl Measure {
    /// How much of `bytes` is free, if it is as it is where it was judged. What is hidden
    /// is as free as chunks are that can hide it, or where none was met, as others are.
    pub fn free_of(&self, bytes: u64) -> u64 {
        let sides = if self.hiding.sum() > 0 { self.hiding } else { self.ending };
        let hidden = scale(self.hidden, sides.free, sides.sum());
        let judged = self.judged.sum().saturating_add(self.hidden);
        scale(bytes, self.judged.free.saturating_add(hidden), judged)
    }
}

/// Judges pages of an arena that are `resident` and no part of its top, spread over it:
/// the same ones each time, also where it grows a little. At most `blocks` are read.
/// `known` are free chunks of a page and more, in order.
pub(super) fn measure(
    arena: &Arena,
    known: &[(u64, u64)],
    resident: &[(u64, u64)],
    mut blocks: u64,
    space: &Space<'_>,
) -> Measure {
    let pages = Pages::of(arena);
    let most = pages.grid.min(blocks.saturating_mul(PLACES));
    let is_resident = |at: &u64| {
        let index = resident.partition_point(|(_, end)| end <= at);
        resident.get(index).is_some_and(|(start, _)| start <= at)
    };
    let mut reported = Measure::default();
    let mut bytes = vec![0; usize::try_from(BLOCK).unwrap_or_default()];
    for at in (0..most).filter_map(|step| pages.at(step)).filter(is_resident) {
        let Some(left) = blocks.checked_sub(1) else { break };
        blocks = left;
        if space.read(at, &mut bytes).is_ok() {
            reported.pages += 1;
            Page { at, bytes: &bytes, arena }.judge(known, &mut blocks, space, &mut reported);
        }
    }
    reported
}

/// The pages of an arena's heaps.
struct Pages {
    /// Where heaps begin, each with the number of pages up to its end.
    heaps: Vec<(u64, u64)>,
    count: u64,
    /// Places that a page may be taken from: they stay as they are until the number of
    /// pages has doubled.
    grid: u64,
    top: (u64, u64),
}

impl Pages {
    fn of(arena: &Arena) -> Self {
        let mut count = 0u64;
        let heaps = arena.heaps.iter().map(|(start, end)| {
            count = count.saturating_add(end.saturating_sub(*start) / BLOCK);
            (count, start.next_multiple_of(BLOCK))
        });
        let heaps = heaps.collect();
        let top = arena.top.unwrap_or_default();
        Self { heaps, count, grid: count.checked_next_power_of_two().unwrap_or(count), top }
    }

    /// The page of a step, unless it is beyond the end or in the top: a sequence that is
    /// spread evenly, however far it goes, and meets each place once.
    fn at(&self, step: u64) -> Option<u64> {
        let stride = scale(self.grid, GOLDEN, u64::MAX) | 1;
        let index = step.wrapping_mul(stride) % self.grid;
        if index >= self.count {
            return None;
        }
        let heap = self.heaps.partition_point(|(count, _)| *count <= index);
        let before = heap.checked_sub(1).map_or(0, |before| self.heaps[before].0);
        let (_, start) = self.heaps.get(heap)?;
        let at = start.saturating_add((index - before) * BLOCK);
        let (top, end) = self.top;
        (at.saturating_add(BLOCK) <= top || at >= end).then_some(at)
    }
}

/// A page of an arena.
struct Page<'p> {
    at: u64,
    bytes: &'p [u8],
    arena: &'p Arena,
}

impl Page<'_> {
    /// Books the page by the states of the chunks in it.
    fn judge(
        &self,
        known: &[(u64, u64)],
        blocks: &mut u64,
        space: &Space<'_>,
        reported: &mut Measure,
    ) {
        let starts = self.starts();
        let last = starts.last().copied().unwrap_or(0);
        let size = self.size(last).unwrap_or(0);
        let mut end = None;
        if !starts.is_empty() && (BLOCK - last > TAIL || size > BLOCK) && *blocks > 0 {
            *blocks -= 1;
            end = self.state(last, size, space);
        }
        if starts.len() < LEAST_CHUNKS && end.is_none() {
            let index = known.partition_point(|(_, end)| *end <= self.at);
            if known.get(index).is_some_and(|(start, _)| *start <= self.at) {
                reported.judged.book(BLOCK, true);
            } else {
                reported.hidden += BLOCK;
            }
            return;
        }
        let mut from = None;
        for start in starts {
            let is_used = self.word(start + 8) & PREVIOUS_IN_USE != 0;
            let is_fast = from.is_some_and(|from| self.is_fast(from, start - from));
            reported.judged.book(start - from.unwrap_or(0), !is_used || is_fast);
            if from.is_none() && start > TAIL {
                reported.ending.book(1, !is_used);
            }
            from = Some(start);
        }
        if let Some(is_free) = end {
            reported.judged.book(BLOCK - last, is_free);
            reported.hiding.book(size.saturating_sub(BLOCK), is_free);
        }
    }

    /// Whether a chunk that ends behind the page is free, by what follows it.
    fn state(&self, start: u64, size: u64, space: &Space<'_>) -> Option<bool> {
        let next = self.at + start + size;
        let [previous, word] = space.words::<2>(next).ok()?;
        let is_free = word & PREVIOUS_IN_USE == 0;
        let agrees = self.is_size(word) && (!is_free || previous == size);
        (agrees && self.arena.holds(next)).then_some(is_free)
    }

    /// Where chunks begin: the places that lead on to most others. One place alone is
    /// believed where no other looks like it.
    fn starts(&self) -> Vec<u64> {
        // How many chunks follow from a place, by its distance from the end.
        let mut chain = Vec::new();
        let (mut best, mut alone) = ((0, 0), 0);
        for before_end in 1..=BLOCK / ALIGN {
            let at = BLOCK - before_end * ALIGN;
            let behind = |size: u64| match before_end.checked_sub(size / ALIGN) {
                None | Some(0) => Some(0),
                Some(_) if !self.agrees(at + size, size) => None,
                Some(left) => chain.get(usize::try_from(left).ok()? - 1).copied().flatten(),
            };
            let chunks = self.size(at).and_then(behind).map(|behind| behind + 1);
            best = best.max((chunks.unwrap_or(0), before_end));
            alone += usize::from(chunks == Some(1));
            chain.push(chunks);
        }
        let (most, before_end) = best;
        if most < LEAST_CHUNKS && alone != 1 {
            return Vec::new();
        }
        let next = |at: &u64| Some(at + self.size(*at)?).filter(|next| *next < BLOCK);
        successors(Some(BLOCK - before_end * ALIGN), next).collect()
    }

    /// The size of the chunk that begins at a place, where one can.
    fn size(&self, at: u64) -> Option<u64> {
        let word = self.word(at + 8);
        self.is_size(word).then_some(word & !FLAGS)
    }

    fn is_size(&self, word: u64) -> bool {
        let size = word & !FLAGS;
        size >= SMALLEST
            && size.is_multiple_of(ALIGN)
            && size <= self.arena.system_mem
            && word & FLAGS & !PREVIOUS_IN_USE & !self.arena.flags() == 0
    }

    /// Whether what follows a chunk knows its size, where it has to.
    fn agrees(&self, next: u64, size: u64) -> bool {
        self.word(next + 8) & PREVIOUS_IN_USE != 0 || self.word(next) == size
    }

    /// Whether a chunk that counts as in use is on a fast list, whose links are mangled
    /// since 2.32: before, they look like any pointer.
    fn is_fast(&self, at: u64, size: u64) -> bool {
        let list = usize::try_from(size.saturating_sub(SMALLEST) / ALIGN).unwrap_or(usize::MAX);
        if size > LARGEST_FAST || self.arena.fast.get(list).is_none_or(|head| *head == 0) {
            return false;
        }
        let link = self.word(at + 16) ^ ((self.at + at + 16) >> 12);
        link == 0 || self.arena.holds(link)
    }

    fn word(&self, at: u64) -> u64 {
        usize::try_from(at).ok().and_then(|at| u64_at(self.bytes, at)).unwrap_or_default()
    }
}
