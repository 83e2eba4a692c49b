//! Laws C2 and C3: working set and required are cuts through one axis, from in
//! use to usage.

use crate::account::{ANONYMOUS, Account};
use crate::figure::{Figure, signed};
use crate::ledger::Ledger;
use crate::members::{self, Members};
use crate::sample::{CgroupSample, MemoryStat};

/// The headline figures of a cgroup.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CgroupHeadline {
    /// `memory.current`.
    pub usage: Figure,
    /// Law C2, as cAdvisor and the kubelet compute it.
    pub working_set: Figure,
    /// Live memory that the working set leaves out.
    pub working_set_hidden: Figure,
    /// Law C3: what a limit really has to hold.
    pub required: Figure,
    /// The limit; `None` where there is none or it was not read.
    pub limit: Option<u64>,
    /// In use by the heap statistics of its processes' allocators and runtimes.
    pub in_use: Figure,
    /// Share of the anonymous memory that such heap statistics claim, 0 to 1.
    pub in_use_coverage: Option<f64>,
}

/// Makes the headline from the accounts below it.
pub(crate) fn of_cgroup(
    sample: &CgroupSample,
    ledger: &Ledger,
    lru_lazy: Figure,
    members: Members<'_>,
) -> CgroupHeadline {
    let usage = sample.usage.as_ref().ok().copied();
    let stat = sample.stat.as_ref().ok();
    let in_use = members
        .unwrap_or_default()
        .iter()
        .fold(Figure::Absent, |sum, p| sum.plus(p.headline.in_use));
    CgroupHeadline {
        usage: usage.map_or(Figure::Absent, Figure::exact),
        working_set: match (usage, stat) {
            (Some(usage), Some(stat)) => Figure::exact(usage.saturating_sub(stat.inactive_file)),
            _ => Figure::Absent,
        },
        working_set_hidden: hidden(lru_lazy, ledger.figure(Account::LazyFree)),
        required: match (usage, stat) {
            (Some(usage), Some(stat)) => {
                required(usage, stat, sample, ledger, members::locked_file(members))
            }
            _ => Figure::Absent,
        },
        limit: sample.limit.as_ref().ok().copied().flatten(),
        in_use,
        in_use_coverage: (in_use != Figure::Absent).then(|| coverage(ledger)),
    }
}

/// `lru_lazy - lazy_free`: pages on the file lists that were written again.
fn hidden(lru_lazy: Figure, lazy: Figure) -> Figure {
    let (Some(point), Some(lazy_point)) = (lru_lazy.point(), lazy.point()) else {
        return Figure::Absent;
    };
    let (Some((low, high)), Some((lazy_low, lazy_high))) = (lru_lazy.bounds(), lazy.bounds())
    else {
        return Figure::Absent;
    };
    let at_least_0 = |bytes: i64| bytes.max(0);
    Figure::interval(
        at_least_0(low.saturating_sub(lazy_high)),
        at_least_0(point.saturating_sub(lazy_point)),
        at_least_0(high.saturating_sub(lazy_low)),
    )
}

/// Law C3. Locked page cache can not be taken back; without a walk it is known
/// to lie between nothing and all that is unevictable.
fn required(
    usage: u64,
    stat: &MemoryStat,
    sample: &CgroupSample,
    ledger: &Ledger,
    locked_file: Figure,
) -> Figure {
    let cache = ledger.booked(Account::PageCache);
    let lazy = ledger.figure(Account::LazyFree);
    let (lazy_low, lazy_high) = lazy.bounds().unwrap_or((0, 0));
    let locked_high = signed(stat.unevictable).min(cache);
    let locked = locked_file.point().unwrap_or(0).min(locked_high);
    let slab = ledger.booked(Account::SlabReclaimable);
    let base = signed(usage).saturating_sub(cache).saturating_sub(slab);
    // v1 does not say how much of the kernel's memory can be dropped.
    let unsplit = stat.slab_reclaimable.is_none();
    let slab_high = if unsplit { ledger.booked(Account::Kernel).max(0) } else { 0 };
    // Pages that are also in the swap area go without being written, and tails of
    // huge pages mostly go once the kernel splits them.
    let swaps = !matches!(sample.swap_limit, Ok(Some(0)));
    let swapcache = if swaps { signed(stat.swapcached.unwrap_or(0)) } else { 0 };
    let off_lru = ledger.booked(Account::OffLru).max(swapcache);
    let low = base.saturating_sub(lazy_high).saturating_sub(slab_high).saturating_sub(off_lru);
    let point = base.saturating_sub(lazy.point().unwrap_or(0)).saturating_add(locked);
    let high = base.saturating_sub(lazy_low).saturating_add(locked_high);
    Figure::interval(low.max(0), point.max(0), high.max(0))
}

/// The share of the anonymous memory, lazily freed left out, that heap statistics claim.
fn coverage(ledger: &Ledger) -> f64 {
    let all = ledger.sum(ANONYMOUS).max(1);
    let unknown = ledger.sum(&[Account::HeapUnprobed, Account::Unexplained, Account::Unreadable]);
    ((all.saturating_sub(unknown)) as f64 / all as f64).clamp(0.0, 1.0)
}
