//! The processes of a cgroup: how their ledgers split its anonymous memory.

mod in_use;

use std::time::Duration;

use crate::account::{ANONYMOUS, Account};
use crate::behind::Behind;
use crate::fact::{Missing, MissingKind};
use crate::figure::{Figure, signed};
use crate::ledger::Ledger;
use crate::process::ProcessLedger;
use crate::sample::{MemoryStat, ProcessKind};

pub(crate) use in_use::in_use;

/// The ledgers of the processes in a cgroup and below it, or why there are none.
pub type Members<'a> = Result<&'a [&'a ProcessLedger], &'a Missing>;

/// What is lazily freed now. Walks tell it for the processes that were walked;
/// the others hold at most what the lists have beyond that.
pub(crate) fn lazy_free(stat: &MemoryStat, lru_lazy: Figure, members: Members<'_>) -> Figure {
    let (Some(listed), Some((_, high))) = (lru_lazy.point(), lru_lazy.bounds()) else {
        return Figure::Absent;
    };
    let seen = match members {
        Ok(members) if users(members).next().is_some() => Seen::of(members),
        _ => return Figure::interval(0, listed, high),
    };
    let anon = signed(stat.anon);
    let walked = seen.lazy.clamp(0, anon);
    if seen.is_whole() {
        return Figure::Exact(walked);
    }
    let unseen = listed.saturating_sub(walked).clamp(0, seen.unwalked);
    let low = if seen.oldest == Duration::ZERO { walked } else { 0 };
    Figure::interval(low, walked.saturating_add(unseen).min(anon), high)
}

/// Books the bracket of C1: anonymous memory less what is lazily freed, split by
/// the processes' ledgers; what no process holds are moved charges.
pub(crate) fn book(ledger: &mut Ledger, stat: &MemoryStat, lazy: Figure, members: Members<'_>) {
    let lazy_point = lazy.point().unwrap_or(0);
    let bracket = signed(stat.anon).saturating_sub(lazy_point);
    ledger.book(Account::LazyFree, lazy, "memory.stat", Duration::ZERO);
    let members = match members {
        Ok(members) => members,
        Err(missing) => {
            let denied = missing.kind == MissingKind::Denied;
            let account = if denied { Account::Unreadable } else { Account::HeapUnprobed };
            ledger.book(account, Figure::Exact(bracket), "memory.stat", Duration::ZERO);
            return;
        }
    };
    let seen = Seen::of(members);
    // Without a walk a process's lump of anonymous memory has its lazy part in it.
    let mut lumped = lazy_point.saturating_sub(seen.lazy).clamp(0, seen.unwalked);
    let mut held = 0i64;
    for account in ANONYMOUS {
        let figure = held_by(members, *account, stat, &mut lumped);
        held = held.saturating_add(figure.point().unwrap_or(0));
        ledger.book(*account, figure, "smaps", seen.oldest);
    }
    let moved = bracket.saturating_sub(held);
    // What counters that disagree can explain has not moved.
    let skews = users(members).map(|member| member.charged_skew);
    let (low, high) = skews.fold(Figure::Exact(0), Figure::plus).bounds().unwrap_or_default();
    let skew = moved.clamp(low, high);
    ledger.book(Account::Skew, Figure::interval(low, skew, high), "smaps", seen.oldest);
    let moved = Figure::Exact(moved.saturating_sub(skew));
    ledger.book(Account::MovedCharges, moved, "memory.stat", seen.oldest);
}

/// What no process holds is known as well as the anonymous memory that is charged, and as
/// what processes held at the time of it.
pub(crate) fn bound_moved(ledger: &mut Ledger, behind: Behind, churned: u64) {
    let booked = ledger.entries().iter().find(|entry| entry.account == Account::MovedCharges);
    let Some((point, age)) = booked.and_then(|e| Some((e.figure.point()?, e.age))) else { return };
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
    ledger.book(Account::MovedCharges, moved, "memory.stat", age);
}

/// Page cache that the members keep locked, as far as they were walked.
pub(crate) fn locked_file(members: Members<'_>) -> Figure {
    members.unwrap_or_default().iter().fold(Figure::Absent, |sum, p| sum.plus(p.locked_file))
}

/// Other memory that the members keep locked, as far as they were walked.
pub(crate) fn locked_other(members: Members<'_>) -> Figure {
    members.unwrap_or_default().iter().fold(Figure::Absent, |sum, p| sum.plus(p.locked_other))
}

/// Lazily freed memory that walks saw just now: the least that is.
pub(crate) fn lazy_seen(members: Members<'_>) -> i64 {
    let fresh = members.unwrap_or_default().iter().filter(|m| m.walk_age == Some(Duration::ZERO));
    fresh.filter_map(|m| charged(m, Account::LazyFree)).fold(0, i64::saturating_add)
}

/// Why no member tells an account: one reason stands for all.
pub(crate) fn unreported<'a>(
    members: &[&'a ProcessLedger],
    account: Account,
) -> Option<&'a Missing> {
    let reasons = members.iter().flat_map(|m| &m.absent).filter(|a| a.what == account.name());
    reasons.map(|a| &a.missing).min_by_key(|m| (m.kind, &m.why))
}

