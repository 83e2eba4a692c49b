//! Laws C2 and C3: working set and required are cuts through one axis, from in
//! use to usage.

use crate::account::Account;
use crate::behind::Behind;
use crate::fact::Fact;
use crate::figure::Figure;
use crate::in_use::{self, Charged};
use crate::ledger::Ledger;
use crate::required::required;
use crate::sample::CgroupSample;

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
    /// In the swap area, and so in none of the figures above.
    pub swap: Figure,
    /// The largest usage so far.
    pub peak: Figure,
    /// In use by the heap statistics of its processes' allocators and runtimes, pages that
    /// several of them map counted once; the high bound includes what none were read of.
    pub in_use: Figure,
    /// Share of the anonymous memory of which it is known what it is, 0 to 1.
    pub in_use_coverage: Option<f64>,
}

/// What the lists tell beside the accounts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cuts {
    /// Lazily freed at some time and still on the file lists.
    pub lru_lazy: Figure,
    /// Page cache that reclaim can not take.
    pub locked_cache: Figure,
    /// Kernel memory that its processes surely need.
    pub kernel_needed: u64,
    /// How far `memory.stat` can be behind the usage.
    pub behind: Behind,
}

/// Makes the headline from the accounts below it.
pub(crate) fn of_cgroup(
    sample: &CgroupSample,
    ledger: &Ledger,
    cuts: &Cuts,
    in_use: Option<&Charged>,
) -> CgroupHeadline {
    let usage = sample.usage.as_ref().ok().copied();
    let stat = sample.stat.as_ref().ok();
    CgroupHeadline {
        usage: usage.map_or(Figure::Absent, Figure::exact),
        working_set: match (usage, stat) {
            (Some(usage), Some(stat)) => Figure::exact(usage.saturating_sub(stat.inactive_file)),
            _ => Figure::Absent,
        },
        working_set_hidden: hidden(cuts.lru_lazy, ledger.figure(Account::LazyFree)),
        required: match (usage, stat) {
            (Some(usage), Some(stat)) => {
                let required =
                    required(usage, stat, sample, ledger, cuts.locked_cache, cuts.kernel_needed);
                cuts.behind.widen(required)
            }
            _ => Figure::Absent,
        },
        limit: sample.limit.as_ref().ok().copied().flatten(),
        swap: known(&sample.events.swap),
        peak: known(&sample.events.peak),
        in_use: in_use.map_or(Figure::Absent, |charged| charged.total),
        in_use_coverage: in_use.map(|_| in_use::coverage(|account| ledger.booked(account))),
    }
}

fn known(bytes: &Fact<u64>) -> Figure {
    bytes.as_ref().map_or(Figure::Absent, |bytes| Figure::exact(*bytes))
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
