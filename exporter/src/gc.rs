//! What garbage collectors did, as counters of the scopes that their processes are
//! in: they count from the exporter's start and never decrease while a member of a
//! scope lives, whatever processes come and go in it.

use std::collections::BTreeMap;
use std::time::Duration;

use memgap_ledger::{ProcessLedger, Runtime};

use crate::select::Scopes;

/// Collections of garbage; `None` is what a runtime does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collections {
    /// How many.
    pub cycles: Option<u64>,
    /// For how long they stopped the program.
    pub paused: Option<Duration>,
}

/// What the runtimes of each process did since the collection before, by pid, in the
/// order of its ledger.
pub type Increments = BTreeMap<u32, Vec<Collections>>;

/// By name and file of a runtime.
type OfProcess = BTreeMap<(String, String), Collections>;

/// By labels, then by runtime.
type OfScope = BTreeMap<String, BTreeMap<String, Collections>>;

/// The counters.
#[derive(Debug, Default)]
pub struct Counters {
    /// What each process said last. `None` before the first collection.
    last: Option<BTreeMap<u32, OfProcess>>,
    /// By the name of a scope's table.
    totals: BTreeMap<&'static str, OfScope>,
}

impl Counters {
    /// What was done since the last time. All that a new process did counts; of one
    /// that was there before, what it did before it was read first does not.
    pub fn increments(&mut self, processes: &[ProcessLedger]) -> Increments {
        let is_first = self.last.is_none();
        let mut last = self.last.take().unwrap_or_default();
        let mut increments = Increments::new();
        let mut now = BTreeMap::new();
        for process in processes {
            let before = last.remove(&process.pid);
            let is_new = before.is_none() && !is_first;
            // What is not told this time is remembered.
            let mut said = before.unwrap_or_default();
            let did = process.runtimes.iter().map(|runtime| advance(&mut said, runtime, is_new));
            increments.insert(process.pid, did.collect());
            now.insert(process.pid, said);
        }
        self.last = Some(now);
        increments
    }

    /// Makes totals of the increments that stand in the scopes' members. A member
    /// that is gone is forgotten.
    pub fn add_up(&mut self, scopes: &mut Scopes) {
        for scope in scopes.all_mut() {
            let before = self.totals.remove(scope.table.name).unwrap_or_default();
            let totals = self.totals.entry(scope.table.name).or_default();
            for (labels, member) in &mut scope.members {
                let mut sums = before.get(labels).cloned().unwrap_or_default();
                for (runtime, figures) in &mut member.runtimes {
                    let sum = sums.entry(runtime.clone()).or_default();
                    *sum = sum.plus(figures.gc);
                    figures.gc = *sum;
                }
                if !sums.is_empty() {
                    totals.insert(labels.clone(), sums);
                }
            }
        }
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