/// Why a process could not be looked into, where rights were wanting for one.
pub(crate) fn denied<'a>(members: &[&'a ProcessLedger]) -> Option<&'a Missing> {
    let lacks = members.iter().flat_map(|m| &m.absent).map(|a| &a.missing);
    lacks.filter(|m| m.kind == MissingKind::Denied).min_by_key(|m| &m.why)
}

/// Kernel threads and zombies hold nothing.
fn users<'a>(members: &'a [&ProcessLedger]) -> impl Iterator<Item = &'a ProcessLedger> {
    members.iter().copied().filter(|m| m.kind == ProcessKind::User)
}

/// What walks saw, and what they did not look at.
struct Seen {
    /// Lazily freed memory of the processes that were walked.
    lazy: i64,
    /// Anonymous memory of the others.
    unwalked: i64,
    /// Age of the oldest walk.
    oldest: Duration,
}

impl Seen {
    fn of(members: &[&ProcessLedger]) -> Self {
        let mut seen = Self { lazy: 0, unwalked: 0, oldest: Duration::ZERO };
        for member in users(members) {
            match member.walk_age {
                Some(age) => {
                    let lazy = charged(member, Account::LazyFree).unwrap_or(0);
                    seen.lazy = seen.lazy.saturating_add(lazy);
                    seen.oldest = seen.oldest.max(age);
                }
                None => {
                    let held =
                        member.charged.iter().fold(0i64, |sum, (_, b)| sum.saturating_add(*b));
                    seen.unwalked = seen.unwalked.saturating_add(held);
                }
            }
        }
        seen
    }

    /// Whether every process was looked at just now.
    fn is_whole(&self) -> bool {
        self.unwalked == 0 && self.oldest == Duration::ZERO
    }
}

/// What the members are charged on one account. Where only some tell, what they
/// tell is the least; where none does, a residual account holds nothing and any
/// other is absent. `lumped` is taken off the lumps of members without a walk.
fn held_by(
    members: &[&ProcessLedger],
    account: Account,
    stat: &MemoryStat,
    lumped: &mut i64,
) -> Figure {
    let mut sum = Figure::Absent;
    let (mut reported, mut count) = (0, 0);
    for member in users(members) {
        count += 1;
        if let Some(charged) = charged(member, account) {
            let is_lump = member.walk_age.is_none() && account.is_residual();
            let lazy = if is_lump { (*lumped).min(charged).max(0) } else { 0 };
            *lumped -= lazy;
            sum = sum.plus(charge(member.ledger.figure(account), charged, lazy));
            reported += 1;
        }
    }
    match reported {
        0 if account.is_residual() || (count == 0 && !account.is_from_statistics()) => {
            Figure::Exact(0)
        }
        0 => Figure::Absent,
        n if n == count => sum,
        _ => {
            let point = sum.point().unwrap_or(0);
            Figure::interval(0, point, signed(stat.anon))
        }
    }
}

/// What a cgroup is charged for a member on one account.
fn charged(member: &ProcessLedger, account: Account) -> Option<i64> {
    member.charged.iter().find(|(a, _)| *a == account).map(|(_, bytes)| *bytes)
}

/// A member's figure in the measure of what is charged for it: its bounds keep
/// their distance from the point.
fn charge(figure: Figure, charged: i64, lazy: i64) -> Figure {
    let (Some((low, high)), Some(point)) = (figure.bounds(), figure.point()) else {
        return Figure::Absent;
    };
    let low = charged.saturating_sub(point.saturating_sub(low)).max(0).min(charged - lazy);
    let high = charged.saturating_add(high.saturating_sub(point));
    Figure::interval(low, charged - lazy, high)
}
