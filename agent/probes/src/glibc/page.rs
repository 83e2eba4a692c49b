//! A page of an arena by itself: each chunk leads to the next one and tells whether the
//! one before is free, so memory shows where chunks begin, read from any place on.

use std::iter::successors;

use memgap_kernel::memory::u64_at;

use super::ALIGN;
use super::arena::{Arena, FLAGS, PREVIOUS_IN_USE};
use super::chase::{BLOCK, SMALLEST};

/// Two words alone may look like chunks by chance.
pub(super) const LEAST_CHUNKS: usize = 2;
/// Chunks of fast lists are at most so large.
const LARGEST_FAST: u64 = 128;

/// A page, and whose it is. Places in it are told by their distance from its start.
pub(super) struct Page<'p> {
    pub at: u64,
    pub bytes: &'p [u8],
    pub arena: &'p Arena,
}

impl Page<'_> {
    /// Where chunks begin: the places that lead on to most others. One place alone is
    /// believed where no other looks like it.
    pub fn starts(&self) -> Vec<u64> {
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
        self.starts_from(BLOCK - before_end * ALIGN)
    }

    /// Where chunks begin from a place on where one does.
    pub fn starts_from(&self, start: u64) -> Vec<u64> {
        let next = |at: &u64| Some(at + self.size(*at)?).filter(|next| *next < BLOCK);
        successors(Some(start), next).collect()
    }

    /// The size of the chunk that begins at a place, where one can.
    pub fn size(&self, at: u64) -> Option<u64> {
        let word = self.word(at + 8);
        let size = word & !FLAGS;
        let is_size = size >= SMALLEST
            && size.is_multiple_of(ALIGN)
            && size <= self.arena.system_mem
            && word & FLAGS & !PREVIOUS_IN_USE & !self.arena.flags() == 0;
        is_size.then_some(size)
    }

    /// Whether the chunk before the one that begins at a place is free: on no fast list.
    pub fn is_free_before(&self, at: u64) -> bool {
        self.word(at + 8) & PREVIOUS_IN_USE == 0
    }

    /// The size of the chunk before the one that begins at a place, where that is free.
    pub fn size_before(&self, at: u64) -> u64 {
        self.word(at)
    }

    /// Whether what follows a chunk knows its size, where it has to.
    pub fn agrees(&self, next: u64, size: u64) -> bool {
        !self.is_free_before(next) || self.size_before(next) == size
    }

    /// Whether a chunk that counts as in use is on a fast list, whose links are mangled
    /// since 2.32: before, they look like any pointer.
    pub fn is_fast(&self, at: u64, size: u64) -> bool {
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
