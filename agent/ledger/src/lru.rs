//! The walk-free identity: lazily freed pages are anonymous, yet stand on the
//! file lists (Linux 4.12, f7ad2a6cb9f7); page cache that is locked or of ramfs is on
//! no list that reclaim looks at. What those lists hold beyond the page cache is the
//! one less the other.

use crate::Figure;
use crate::figure::{difference, signed};

/// What the identity needs, from one read of `memory.stat` or `meminfo`.
#[derive(Debug, Clone, Copy, Default)]
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
    /// Other memory that walks saw locked: of `unevictable`, what is not page cache.
    pub locked_other: u64,
    /// Page cache that may be locked without being in `unevictable`.
    pub unmarked_at_most: u64,
    /// Lazily freed memory that walks saw just now.
    pub lazy_seen: u64,
    /// What was lazily freed since the beginning, where the kernel counts it.
    pub ever_lazy: Option<u64>,
    /// Processors: pages wait in per-CPU batches before they reach a list.
    pub cpus: u32,
}

/// What a processor can hold back: a statistics batch of 64 pages.
const BATCH: u64 = 64 * 4096;

/// Memory on the file lists that is not page cache, whether still lazy or written
/// again since: `lru_lazy`.
pub(crate) fn lazy(lists: &Lists) -> Figure {
    let (noise, off_lists) = (signed(noise(lists.cpus)), locked_cache(lists));
    let surplus = difference(lists.file_lists, lists.page_cache);
    let (_, locked_high) = off_lists.bounds().unwrap_or((0, 0));
    let most = lazy_at_most(lists);
    let point = surplus.saturating_add(off_lists.point().unwrap_or(0)).clamp(0, most);
    let low = surplus.saturating_sub(noise).max(signed(lists.lazy_seen)).clamp(0, point);
    let high = surplus.saturating_add(locked_high).saturating_add(noise).clamp(point, most);
    Figure::interval(low, point, high)
}

/// Page cache on no list that reclaim looks at: locked by whomever, or of ramfs. Each page
/// that the lists lack is one; those that lazily freed pages stand in for are known by
/// walks only.
pub(crate) fn locked_cache(lists: &Lists) -> Figure {
    let noise = signed(noise(lists.cpus));
    let lacking = difference(lists.page_cache, lists.file_lists);
    let unevictable = lists.unevictable.saturating_sub(lists.locked_other);
    let most = signed(lists.page_cache.min(unevictable));
    let beside_lazy = signed(lists.lazy_seen).saturating_add(lacking);
    let low = beside_lazy.max(lacking).saturating_sub(noise).clamp(0, signed(lists.page_cache));
    let high = most.min(lazy_at_most(lists).saturating_add(lacking).saturating_add(noise)).max(low);
    let seen = signed(lists.locked_file.min(unevictable));
    Figure::interval(low, beside_lazy.max(seen).clamp(low, high), high)
}

/// Page cache that reclaim can not take: what is on none of its lists, and what is on them
/// and locked all the same. `mlock` leaves a large folio there that it does not cover as a
/// whole, or that lies on both sides of a page table's end (`mlock_pte_range`, mm/mlock.c);
/// reclaim meets the lock and puts the folio back.
pub(crate) fn kept_cache(lists: &Lists) -> Figure {
    let off_lists = locked_cache(lists);
    let (low, high) = off_lists.bounds().unwrap_or((0, 0));
    let most = signed(lists.page_cache).max(high);
    let marked = lists.unevictable.saturating_sub(lists.locked_other);
    let seen = signed(lists.locked_file.saturating_sub(marked).min(lists.unmarked_at_most));
    let point = off_lists.point().unwrap_or(0).saturating_add(seen).min(most);
    let high = high.saturating_add(signed(lists.unmarked_at_most)).min(most);
    Figure::interval(low, point, high)
}

/// What the lists and the counters can be apart by without anything being wrong.
pub(crate) fn noise(cpus: u32) -> u64 {
    BATCH.saturating_mul(cpus.into())
}

fn lazy_at_most(lists: &Lists) -> i64 {
    let ever = lists
        .ever_lazy
        .map_or(i64::MAX, |ever| signed(ever).saturating_add(signed(noise(lists.cpus))));
    signed(lists.anon).min(ever)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn mib(low: i64, point: i64, high: i64) -> Figure {
        Figure::interval(low << 20, point << 20, high << 20)
    }

    #[test]
    fn the_surplus_of_the_file_lists_is_lazy() {
        let lists = Lists { file_lists: 268_427_264, anon: 512 * MIB, cpus: 2, ..Lists::default() };
        assert_eq!(lazy(&lists).point(), Some(268_427_264));
        assert_eq!(locked_cache(&lists), Figure::Exact(0));
    }

    #[test]
    fn mlocked_memory_widens_the_interval_only_upwards() {
        let lists = Lists {
            page_cache: 24 * MIB,
            file_lists: 16 * MIB,
            anon: 512 * MIB,
            unevictable: 24 * MIB,
            ..Lists::default()
        };
        assert_eq!((lazy(&lists), locked_cache(&lists)), (mib(0, 0, 16), mib(8, 8, 24)));
        // A walk saw 12 of the 24 MiB to be page cache: so many are missing on the
        // lists, which lack 8 MiB, and the other 4 are lazy.
        let walked = Lists { locked_file: 12 * MIB, ..lists };
        assert_eq!((lazy(&walked), locked_cache(&walked)), (mib(0, 4, 16), mib(8, 12, 24)));
        // And a walk that saw 10 MiB of heap locked bounds the cache.
        let heap = Lists { locked_other: 10 * MIB, ..lists };
        assert_eq!((lazy(&heap), locked_cache(&heap)), (mib(0, 0, 6), mib(8, 8, 14)));
    }

    #[test]
    fn cache_that_a_stranger_locked_needs_no_walk() {
        let lists = Lists {
            page_cache: 230 * MIB,
            file_lists: MIB,
            anon: 16 * MIB,
            unevictable: 229 * MIB,
            ..Lists::default()
        };
        assert_eq!(locked_cache(&lists), mib(229, 229, 229));
        assert_eq!(lazy(&lists), Figure::Exact(0));
        // Nor does it with lazily freed memory in its place, where that was walked.
        let beside = Lists { file_lists: 9 * MIB, lazy_seen: 8 * MIB, ..lists };
        assert_eq!(locked_cache(&beside), mib(229, 229, 229));
        assert_eq!(lazy(&beside), mib(8, 8, 8));
    }

    #[test]
    fn where_nothing_was_ever_lazily_freed_the_lists_tell_all() {
        let lists = Lists {
            page_cache: 100 * MIB,
            file_lists: 60 * MIB,
            anon: 512 * MIB,
            unevictable: 90 * MIB,
            ever_lazy: Some(0),
            ..Lists::default()
        };
        assert_eq!((lazy(&lists), locked_cache(&lists)), (mib(0, 0, 0), mib(40, 40, 40)));
    }

    #[test]
    fn ramfs_and_noise_below_a_batch_are_told_apart_by_unevictable() {
        let noisy = Lists {
            page_cache: MIB,
            file_lists: MIB - (100 << 10),
            anon: MIB,
            cpus: 2,
            ..Lists::default()
        };
        assert_eq!(locked_cache(&noisy), Figure::Exact(0));
    }
}
