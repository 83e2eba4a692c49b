//! What is made of a process's figures: its sample and its ledger.

use std::sync::Arc;
use std::time::Instant;

use memgap_ledger::sample::{Counters, ProcessSample, Sampled, Walk};
use memgap_ledger::{Missing, ProcessLedger, process};

use super::Tracked;
use crate::process::no_memory;

/// What tells whether a ledger would be made again as it was, beside a process's name and
/// cgroup.
#[derive(Debug, PartialEq)]
pub(super) struct Inputs {
    counters: Counters,
    /// When the walk was made.
    walk: Option<Instant>,
    no_walk: Missing,
    /// When its pages were asked.
    sampled: Option<Instant>,
    /// How often its heap statistics, or why there are none, have changed.
    statistics: u64,
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
    /// ages are those of when it was made.
    pub fn ledger(&mut self, now: Instant, keep: bool) -> Arc<ProcessLedger> {
        let inputs = Inputs {
            counters: self.counters,
            walk: self.walk.as_ref().map(|kept| kept.made),
            no_walk: self.no_walk.clone(),
            sampled: self.lazily_freed.as_ref().map(|(_, made)| *made),
            statistics: self.probes.version(),
        };
        match &self.made {
            Some((of, ledger)) if *of == inputs => Arc::clone(ledger),
            _ => {
                let ledger = Arc::new(process::ledger(&self.sample(now)));
                self.made = keep.then(|| (inputs, Arc::clone(&ledger)));
                ledger
            }
        }
    }
}
