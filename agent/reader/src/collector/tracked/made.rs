//! What is made of a process's figures: its sample and its ledger.

use std::sync::Arc;
use std::time::{Duration, Instant};

use memgap_ledger::sample::{Counters, ProcessSample, Sampled, Walk};
use memgap_ledger::{Missing, ProcessLedger, process};

use super::Tracked;
use crate::process::no_memory;

/// By how much the ages in a ledger that is kept of a process that runs may fall short. Of one
/// that has not run, what is old is as good as new.
const AGES_SHORT: Duration = Duration::from_mins(1);

/// Those that were made at once take turns in the second half of it: all of them anew in one
/// collection, beside those of the last, would be this program's peak.
const TURNS: u32 = 16;

/// The ledger that was made last.
#[derive(Debug)]
pub(super) struct Made {
    of: Inputs,
    ledger: Arc<ProcessLedger>,
    at: Instant,
    /// The collection that made it.
    round: u64,
}

/// What tells whether a ledger would be made again as it was, beside a process's name and
/// cgroup.
#[derive(Debug, PartialEq)]
struct Inputs {
    counters: Counters,
    /// When the walk was made.
    walk: Option<Instant>,
    no_walk: Missing,
    /// When its pages were asked.
    sampled: Option<Instant>,
    /// How often its heap statistics, or why there are none, have changed.
    statistics: u64,
}

/// How long a ledger is kept of a process that runs.
fn lasts(pid: u32) -> Duration {
    AGES_SHORT / 2 + AGES_SHORT / 2 * (pid % TURNS) / TURNS
}

impl Tracked {
    /// The sample, with the age of its walk at `now`.
    pub fn sample(&self, now: Instant) -> ProcessSample {
        let walk = match (no_memory(self.identity.kind), &self.walk) {
            (Some((_, none)), _) => none,
            (None, Some(kept)) => {
                let age = now.saturating_duration_since(kept.made);
                let (areas, stacks) = (kept.areas.clone(), Some(kept.stacks.clone()));
                Ok(Walk { areas, age, stacks, ..Walk::default() })
            }
            (None, None) => Err(self.no_walk.clone()),
        };
        let lazily_freed = self.lazily_freed.as_ref().filter(|_| walk.is_err());
        let mut sample = ProcessSample {
            lazily_freed: lazily_freed.map(|(figure, made)| {
                let age = now.saturating_duration_since(*made);
                figure.clone().map(|figure| Sampled { figure, age })
            }),
            pid: self.pid,
            name: self.identity.name.clone(),
            kind: self.identity.kind,
            counters: Ok(self.counters),
            walk,
            claims: Vec::new(),
            runtimes: Vec::new(),
            cgroup: self.cgroup.clone(),
            one_memory: None,
        };
        self.probes.add_to(&mut sample, now);
        sample
    }

    /// The ledger. As long as nothing it was made of has changed it is the same one, whose
    /// ages are those of when it was made: see [`AGES_SHORT`].
    pub fn ledger(&mut self, now: Instant, keep: bool) -> Arc<ProcessLedger> {
        let inputs = Inputs {
            counters: self.counters,
            walk: self.walk.as_ref().map(|kept| kept.made),
            no_walk: self.no_walk.clone(),
            sampled: self.lazily_freed.as_ref().map(|(_, made)| *made),
            statistics: self.probes.version(),
        };
        if let Some(Made { of, ledger, at, round }) = &self.made
            && *of == inputs
            && (self.activity.is_quiet_since(*round)
                || now.saturating_duration_since(*at) < lasts(self.pid))
        {
            return Arc::clone(ledger);
        }
        let ledger = Arc::new(process::ledger(&self.sample(now)));
        let kept = Made { of: inputs, ledger: Arc::clone(&ledger), at: now, round: self.met };
        self.made = keep.then_some(kept);
        ledger
    }
}
