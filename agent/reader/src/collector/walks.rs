//! Tier 1: which processes are walked in a collection.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use memgap_ledger::size::iec;
use memgap_ledger::{Fact, Missing, MissingKind};

use super::jobs::{TooLarge, Walk, Walked, Work};
use super::kept::{Cost, Kept};
use super::tracked::{MAX_AREAS, ProcessId, Tracked};
use super::{CollectionStats, Collector, Degraded, Spent, of};
use crate::budget::Budget;
use crate::walk::WalkPolicy;

/// A walk of a process in a cgroup with lazily freed memory is made again after
/// this time, for no counter tells that such memory was written again.
const LAZY_AGE: Duration = Duration::from_mins(1);

/// Collections after a failed walk in which it is not tried again.
const PAUSE: u64 = 16;

/// Memory that a process in a cgroup with lazily freed memory must have, as a
/// share of what is walked for its own sake.
const LAZY_SHARE: u64 = 16;

/// Mappings that all walks which are kept may have together: 18 MiB of them. The
/// mappings of other programs must not decide what this one takes.
pub(super) const MAX_KEPT: usize = 1 << 17;

impl Collector {
    /// Makes walks by other rules from now on, with nothing that was saved up before.
    pub fn set_policy(&mut self, policy: WalkPolicy) {
        self.policy = policy;
        self.budget = Budget::new(policy.budget_share, policy.cap);
    }

    /// Walks the processes that are due, those never walked and the oldest walks
    /// first, as far as cap and budget allow. `lazy` are the cgroups whose lists
    /// hold lazily freed memory.
    pub(super) fn walk(&mut self, lazy: &BTreeSet<&str>, stats: &mut CollectionStats) {
        let now = Instant::now();
        let mut due: Vec<(Option<Instant>, ProcessId)> = self
            .tracked
            .values()
            .filter(|tracked| tracked.retry <= self.round)
            .filter(|tracked| is_due(tracked, tracked.is_in(lazy), &self.policy, now))
            .filter(|tracked| self.may_ask(tracked, now))
            .map(|tracked| (tracked.walk.as_ref().map(|kept| kept.made), tracked.id()))
            .collect();
        due.sort_unstable();
        if let Some(why) = self.lacks_memory(Degraded::Walks) {
            stats.skipped += due.len() as u64;
            for (_, id) in due {
                if let Some(tracked) = of(&mut self.tracked, id) {
                    tracked.no_walk = why.clone();
                }
            }
            return;
        }
        let job = |(_, id): (_, ProcessId)| {
            let tracked = self.tracked.get(&id.pid)?;
            Some(self.job(id, Work::Walk(tracked.likely_cost(), tracked.counters.rss)))
        };
        let jobs: VecDeque<_> = due.into_iter().filter_map(job).collect();
        // Those that are kept make room for what comes before more is read.
        let done = self.have_done(jobs, self.budgets(self.budget), MAX_AREAS, stats);
        stats.tier1.cpu += done.cpu;
        (self.budget, self.rate) = (done.budgets.budget, done.budgets.rate);
        stats.skipped += done.left.len() as u64;
        for job in done.left {
            let why = self.closed(job.id);
            if let Some(tracked) = of(&mut self.tracked, job.id) {
                tracked.no_walk = why;
            }
        }
    }

    /// Keeps what came of a walk.
    pub(super) fn take_walk(&mut self, id: ProcessId, walked: Walked, stats: &mut CollectionStats) {
        let Some(tracked) = of(&mut self.tracked, id) else { return };
        match walked {
            Walked::TooLarge(why, lazily_freed) => {
                self.costly.too_large(id, &why);
                tracked.no_walk = match why {
                    TooLarge::Cost(cost) => {
                        stats.refused += 1;
                        over_cap(cost, self.policy.cap)
                    }
                    TooLarge::Hold(hold, size) => {
                        stats.over_hold += 1;
                        over_hold(hold, size, self.policy.max_hold)
                    }
                };
                if let Some(figure) = lazily_freed {
                    // To find that out takes time, too.
                    tracked.retry = self.round + PAUSE;
                    tracked.lazily_freed = Some((figure, Instant::now()));
                }
            }
            Walked::OverBudget => {
                stats.skipped += 1;
                tracked.no_walk = over_budget(self.policy.budget_share);
            }
            Walked::TooLate => {
                stats.skipped += 1;
                let why = "a walk waits for the next collection: other processes answered late";
                tracked.no_walk = Missing::new(MissingKind::Refused, why);
            }
            Walked::Done(walk, took) => {
                tracked.back_off.answered();
                self.take_made(id, walk, took, stats);
                self.make_room(stats);
            }
        }
    }

