//! Segments, and the spans of slices that each is made of.

use std::iter;

use memgap_kernel::memory::{Area, Space, u16_at, u32_at, u64_at};
use memgap_ledger::Fact;

use super::shape::{Field, Shape};
use crate::probe::broken;

/// Segments begin at its multiples, and most are so long (`MI_SEGMENT_SIZE`).
pub(super) const ALIGNED: u64 = 32 << 20;
/// `MI_SEGMENT_SLICE_SIZE`.
pub(super) const SLICE: u64 = 64 << 10;
const SLICES: u64 = ALIGNED / SLICE;
/// Words at the beginning of a segment that are read.
const WORDS: usize = 36;
/// Slices that a segment keeps for itself, at most.
const OWN: u64 = 8;
/// `MI_SEGMENT_HUGE`: a segment of one block.
const HUGE: u64 = 1;
/// The largest block: 4 TiB.
const LARGEST: u64 = 1 << 26;
/// `MI_HUGE_BLOCK_SIZE`: blocks from here on are as large as their span, before 2.1.7.
const UNTOLD: u64 = 2 << 30;
/// In a page's list of what other threads freed, where it is empty: the first one goes to
/// the heap's list and makes it another (`MI_USE_DELAYED_FREE`), or none ever does so.
const DELAYED: u64 = 0;
const NEVER_DELAYED: u64 = 3;
/// In a page, in bytes.
const COUNT: usize = 0;
const CAPACITY: usize = 10;
const RESERVED: usize = 12;

/// A segment, by its first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub start: u64,
    pub shape: Shape,
    /// `_mi_heap_main.cookie`, of the process.
    pub secret: u64,
    /// Slices of all, and those that it keeps for itself.
    slices: u64,
    own: u64,
    /// Slices that have an entry.
    entries: u64,
}

/// What some slices in a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub start: u64,
    pub end: u64,
    /// Bytes of the blocks in use; 0 where none is.
    pub in_use: u64,
    /// Whether other threads than the owner have freed some of them.
    pub is_freed_by_others: bool,
}

/// Where segments may begin: what is in memory of each multiple.
pub(super) fn places(areas: &[Area], space: &Space<'_>) -> Fact<Vec<u64>> {
    let mut places = Vec::new();
    for area in areas.iter().filter(|area| area.is_writable && area.is_anonymous) {
        if area.start.next_multiple_of(ALIGNED) >= area.end {
            continue;
        }
        for (from, to) in space.resident(area.start, area.end)? {
            let from = from.max(area.start).next_multiple_of(ALIGNED);
            let to = to.min(area.end);
            places.extend(
                iter::successors(Some(from), |at| Some(at + ALIGNED)).take_while(|at| *at < to),
            );
        }
    }
    Ok(places)
}

impl Segment {
    /// The segment that begins there, if one does.
    pub fn begin(at: u64, shape: Shape, space: &Space<'_>) -> Fact<Option<Self>> {
        let mut bytes = [0; WORDS * 8];
        if !space.read_if_resident(at, &mut bytes)? {
            return Ok(None);
        }
        let word = |index: usize| u64_at(&bytes, index * 8).unwrap_or_default();
        let [slices, own, kind, entries] = [0, 1, 2, 3].map(|i| word(shape.slices + i));
        let is_sized = match kind {
            0 => slices == SLICES,
            HUGE => (1..=LARGEST).contains(&slices),
            _ => false,
        };
        let is_it = is_sized && entries == slices.min(SLICES) && (1..=OWN).contains(&own);
        if !is_it || own >= slices || at.checked_add(slices * SLICE).is_none() {
            return Ok(None);
        }
        let secret = word(shape.cookie) ^ at;
        Ok(Some(Self { start: at, shape, secret, slices, own, entries }))
    }

    pub fn end(&self) -> u64 {
        self.start + self.slices * SLICE
    }

    /// The end of the table, and so of what it keeps for itself.
    pub fn own_end(&self) -> u64 {
        let table = (self.entries + 1).saturating_mul(self.shape.page.bytes as u64);
        let end = (self.shape.table + table).next_multiple_of(4096);
        self.start + end.min(self.own * SLICE)
    }

    /// Its spans, where they fill it and each keeps the rules.
    pub fn spans(&self, space: &Space<'_>) -> Fact<Vec<Span>> {
        let page = self.shape.page.bytes;
        let entries = usize::try_from(self.entries).unwrap_or_default();
        let mut table = vec![0; entries * page];
        // Entries in the middle of spans may never have been written.
        space.read_sparse(self.start + self.shape.table, &mut table)?;
        let count = |index: u64| {
            let entry = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(page);
            table.get(entry..).and_then(|bytes| Some((bytes, u64::from(u32_at(bytes, COUNT)?))))
        };
        let mut spans = Vec::new();
        let mut at = 0;
        while at < self.entries {
            let (bytes, count) = count(at).ok_or_else(|| broken("a segment's table is cut"))?;
            // One of a huge block goes on behind the table.
            let next = if at > 0 && self.entries < self.slices { self.slices } else { at + count };
            if count == 0 || next > self.slices || (at == 0 && count != self.own) {
                return Err(broken("the spans of a segment do not fill it"));
            }
            if at > 0 {
                spans.push(self.span(at, next, bytes)?);
            }
            at = next;
        }
        Ok(spans)
    }

    fn span(&self, from: u64, to: u64, bytes: &[u8]) -> Fact<Span> {
        let page = self.shape.page;
        let cut = || broken("an entry of a segment is cut");
        let (start, end) = (self.start + from * SLICE, self.start + to * SLICE);
        let used = number(bytes, page.used).ok_or_else(cut)?;
        let said = number(bytes, page.block_size).ok_or_else(cut)?;
        let (capacity, reserved) =
            u16_at(bytes, CAPACITY).zip(u16_at(bytes, RESERVED)).ok_or_else(cut)?;
        let thread_free = u64_at(bytes, page.thread_free).ok_or_else(cut)?;
        if said == 0 {
            return Ok(Span { start, end, in_use: 0, is_freed_by_others: false });
        }
        let block = if said >= UNTOLD { said.min(end - start) } else { said };
        let in_use = used.saturating_mul(block);
        if used > u64::from(capacity) || capacity > reserved || in_use > end - start {
            return Err(broken("a page has more blocks in use than fit into it"));
        }
        let is_freed_by_others = !matches!(thread_free, DELAYED | NEVER_DELAYED);
        Ok(Span { start, end, in_use, is_freed_by_others })
    }
}

fn number(bytes: &[u8], field: Field) -> Option<u64> {
    match field {
        Field::Two(at) => u16_at(bytes, at).map(u64::from),
        Field::Four(at) => u32_at(bytes, at).map(u64::from),
        Field::Eight(at) => u64_at(bytes, at),
    }
}
