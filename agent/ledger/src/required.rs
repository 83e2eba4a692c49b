//! Law C3: what a limit has to hold is usage less what the kernel can take back
//! without swapping.

use crate::account::Account;
use crate::figure::{Figure, signed};
use crate::ledger::Ledger;
use crate::lru;
use crate::sample::{CgroupSample, MemoryStat};

/// The cut through the accounts of a cgroup. `locked_cache` is page cache that
/// reclaim can not take; `kernel_needed` is kernel memory that its processes need.
pub(crate) fn required(
    usage: u64,
    stat: &MemoryStat,
    sample: &CgroupSample,
    ledger: &Ledger,
    locked_cache: Figure,
    kernel_needed: u64,
) -> Figure {
    let cache = ledger.booked(Account::PageCache);
    let lazy = ledger.figure(Account::LazyFree);
    let (lazy_low, lazy_high) = lazy.bounds().unwrap_or((0, 0));
    let (locked_low, locked_high) = locked_cache.bounds().unwrap_or((0, cache));
    let locked = locked_cache.point().unwrap_or(0);
    let kept = signed(usage).saturating_sub(cache);

    // Lazily freed and locked pages are known by their difference: where more are
    // locked, more are lazy.
    let apart = difference_at_least(stat, sample.cpus).max(locked_low.saturating_sub(lazy_high));
    let low =
        kept.saturating_add(apart).saturating_sub(droppable(stat, sample, ledger, kernel_needed));
    let slab = ledger.booked(Account::SlabReclaimable);
    let point =
        kept.saturating_add(locked).saturating_sub(lazy.point().unwrap_or(0)).saturating_sub(slab);
    // What of the kernel's caches somebody uses can not be dropped, and nobody says how
    // much that is: entries of tmpfs, nodes of its files' trees.
    let high = kept.saturating_add(locked_high).saturating_sub(lazy_low);
    Figure::interval(low.max(0), point.max(0), high.max(0))
}

/// The least that locked page cache can exceed lazily freed memory by.
fn difference_at_least(stat: &MemoryStat, cpus: u32) -> i64 {
    let lists = stat.inactive_file.saturating_add(stat.active_file);
    let cache = stat.file.saturating_sub(stat.shmem);
    signed(cache).saturating_sub(signed(lists)).saturating_sub(signed(lru::noise(cpus)))
}

/// The most that can be taken back beside page cache and lazily freed memory.
fn droppable(stat: &MemoryStat, sample: &CgroupSample, ledger: &Ledger, kernel_needed: u64) -> i64 {
    // v1 does not say how much of the kernel's memory can be dropped.
    let slab = match stat.slab_reclaimable {
        Some(slab) => signed(slab),
        None => ledger.booked(Account::Kernel).saturating_sub(signed(kernel_needed)).max(0),
    };
    // Pages that are also in the swap area go without being written, and tails of
    // huge pages mostly go once the kernel splits them.
    let swaps = !matches!(sample.swap_limit, Ok(Some(0)));
    let swapcache = if swaps { signed(stat.swapcached.unwrap_or(0)) } else { 0 };
    slab.saturating_add(ledger.booked(Account::OffLru).max(swapcache))
}