    fn take_made(
        &mut self,
        id: ProcessId,
        walk: Fact<Box<Walk>>,
        took: Spent,
        stats: &mut CollectionStats,
    ) {
        let Some(tracked) = of(&mut self.tracked, id) else { return };
        let stacks = walk.as_ref().ok().and_then(|walk| walk.stacks.as_ref().err());
        self.costly.walked(id, walk.as_ref().err(), stacks);
        match walk.map(|walk| *walk) {
            Ok(Walk { counters, areas, stacks, made, rate, huge, .. }) => {
                stats.walks.push(took.wall);
                tracked.take_counters(counters, self.round);
                tracked.cost = Cost { rate, areas: Some(areas.len()), huge };
                tracked.walk = Some(Kept { areas, stacks, made, anon: counters.anon });
                tracked.lazily_freed = None;
            }
            Err(lack) => {
                if lack.kind == MissingKind::Refused {
                    stats.refused += 1;
                    tracked.cost.areas = Some(MAX_AREAS);
                } else {
                    stats.note("smaps", &lack);
                }
                if lack.kind == MissingKind::Gone {
                    self.tracked.remove(&id.pid);
                } else {
                    tracked.retry = self.round + PAUSE;
                    tracked.no_walk = lack;
                }
            }
        }
    }

    /// Drops the oldest walks, as far as all that are kept have too many mappings.
    fn make_room(&mut self, stats: &mut CollectionStats) {
        let areas = |tracked: &Tracked| tracked.walk.as_ref().map_or(0, |kept| kept.areas.len());
        let mut kept: usize = self.tracked.values().map(|tracked| areas(tracked)).sum();
        while kept > self.max_kept {
            let made = |tracked: &&mut Box<Tracked>| tracked.walk.as_ref().map(|kept| kept.made);
            let walked = self.tracked.values_mut().filter(|tracked| tracked.walk.is_some());
            let Some(oldest) = walked.min_by_key(made) else { return };
            kept -= areas(oldest);
            oldest.walk = None;
            oldest.retry = self.round + PAUSE;
            oldest.no_walk = Missing::new(
                MissingKind::Refused,
                format!("its walk had to make room: walks of {} mappings are kept", self.max_kept),
            );
            stats.dropped += 1;
        }
    }
}

/// Whether counters and lists tell that a walk would explain something new.
fn is_due(tracked: &Tracked, is_lazy: bool, policy: &WalkPolicy, now: Instant) -> bool {
    let anon = tracked.counters.anon;
    match &tracked.walk {
        None => anon >= if is_lazy { policy.min_bytes / LAZY_SHARE } else { policy.min_bytes },
        Some(kept) => {
            let changed = anon.abs_diff(kept.anon);
            let matters = (kept.anon as f64 * policy.change).max(policy.min_bytes as f64 / 4.0);
            changed as f64 > matters
                || (is_lazy && now.saturating_duration_since(kept.made) >= LAZY_AGE)
        }
    }
}

fn over_cap(cost: Duration, cap: Duration) -> Missing {
    let why = format!(
        "a walk would take about {:.0} ms of CPU time, over the cap of {:.0} ms: \
         `memgap explain` walks without a cap",
        cost.as_secs_f64() * 1e3,
        cap.as_secs_f64() * 1e3,
    );
    Missing::new(MissingKind::Refused, why)
}

fn over_hold(hold: Duration, size: u64, most: Duration) -> Missing {
    let why = format!(
        "its largest mapping, of {}, would keep it from mapping memory for about {:.0} ms, over \
         the {:.0} ms that are allowed: `memgap explain` walks without a cap",
        iec(i64::try_from(size).unwrap_or(i64::MAX)),
        hold.as_secs_f64() * 1e3,
        most.as_secs_f64() * 1e3,
    );
    Missing::new(MissingKind::Refused, why)
}

fn over_budget(share: f64) -> Missing {
    let why = format!("a walk waits for its budget of {:.2} % of one CPU", share * 100.0);
    Missing::new(MissingKind::Refused, why)
}
