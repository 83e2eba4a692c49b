//! The walk-free identity: lazily freed pages are anonymous, yet stand on the
//! file lists (Linux 4.12, f7ad2a6cb9f7). What those lists hold beyond the page
//! cache is memory that was lazily freed.

use crate::Figure;
use crate::figure::{difference, signed};

/// What the identity needs, from one read of `memory.stat` or `meminfo`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lists {
    /// `inactive_file + active_file`.
    pub file_lists: u64,
    /// Page cache without shared memory.
    pub page_cache: u64,
    /// Anonymous memory: bounds what can be lazy.
    pub anon: u64,
    /// Pages off the lists by `mlock`; the kernel does not say of which kind.
    pub unevictable: u64,
    /// Page cache that walks saw locked: of `unevictable`, what is known to be in
    /// `page_cache`.
    pub locked_file: u64,
    /// Processors: pages wait in per-CPU batches before they reach a list.
    pub cpus: u32,
}

/// What a processor can hold back: a statistics batch of 64 pages.
const BATCH: u64 = 64 * 4096;

/// What the processors together can hold back.
pub(crate) fn noise(cpus: u32) -> u64 {
    BATCH.saturating_mul(cpus.into())
}

/// Memory on the file lists that is not page cache, whether still lazy or written
/// again since: `lru_lazy`.
pub(crate) fn lazy(lists: &Lists) -> Figure {
    let anon = signed(lists.anon);
    let surplus = difference(lists.file_lists, lists.page_cache);
    let noise = signed(noise(lists.cpus));
    let locked = signed(lists.locked_file.min(lists.unevictable));
    let point = surplus.saturating_add(locked).clamp(0, anon);
    let low = surplus.saturating_sub(noise).clamp(0, point);
    let high =
        surplus.saturating_add(signed(lists.unevictable)).saturating_add(noise).clamp(point, anon);
    Figure::interval(low, point, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surplus_of_the_file_lists_is_lazy() {
        let lists = Lists {
            file_lists: 268_427_264,
            page_cache: 0,
            anon: 512 << 20,
            unevictable: 0,
            locked_file: 0,
            cpus: 2,
        };
        assert_eq!(lazy(&lists).point(), Some(268_427_264));
    }

    #[test]
    fn mlocked_memory_widens_the_interval_only_upwards() {
        let lists = Lists {
            file_lists: 0,
            page_cache: 8 << 20,
            anon: 512 << 20,
            unevictable: 24 << 20,
            locked_file: 0,
            cpus: 0,
        };
        assert_eq!(lazy(&lists), Figure::interval(0, 0, 16 << 20));
        // A walk saw 12 of the 24 MiB to be page cache: so many are missing on the
        // lists, which lack 8 MiB, and the other 4 are lazy.
        let walked = Lists { locked_file: 12 << 20, ..lists };
        assert_eq!(lazy(&walked), Figure::interval(0, 4 << 20, 16 << 20));
    }
}
