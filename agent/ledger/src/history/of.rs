//! Points of ledgers.

use super::Point;
use crate::figure::{Figure, signed};
use crate::runtime::since_gc;
use crate::{Account, CgroupLedger, ProcessLedger};

impl Point {
    /// What the ledger of a process tells. Its cache is what it maps of files.
    pub fn of_process(process: &ProcessLedger) -> Self {
        let of = |account| known(process.ledger.figure(account));
        let lazy = of(Account::LazyFree);
        Self {
            in_use: live(process.headline.in_use, since_gc(&process.runtimes)),
            free: of(Account::AllocatorFree),
            lazy,
            cache: of(Account::FileMapped),
            required: known(process.headline.rss).map(|rss| rss.saturating_sub(lazy.unwrap_or(0))),
            room: None,
        }
    }

    /// What the ledger of a cgroup tells.
    pub fn of_cgroup(cgroup: &CgroupLedger) -> Self {
        let of = |account| known(cgroup.ledger.figure(account));
        Self {
            in_use: live(cgroup.headline.in_use, cgroup.since_gc),
            free: of(Account::AllocatorFree),
            lazy: of(Account::LazyFree),
            cache: of(Account::PageCache),
            required: known(cgroup.headline.required),
            room: cgroup.room.as_ref().ok().and_then(|room| known(room.bytes)),
        }
    }
}

fn live(in_use: Figure, since_gc: i64) -> Option<u64> {
    let bytes = signed(known(in_use)?).saturating_sub(since_gc);
    Some(u64::try_from(bytes).unwrap_or(0))
}

/// What is less than nothing is nothing.
fn known(figure: Figure) -> Option<u64> {
    figure.point().map(|bytes| u64::try_from(bytes).unwrap_or(0))
}
