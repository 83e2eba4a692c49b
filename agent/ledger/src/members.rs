//! The processes of a cgroup: how their ledgers split its anonymous memory.

mod in_use;
mod sum;

use std::time::Duration;

use crate::account::{ANONYMOUS, Account};
use crate::behind::Behind;
use crate::fact::{Missing, MissingKind};
use crate::figure::{Figure, signed};
use crate::ledger::Ledger;
use crate::process::ProcessLedger;
use crate::sample::MemoryStat;

pub(crate) use in_use::in_use;
pub(crate) use sum::Sum;

/// The ledgers of the processes in a cgroup and below it, or why there are none.
pub type Members<'a> = Result<&'a [&'a ProcessLedger], &'a Missing>;

/// What they sum up to, or why that is not known.
pub(crate) type Sums<'a> = Result<&'a Sum, &'a Missing>;

/// What is lazily freed now. Walks tell it for the processes that were walked;
/// the others hold at most what the lists have beyond that.
pub(crate) fn lazy_free(stat: &MemoryStat, lru_lazy: Figure, members: Sums<'_>) -> Figure {
    let (Some(listed), Some((_, high))) = (lru_lazy.point(), lru_lazy.bounds()) else {
        return Figure::Absent;
    };
    let sum = match members {
        Ok(sum) if sum.users > 0 => sum,
        _ => return Figure::interval(0, listed, high),
    };
    let anon = signed(stat.anon);
    let walked = sum.lazy.clamp(0, anon);
    if sum.is_all_seen_now() {
        return Figure::Exact(walked);
    }
    let unseen = listed.saturating_sub(walked).clamp(0, sum.unwalked);
    let low = if sum.oldest == Duration::ZERO { walked } else { 0 };
    Figure::interval(low, walked.saturating_add(unseen).min(anon), high)
}

/// Books the bracket of C1: anonymous memory less what is lazily freed, split by
/// the processes' ledgers; what no process holds are moved charges.
pub(crate) fn book(ledger: &mut Ledger, stat: &MemoryStat, lazy: Figure, members: Sums<'_>) {
    let lazy_point = lazy.point().unwrap_or(0);
    let bracket = signed(stat.anon).saturating_sub(lazy_point);
    ledger.book(Account::LazyFree, lazy, "memory.stat", Duration::ZERO);
    let sum = match members {
        Ok(sum) => sum,
        Err(missing) => {
            let denied = missing.kind == MissingKind::Denied;
            let account = if denied { Account::Unreadable } else { Account::HeapUnprobed };
            ledger.book(account, Figure::Exact(bracket), "memory.stat", Duration::ZERO);
            return;
        }
    };
    // Without a walk what is lazily freed is in a process's lump of anonymous memory, or in what
    // its allocator keeps free.
    let mut lumped = lazy_point.saturating_sub(sum.lazy).clamp(0, sum.unwalked);
    let mut held = 0i64;
    for account in ANONYMOUS {
        let figure = held_by(sum, *account, stat, &mut lumped);
        held = held.saturating_add(figure.point().unwrap_or(0));
        ledger.book(*account, figure, "smaps", sum.oldest);
    }
    let moved = bracket.saturating_sub(held);
    // What counters that disagree can explain has not moved.
    let (low, high) = sum.skew.bounds().unwrap_or_default();
    let skew = moved.clamp(low, high);
    ledger.book(Account::Skew, Figure::interval(low, skew, high), "smaps", sum.oldest);
    let moved = Figure::Exact(moved.saturating_sub(skew));
    ledger.book(Account::MovedCharges, moved, "memory.stat", sum.oldest);
}

/// What no process holds is known as well as the anonymous memory that is charged, and as
/// what processes held at the time of it.
pub(crate) fn bound_moved(ledger: &mut Ledger, behind: Behind, churned: u64) {
    let booked = ledger.entry(Account::MovedCharges);
    let Some(point) = booked.figure.point() else { return };
    let churned = signed(churned);
    let skew = ledger.figure(Account::Skew);
    // Where skew is more, what has moved is less.
    let (more, less) = match (skew.point(), skew.bounds()) {
        (Some(point), Some((low, high))) => (point.saturating_sub(low), high.saturating_sub(point)),
        _ => (0, 0),
    };
    let apart = Figure::interval(
        churned.saturating_add(less).saturating_neg(),
        0,
        churned.saturating_add(more),
    );
    let moved = behind.around(point).plus(apart);
    ledger.book(Account::MovedCharges, moved, "memory.stat", booked.age);
}

/// What the members are charged on one account. Where only some tell, what they
/// tell is the least; where none does, a residual account holds nothing and any
/// other is absent. `lumped` is taken off what it may be in for want of a
/// walk.
fn held_by(sum: &Sum, account: Account, stat: &MemoryStat, lumped: &mut i64) -> Figure {
    let held = sum.held(account);
    let lazy = (*lumped).min(held.lumps).max(0);
    *lumped -= lazy;
    match held.reported {
        0 if account.is_residual() || (sum.users == 0 && !account.is_from_statistics()) => {
            Figure::Exact(0)
        }
        0 => Figure::Absent,
        n if n == sum.users => less(held.figure, lazy),
        _ => {
            let point = less(held.figure, lazy).point().unwrap_or(0);
            Figure::interval(0, point, signed(stat.anon))
        }
    }
}

/// An amount less what of it is lazily freed.
fn less(figure: Figure, lazy: i64) -> Figure {
    let (Some((low, high)), Some(point)) = (figure.bounds(), figure.point()) else {
        return Figure::Absent;
    };
    Figure::interval(low, point.saturating_sub(lazy), high)
}
