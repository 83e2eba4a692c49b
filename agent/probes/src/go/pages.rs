//! The page allocator's bitmaps: which pages of the heap are in use.

use memgap_kernel::memory::Space;
use memgap_ledger::Fact;

use super::shape::CHUNKS;
use super::{Machine, Variables};
use crate::probe::broken;

/// A chunk is what one entry of the bitmaps describes: 512 pages of 8 KiB.
const CHUNK: u64 = 4 << 20;
const PAGE: u64 = 8192;
/// An entry: 512 bits of what is in use, then 512 of what was given back.
const ENTRY: usize = 128;
const WORDS: usize = 8;
/// Entries of the second level.
const SECOND: u64 = 8192;
/// Entries that are read at once.
const WINDOW: u64 = 2048;
/// The largest heap that is looked at page by page.
const MAX_CHUNKS: u64 = 1 << 18;

/// The pages of the heap, as ranges in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// In use: by objects, stacks, work buffers, or kept by a processor.
    pub used: Vec<(u64, u64)>,
    /// Free, given back to the kernel or not.
    pub free: Vec<(u64, u64)>,
}

/// Reads the bitmaps of the heap's ranges.
pub(super) fn read(
    variables: &Variables,
    bias: u64,
    space: &Space<'_>,
    ranges: &[(u64, u64)],
) -> Fact<Pages> {
    let base = match variables.machine {
        // The first half of the address space comes last.
        Machine::Amd64 => 0xffff_8000_0000_0000,
        Machine::Arm64 => 0,
    };
    let chunks =
        ranges.iter().fold(0u64, |sum, (start, end)| sum.saturating_add((end - start) / CHUNK));
    if chunks > MAX_CHUNKS {
        return Err(broken("the heap is larger than 1 TiB"));
    }
    let first_level = variables.page_alloc.wrapping_add(bias).wrapping_add(CHUNKS);
    let mut pages = Pages::default();
    let mut buf = Vec::new();
    for &(start, end) in ranges {
        if start % CHUNK != 0 || end % CHUNK != 0 {
            return Err(broken("the heap's ranges are not made of whole chunks"));
        }
        let mut at = start;
        while at < end {
            let number = at.wrapping_sub(base) / CHUNK;
            let (first, second) = (number / SECOND, number % SECOND);
            if first >= SECOND {
                return Err(broken("the heap lies beyond its bitmaps"));
            }
            let [table] = space.words::<1>(first_level.wrapping_add(first * 8))?;
            let count = ((end - at) / CHUNK).min(SECOND - second).min(WINDOW);
            buf.resize(usize::try_from(count).unwrap_or_default() * ENTRY, 0);
            space.read(table.wrapping_add(second * ENTRY as u64), &mut buf)?;
            let entries = buf.as_chunks::<ENTRY>().0;
            for (entry, index) in entries.iter().zip(0..) {
                pages.add(entry, at + index * CHUNK);
            }
            at += count * CHUNK;
        }
    }
    Ok(pages)
}

impl Pages {
    /// Adds the pages of one chunk, a run of equal ones at a time.
    fn add(&mut self, entry: &[u8; ENTRY], start: u64) {
        let (words, _) = entry.as_chunks::<8>();
        for (bytes, index) in words.iter().take(WORDS).zip(0u64..) {
            let place = start + index * 64 * PAGE;
            let word = u64::from_le_bytes(*bytes);
            let mut bit = 0u32;
            while bit < u64::BITS {
                let rest = word >> bit;
                let is_used = rest & 1 == 1;
                let run = if is_used { rest.trailing_ones() } else { rest.trailing_zeros() };
                let end = (bit + run).min(u64::BITS);
                let into = if is_used { &mut self.used } else { &mut self.free };
                push(into, place + u64::from(bit) * PAGE, place + u64::from(end) * PAGE);
                bit = end;
            }
        }
    }
}

fn push(ranges: &mut Vec<(u64, u64)>, start: u64, end: u64) {
    match ranges.last_mut() {
        Some(last) if last.1 == start => last.1 = end,
        _ => ranges.push((start, end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_pages_go_across_words_and_chunks() {
        let mut entry = [0; ENTRY];
        // Pages 62 to 65 of the first chunk, and its last one.
        entry[7] = 0b1100_0000;
        entry[8] = 0b0000_0011;
        entry[63] = 0b1000_0000;
        let mut pages = Pages::default();
        pages.add(&entry, CHUNK);
        let mut first = [0; ENTRY];
        first[0] = 1;
        pages.add(&first, 2 * CHUNK);
        let page = |number: u64| CHUNK + number * PAGE;
        assert_eq!(pages.used, [(page(62), page(66)), (page(511), page(513))]);
        assert_eq!(
            pages.free,
            [(page(0), page(62)), (page(66), page(511)), (page(513), page(1024))]
        );
    }
}
