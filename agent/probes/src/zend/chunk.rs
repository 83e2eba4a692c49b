//! One chunk: its first page describes it.

use memgap_kernel::memory::{Space, u32_at, u64_at};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::Fact;

use crate::probe::broken;

/// Chunks are so large, and begin at its multiples (`ZEND_MM_CHUNK_SIZE`).
pub(super) const CHUNK: u64 = 2 << 20;
/// `ZEND_MM_PAGE_SIZE`, whatever the machine's.
pub(super) const PAGE: u64 = 4096;
/// Pages of a chunk; the first one describes it (`ZEND_MM_FIRST_PAGE`).
const PAGES: u32 = 512;
/// Bytes of `free_map`: a bit for each page that is in use.
const FREE_MAP: usize = 64;
/// What `map`, which follows it, says of the first page: a run of one.
const FIRST_PAGE: u32 = 0x4000_0001;
/// In a chunk: `heap`, `next`, `prev`, `free_pages`.
pub(super) const HEAP: usize = 0;
pub(super) const NEXT: usize = 8;
pub(super) const PREV: usize = 16;
pub(super) const FREE_PAGES: usize = 24;

/// A chunk in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    pub start: u64,
    pub next: u64,
    pub prev: u64,
    /// Runs of pages in use and of free ones, behind the first page.
    pub used: Ranges,
    pub free: Ranges,
}

/// Where `map` stands, by the chunk's first page.
pub(super) fn place_of_map(page: &[u8], from: usize) -> Option<usize> {
    (from + FREE_MAP..=page.len() / 2).step_by(8).find(|at| {
        u32_at(page, *at) == Some(FIRST_PAGE)
            && free_map(page, *at).is_some_and(|map| map[0] & 1 == 1)
    })
}

impl Chunk {
    /// Reads the chunk there: its page is resident in all that is.
    pub fn read(start: u64, heap: u64, map: usize, space: &Space<'_>) -> Fact<Self> {
        let mut page = vec![0; map + 8];
        space.read(start, &mut page)?;
        if u64_at(&page, HEAP) != Some(heap) {
            return Err(broken("a chunk is of another heap"));
        }
        if u32_at(&page, map) != Some(FIRST_PAGE) {
            return Err(broken("a chunk does not hold its own description"));
        }
        let bits = free_map(&page, map).ok_or_else(|| broken("a chunk's map is cut"))?;
        let free_pages = u32_at(&page, FREE_PAGES).unwrap_or(u32::MAX);
        if bits.iter().map(|word| word.count_ones()).sum::<u32>().checked_add(free_pages)
            != Some(PAGES)
        {
            return Err(broken("a chunk's free pages are not those that it counts"));
        }
        let word = |at| u64_at(&page, at).unwrap_or_default();
        let mut chunk =
            Self { start, next: word(NEXT), prev: word(PREV), used: Vec::new(), free: Vec::new() };
        for number in 1..PAGES {
            let is_used = bits[number as usize / 64] >> (number % 64) & 1 == 1;
            let from = start + u64::from(number) * PAGE;
            push(if is_used { &mut chunk.used } else { &mut chunk.free }, from, from + PAGE);
        }
        Ok(chunk)
    }
}

fn free_map(page: &[u8], map: usize) -> Option<[u64; 8]> {
    let from = map.checked_sub(FREE_MAP)?;
    let mut words = [0; 8];
    for (index, word) in words.iter_mut().enumerate() {
        *word = u64_at(page, from + index * 8)?;
    }
    Some(words)
}

/// Adds what follows on the last one to it.
pub(super) fn push(ranges: &mut Ranges, start: u64, end: u64) {
    match ranges.last_mut() {
        Some(last) if last.1 == start => last.1 = end,
        _ => ranges.push((start, end)),
    }
}
