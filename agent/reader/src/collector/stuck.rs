//! Targets that do not answer: what is said of them, and when they are asked again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memgap_ledger::{Missing, MissingKind};

use super::jobs::{Budgets, Job, Outcome, Probed, Walked, Work};
use super::pool::{DEADLINE, MAX_STUCK};
use super::tenant::Tenant;
use super::tracked::{ProcessId, Tracked};
use super::{CollectionStats, Collector, of};
use crate::budget::Budget;

/// Time that targets which answer, and late, may take from one stage of a collection.
const PATIENCE: Duration = Duration::from_secs(1);

/// What took longer was read over too long a time to be of one.
const TOO_OLD: Duration = Duration::from_secs(1);

/// A target whose kernel files a worker still waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckTarget {
    /// The process's name, made printable.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// How long the worker has waited.
    pub age: Duration,
}

/// Whom a worker waits for.
#[derive(Debug)]
pub(super) struct Waiting {
    name: String,
    since: Instant,
    pub tenant: Tenant,
}

/// What came of jobs beside their outcomes.
pub(super) struct Done {
    /// Those for which there was no worker, or of whose tenant others do not answer.
    pub left: VecDeque<Job>,
    pub budgets: Budgets,
    /// What they took of the CPU.
    pub cpu: Duration,
}

impl Collector {
    /// Whether a process may be asked for more than its counters.
    pub(super) fn may_ask(&self, tracked: &Tracked, now: Instant) -> bool {
        tracked.back_off.may_ask(now) && !self.pool.holds(tracked.id())
    }

    pub(super) fn job(&self, id: ProcessId, work: Work) -> Job {
        Job { id, source: Arc::clone(&self.source), work }
    }

    pub(super) fn budgets(&self, budget: Budget) -> Budgets {
        Budgets {
            budget,
            patience: PATIENCE,
            rate: self.rate,
            cap: self.policy.cap,
            max_hold: self.policy.max_hold,
            is_saved: false,
            end: Instant::now(),
            handles: 0,
            max_handles: self.max_handles,
        }
    }

    /// Has jobs done, whatever their targets do, as long as there are workers to do them.
    pub(super) fn have_done(
        &mut self,
        mut jobs: VecDeque<Job>,
        mut budgets: Budgets,
        room: usize,
        stats: &mut CollectionStats,
    ) -> Done {
        let (mut cpu, mut left) = (Duration::ZERO, VecDeque::new());
        self.turn_away(&mut jobs, &mut left);
        while !jobs.is_empty() && self.pool.is_ready() {
            let ran = self.pool.run(jobs, budgets, room);
            (jobs, budgets) = (ran.left, ran.budgets);
            cpu += ran.cpu;
            for outcome in ran.outcomes {
                match outcome {
                    Outcome::Walked(id, walked) => self.take_walk(id, walked, stats),
                    Outcome::Probed(id, probed) => self.take_probed(id, probed, stats),
                }
            }
            if let Some((id, waits)) = ran.stuck {
                self.give_up(id, waits, stats);
                self.turn_away(&mut jobs, &mut left);
            }
        }
        stats.is_blind |= !jobs.is_empty();
        left.append(&mut jobs);
        Done { left, budgets, cpu }
    }

    /// Leaves a worker behind that waits for a process, or that works on it for too long.
    pub(super) fn give_up(&mut self, id: ProcessId, waits: bool, stats: &mut CollectionStats) {
        stats.timeouts += 1;
        let Some(tracked) = of(&mut self.tracked, id) else { return };
        let (name, pid) = (tracked.name().to_owned(), id.pid);
        let why = if waits {
            format!(
                "{name} ({pid}) did not answer within {} ms: it holds its memory map, or a file \
                 system it maps does not answer",
                DEADLINE.as_millis()
            )
        } else {
            format!("{name} ({pid}) takes too long to be read")
        };
        let why = Missing::new(MissingKind::Refused, why);
        tracked.probes.wait_for(&why);
        tracked.no_walk = why;
        let tenant = tracked.tenant();
        self.waiting.insert(id, Waiting { name, since: Instant::now(), tenant });
    }

    /// Takes note of the workers that have returned since the last collection.
    pub(super) fn returned(&mut self, stats: &mut CollectionStats) {
        for (id, outcome, cpu) in self.pool.returned() {
            self.waiting.remove(&id);
            let took = match outcome {
                Some(Outcome::Walked(_, Walked::Done(walk, took))) => {
                    self.budget.spend(took.cpu);
                    stats.tier1.cpu += cpu;
                    if took.wall <= TOO_OLD {
                        self.take_walk(id, Walked::Done(walk, took), stats);
                    }
                    took.wall
                }
                Some(Outcome::Probed(_, Probed::Done(answer, took, waited))) => {
                    self.probe_budget.spend(took.cpu);
                    stats.tier2.cpu += cpu;
                    if took.wall <= TOO_OLD {
                        self.take_probed(id, Probed::Done(answer, took, waited), stats);
                    }
                    took.wall
                }
                _ => Duration::ZERO,
            };
            let first = self.first_pause;
            if let Some(tracked) = of(&mut self.tracked, id) {
                let pause = tracked.back_off.failed(Instant::now(), first);
                tracked.no_walk = late(tracked, took, pause);
            }
        }
    }

    /// Why nothing is read of a process but its counters, for want of a worker.
    pub(super) fn closed(&self, id: ProcessId) -> Missing {
        let tracked = self.tracked.get(&id.pid);
        if let Some(why) = tracked.and_then(|tracked| self.turned_away(tracked)) {
            return why;
        }
        let stuck = self.pool.stuck();
        let why = if stuck < MAX_STUCK {
            "no thread can be started to read of processes: see the limit of threads".to_owned()
        } else {
            format!("{stuck} processes do not answer: no other is asked until one does")
        };
        Missing::new(MissingKind::Refused, why)
    }

    /// The targets that workers wait for at `now`.
    pub(super) fn stuck(&self, now: Instant) -> Vec<StuckTarget> {
        let stuck = self.waiting.iter().map(|(id, one)| StuckTarget {
            name: one.name.clone(),
            pid: id.pid,
            age: now.saturating_duration_since(one.since),
        });
        stuck.collect()
    }
}

fn late(tracked: &Tracked, took: Duration, pause: Duration) -> Missing {
    let why = format!(
        "{} ({}) answered after {:.1} s: it is asked again after {} s",
        tracked.name(),
        tracked.id().pid,
        took.as_secs_f64(),
        pause.as_secs(),
    );
    Missing::new(MissingKind::Refused, why)
}
