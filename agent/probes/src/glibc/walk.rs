//! Every chunk of an arena, from its first to its top: each tells where the next
//! one is, and whether the one before is free. For a look that a person asks for.

use memgap_kernel::memory::{Space, WINDOW, u64_at};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::{Fact, Missing, MissingKind};

use super::ALIGN;
use super::arena::{Arena, FLAGS, PREVIOUS_IN_USE};
use super::tcache;
use crate::probe::broken;

/// Readings of a window that a running program changes meanwhile.
const TRIES: usize = 32;
/// So many at a place, then from the one before.
const STEP_BACK: usize = 2;
/// The least that is read at once.
const NARROWEST: usize = 4096;
/// `sizeof (struct malloc_chunk)`: what trimming leaves of a free chunk.
const HEAD: u64 = 48;
/// What may stand behind the last chunk of a heap that is no more grown.
const FENCE: u64 = 64;
/// Ranges of whole free pages that are recognised by address.
const MAX_RANGES: usize = 1 << 18;

/// What a walk found, as far as it came.
#[derive(Debug, Clone, Default)]
pub(super) struct Walked {
    /// Bytes of chunks that are free and on no fast list, the top left out.
    pub free: u64,
    /// Whole pages within these, in order.
    pub whole: Ranges,
    /// Free chunks that threads keep for themselves.
    pub cached: u64,
    /// Such threads.
    pub caches: usize,
    /// Chunks that were met.
    pub chunks: usize,
    /// Bytes up to the tops that it did not come to.
    pub rest: u64,
    /// Why it did not come to the end.
    pub lack: Option<Missing>,
}

/// Walks over the heaps of an arena. A thread keeps at most `fill` chunks of a size.
pub(super) fn arena<'s>(arena: &'s Arena, fill: u16, space: &'s Space<'_>) -> Walked {
    let mut walk = Walk {
        arena,
        space,
        fill,
        window: Window {
            size: WINDOW,
            space,
            resident: Ranges::new(),
            start: 0,
            bytes: Vec::new(),
        },
        page: rustix::param::page_size() as u64,
        began: 0,
        reported: Walked::default(),
    };
    for (start, end) in &arena.heaps {
        if walk.reported.lack.is_some() {
            walk.reported.rest = walk.reported.rest.saturating_add(end - start);
            continue;
        }
        if let Err(lack) = walk.heap(*start, *end) {
            walk.reported.lack = Some(lack);
        }
    }
    walk.reported
}

struct Walk<'s, 'm> {
    arena: &'s Arena,
    space: &'s Space<'m>,
    fill: u16,
    window: Window<'s, 'm>,
    page: u64,
    /// Where the window that is walked over began.
    began: u64,
    reported: Walked,
}

/// Where a walk stands: at a chunk, behind another.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u64,
    /// The size of the chunk before, 0 of none.
    before: u64,
}

impl Walk<'_, '_> {
    fn heap(&mut self, start: u64, end: u64) -> Fact<()> {
        let entered = self.window.enter(start, end);
        let top = self.arena.top.map_or(end, |(top, _)| top);
        let end = if (start..end).contains(&top) { top } else { end };
        let mut place = Place { at: self.arena.first_chunk(start), before: 0 };
        if entered.is_err() {
            self.reported.rest = self.reported.rest.saturating_add(end.saturating_sub(place.at));
            return entered;
        }
        // Where windows began, what was read up to there fits together.
        let mut good = vec![(place, self.reported.mark())];
        let (mut furthest, mut tries) = (place.at, 0);
        while place.at < end {
            if place.at > furthest && !self.window.holds(place.at) {
                good.push((place, self.reported.mark()));
                (furthest, tries) = (place.at, 0);
                self.began = place.at;
                self.window.widen();
            }
            match self.step(place, end) {
                Ok(Some(next)) => place = next,
                Ok(None) => break,
                Err(lack) if lack.kind == MissingKind::Malformed && tries < TRIES => {
                    tries += 1;
                    // What fitted together may be gone by now.
                    if tries.is_multiple_of(STEP_BACK) && good.len() > 1 {
                        good.pop();
                    }
                    let (from, mark) = good[good.len() - 1];
                    place = from;
                    self.began = place.at;
                    self.reported.back_to(mark);
                    self.window.narrow();
                }
                Err(lack) => {
                    self.reported.rest = self.reported.rest.saturating_add(end - place.at);
                    return Err(lack);
                }
            }
        }
        if place.at == end {
            // The last chunk's state stands in what follows it.
            self.before(place)?;
        }
        Ok(())
    }

