//! What garbage collectors did from one collection of samples to the next.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use memgap_ledger::{ProcessLedger, Runtime};

/// Collections of garbage; `None` is what a runtime does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collections {
    /// How many.
    pub cycles: Option<u64>,
    /// For how long they stopped the program.
    pub paused: Option<Duration>,
}

/// What the runtimes of each process that has a collector did since the collection before, by
/// pid, in the order of its ledger.
pub type Increments = BTreeMap<u32, Vec<Collections>>;

/// By name and file of a runtime.
type OfProcess = BTreeMap<(String, String), Collections>;

/// What each process reported last.
#[derive(Debug, Default)]
pub struct Last {
    /// By pid.
    known: BTreeMap<u32, Known>,
    /// Counts collections.
    round: u64,
}

#[derive(Debug, Default)]
struct Known {
    /// What is missing in one collection is remembered.
    said: OfProcess,
    /// The last collection that met it.
    seen: u64,
}

impl Last {
    /// What was done since the last time. All that a new process did counts; of one
    /// that was there before, what it did before it was read first does not.
    pub fn increments(&mut self, processes: &[Arc<ProcessLedger>]) -> Increments {
        self.round += 1;
        let mut increments = Increments::new();
        for process in processes {
            let entry = self.known.entry(process.pid);
            let is_new = matches!(entry, Entry::Vacant(_)) && self.round > 1;
            let known = entry.or_default();
            known.seen = self.round;
            if process.runtimes.iter().any(|runtime| runtime.gc.is_some()) {
                let did = process.runtimes.iter();
                let did = did.map(|runtime| advance(&mut known.said, runtime, is_new));
                increments.insert(process.pid, did.collect());
            }
        }
        self.known.retain(|_, known| known.seen == self.round);
        increments
    }
}

fn advance(said: &mut OfProcess, runtime: &Runtime, is_new: bool) -> Collections {
    let Some(gc) = &runtime.gc else { return Collections::default() };
    let now = Collections { cycles: gc.cycles, paused: gc.paused };
    let name = (runtime.name.clone(), runtime.file.clone());
    match said.insert(name, now) {
        Some(then) => now.since(then),
        None if is_new => now,
        None => now.since(now),
    }
}

impl Collections {
    /// The sum of two; what one does not tell adds nothing.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cycles: either(self.cycles, other.cycles, u64::saturating_add),
            paused: either(self.paused, other.paused, Duration::saturating_add),
        }
    }

    /// What came to `then`; all of it where it began anew.
    fn since(self, then: Self) -> Self {
        let cycles = |now: u64| now.checked_sub(then.cycles.unwrap_or(now)).unwrap_or(now);
        let paused = |now: Duration| now.checked_sub(then.paused.unwrap_or(now)).unwrap_or(now);
        Self { cycles: self.cycles.map(cycles), paused: self.paused.map(paused) }
    }
}

fn either<T: Copy>(a: Option<T>, b: Option<T>, both: fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (one, None) | (None, one) => one,
    }
}
