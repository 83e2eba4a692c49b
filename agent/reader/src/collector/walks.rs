//! Tier 1: which processes are walked in a collection.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use memgap_ledger::{Missing, MissingKind};

use super::tracked::{Cost, Round, Tracked};
use super::{Clock, CollectionStats, Collector};
use crate::walk::{Rate, WalkPolicy};

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

/// What a buffer may keep between collections; the text of a large walk is larger.
const KEPT_BUFFER: usize = 64 << 10;

impl Collector {
    /// Walks the processes that are due, those never walked and the oldest walks
    /// first, as far as cap and budget allow. `lazy` are the cgroups whose lists
    /// hold lazily freed memory.
    pub(super) fn walk(&mut self, lazy: &BTreeSet<&str>, stats: &mut CollectionStats) {
        let now = Instant::now();
        let mut due: Vec<(Option<Instant>, u32)> = self
            .tracked
            .iter()
            .filter(|(_, tracked)| tracked.retry <= self.round)
            .filter(|(_, tracked)| is_due(tracked, tracked.is_in(lazy), &self.policy, now))
            .map(|(pid, tracked)| (tracked.walk.as_ref().map(|kept| kept.made), *pid))
            .collect();
        due.sort_unstable();
        // The first that can not be paid for ends it: the budget is saved for it.
        let mut spent = false;
        for (_, pid) in due {
            let Some(tracked) = self.tracked.get_mut(&pid) else { continue };
            let cost = predict(tracked, self.rate);
            if cost > self.policy.cap {
                stats.refused += 1;
                tracked.no_walk = over_cap(cost, self.policy.cap);
                continue;
            }
            spent = spent || !self.budget.affords(cost);
            if spent {
                stats.skipped += 1;
                tracked.no_walk = over_budget(self.policy.budget_share);
            } else {
                self.walk_one(pid, stats);
                self.make_room(stats);
            }
        }
        self.buf.shrink(KEPT_BUFFER);
    }

    fn walk_one(&mut self, pid: u32, stats: &mut CollectionStats) {
        let Some(tracked) = self.tracked.get_mut(&pid) else { return };
        let mut round = Round {
            reader: &self.reader,
            number: self.round,
            page_size: self.page_size,
            buf: &mut self.buf,
        };
        let clock = Clock::start();
        let walked = tracked.walk(&mut round);
        let took = clock.spent();
        self.budget.spend(took.cpu);
        match walked {
            Ok(()) => {
                stats.walks.push(took.wall);
                if let Some(rate) = tracked.cost.rate {
                    self.rate.learn(rate);
                }
            }
            Err(lack) => {
                if lack.kind == MissingKind::Refused {
                    stats.refused += 1;
                } else {
                    stats.note("smaps", &lack);
                }
                if lack.kind == MissingKind::Gone {
                    self.tracked.remove(&pid);
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
        let mut kept: usize = self.tracked.values().map(areas).sum();
        while kept > self.max_kept {
            let made = |tracked: &&mut Tracked| tracked.walk.as_ref().map(|kept| kept.made);
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

/// What a walk is expected to cost: by the process's own rate, where it has one.
fn predict(tracked: &Tracked, general: Rate) -> Duration {
    let Cost { rate, areas } = tracked.cost;
    rate.unwrap_or(general).predict(tracked.counters.rss, areas)
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

fn over_budget(share: f64) -> Missing {
    let why = format!("a walk waits for its budget of {:.2} % of one CPU", share * 100.0);
    Missing::new(MissingKind::Refused, why)
}