    /// Books the chunk before and goes to the next one; `None` is the end of a heap
    /// that is no more grown.
    fn step(&mut self, place: Place, end: u64) -> Fact<Option<Place>> {
        let word = self.before(place)?;
        let size = word & !FLAGS;
        if size <= ALIGN && end - place.at <= FENCE {
            return Ok(None);
        }
        let is_one = size > ALIGN && size.is_multiple_of(ALIGN) && size <= end - place.at;
        if !is_one || word & FLAGS & !PREVIOUS_IN_USE & !self.arena.flags() != 0 {
            return Err(broken(format!("the chunk at {:#x} can not be", place.at)));
        }
        self.reported.chunks += 1;
        if let Some(len) = tcache::length(size)
            && let Ok(bytes) = self.window.bytes(place.at + ALIGN, len)
            && let Some(kept) = tcache::kept(size, bytes, self.fill, self.space)
        {
            self.reported.cached = self.reported.cached.saturating_add(kept);
            self.reported.caches += 1;
        }
        Ok(Some(Place { at: place.at + size, before: size }))
    }

    /// The word of sizes at a place, after the chunk before it is booked.
    fn before(&mut self, Place { at, before }: Place) -> Fact<u64> {
        let header = self.window.bytes(at, 16)?;
        let (previous, word) = (u64_at(header, 0), u64_at(header, 8));
        let word = word.ok_or_else(|| broken("a chunk has no header"))?;
        if before > 0 && word & PREVIOUS_IN_USE == 0 {
            // In an earlier reading it may have had another size.
            if previous != Some(before) && at != self.began {
                return Err(broken(format!("the free chunk before {at:#x} has two sizes")));
            }
            self.reported.free = self.reported.free.saturating_add(before);
            let start = (at - before + HEAD).next_multiple_of(self.page);
            let end = at / self.page * self.page;
            if start < end && self.reported.whole.len() < MAX_RANGES {
                self.reported.whole.push((start, end));
            }
        }
        Ok(word)
    }
}

/// How much was found up to a place, so that a walk can go back there.
#[derive(Debug, Clone, Copy)]
struct Mark {
    free: u64,
    whole: usize,
    cached: u64,
    caches: usize,
    chunks: usize,
}

impl Walked {
    fn mark(&self) -> Mark {
        let Self { free, cached, caches, chunks, .. } = *self;
        Mark { free, whole: self.whole.len(), cached, caches, chunks }
    }

    fn back_to(&mut self, mark: Mark) {
        self.whole.truncate(mark.whole);
        (self.free, self.cached) = (mark.free, mark.cached);
        (self.caches, self.chunks) = (mark.caches, mark.chunks);
    }
}

/// A part of resident memory that was read at once.
struct Window<'s, 'm> {
    /// Bytes that are read at once: less where the program is busy.
    size: usize,
    space: &'s Space<'m>,
    resident: Ranges,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_, '_> {
    /// Asks which parts of a heap are resident.
    fn enter(&mut self, start: u64, end: u64) -> Fact<()> {
        self.bytes.clear();
        // One more byte, for what follows the last chunk.
        self.resident = self.space.resident(start, end.saturating_add(1))?;
        Ok(())
    }

    fn widen(&mut self) {
        self.size = (self.size * 2).min(WINDOW);
    }

    /// Forgets what was read, to read less of it anew.
    fn narrow(&mut self) {
        self.bytes.clear();
        self.size = (self.size / 4).max(NARROWEST);
    }

    fn holds(&self, at: u64) -> bool {
        at >= self.start && at + 16 <= self.start + self.bytes.len() as u64
    }

    fn bytes(&mut self, at: u64, len: usize) -> Fact<&[u8]> {
        let is_there = at >= self.start
            && at.saturating_add(len as u64) <= self.start + self.bytes.len() as u64;
        if !is_there {
            self.load(at, len)?;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let part = self.bytes.get(from..).and_then(|rest| rest.get(..len));
        part.ok_or_else(|| broken("a chunk reaches beyond what is resident"))
    }

    fn load(&mut self, at: u64, len: usize) -> Fact<()> {
        let index = self.resident.partition_point(|(_, end)| *end <= at);
        let range = self.resident.get(index).filter(|(start, _)| *start <= at);
        let Some((start, end)) = range else {
            let why = format!("the chunk at {at:#x} is not resident");
            return Err(Missing::new(MissingKind::Refused, why));
        };
        let start = (at / super::SMALLEST_PAGE * super::SMALLEST_PAGE).max(*start);
        let most = (self.size as u64).max(at - start + len as u64).min(end - start);
        // What is read over need not be cleared before.
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize(usize::try_from(most).unwrap_or_default(), 0);
        self.space.read(start, &mut bytes)?;
        (self.start, self.bytes) = (start, bytes);
        Ok(())
    }
}
