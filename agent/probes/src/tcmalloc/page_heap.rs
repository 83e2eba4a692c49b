//! The page heap: spans of pages by their length, and the counters behind these lists.

use memgap_kernel::memory::{Space, u64_at};
use memgap_ledger::Fact;

use crate::Image;
use crate::probe::broken;

/// Bytes of a span: start, length, next, prev, what differs by its use, and bits.
pub(super) const SPAN: usize = 48;
/// Two lists, normal and given back, of each length up to 128 pages of 8 KiB.
const LISTS: usize = 2 * 128;
/// Behind them: `system_bytes`, `free_bytes`, `unmapped_bytes`, `committed_bytes`.
const COUNTERS: usize = 4;

/// What the page heap counts, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageHeap {
    /// All that it has.
    pub system: u64,
    /// In free spans: as they were left, and given back.
    pub free: u64,
    pub unmapped: u64,
}

/// Whether the head of a list of spans stands at `address`: linked to itself, or both ways
/// to others.
pub(super) fn is_list(address: u64, bytes: &[u8]) -> bool {
    let word = |index: usize| u64_at(bytes, index * 8);
    let (Some(0), Some(0), Some(next), Some(prev)) = (word(0), word(1), word(2), word(3)) else {
        return false;
    };
    next != 0 && prev != 0 && (next == address) == (prev == address) && (next | prev) % 8 == 0
}

/// Where the counters stand, before the bias.
pub(super) fn find(image: &Image<'_>, space: &Space<'_>) -> Fact<Option<u64>> {
    let bias = image.mapped.bias;
    let wide = LISTS * SPAN + COUNTERS * 8;
    let found = image.find_variable(wide, space, |address, bytes| {
        let at = |list: usize| address.wrapping_add(bias).wrapping_add((list * SPAN) as u64);
        (0..LISTS).all(|list| is_list(at(list), &bytes[list * SPAN..]))
            && PageHeap::of(&bytes[LISTS * SPAN..]).is_ok()
    })?;
    Ok(found.map(|lists| lists + (LISTS * SPAN) as u64))
}

impl PageHeap {
    pub fn read(at: u64, space: &Space<'_>) -> Fact<Self> {
        let mut bytes = [0; COUNTERS * 8];
        space.read(at, &mut bytes)?;
        Self::of(&bytes)
    }

    fn of(bytes: &[u8]) -> Fact<Self> {
        let word = |index: usize| u64_at(bytes, index * 8).unwrap_or_default();
        let [system, free, unmapped, committed] = [0, 1, 2, 3].map(word);
        let is_sound = system > 0
            && system <= 1 << 47
            && [system, free, unmapped].iter().all(|bytes| bytes.is_multiple_of(4096))
            && free.checked_add(unmapped).is_some_and(|both| both <= system)
            && committed.checked_add(unmapped) == Some(system);
        if !is_sound {
            return Err(broken("the page heap's counters do not add up"));
        }
        Ok(Self { system, free, unmapped })
    }
}
