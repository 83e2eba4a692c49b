//! What a probe is, and what it answers.

use std::fmt::Debug;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use memgap_kernel::memory::Space;
use memgap_ledger::claim::Claim;
use memgap_ledger::sample::ProcessSample;
use memgap_ledger::{Fact, Missing, MissingKind, Report, Runtime, SecondSource, Unread};

use crate::elf::Elf;
use crate::image::{Image, Mapped};

/// Reads the heap statistics of one runtime or allocator.
pub trait Probe: Sync + Debug {
    /// Stable lower-case name: the owner of its claims.
    fn name(&self) -> &'static str;

    /// What it reads, in one line: which versions, which of their variants.
    fn about(&self) -> &'static str;

    /// Whether a file may hold the runtime, by its headers and its name, and by what
    /// it holds only where those were cut off. Asked once for each file on the machine,
    /// so a wrong yes costs more than it helps. Files that the [registry](crate::RULES)
    /// tells are tried too, where its rule says so.
    fn detect(&self, elf: &Elf, name: &[u8], file: &File) -> bool;

    /// Finds the runtime's variables in a process that maps the file. The answer
    /// serves every process that maps it.
    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>>;

    /// What serves one process where that failed: what the runtime publishes.
    fn unresolved(&self, _: &Missing) -> Option<Arc<dyn Layout>> {
        None
    }

    /// Whether that failed because the program uses another allocator.
    fn is_idle(&self, _: &Missing) -> bool {
        false
    }
}

/// Where a runtime of one file keeps its heap statistics.
pub trait Layout: Send + Sync + Debug {
    /// Reads the heap statistics of one process. They are refused, with the name of the rule,
    /// where a rule of the runtime does not hold in them.
    fn read(&self, mapped: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics>;

    /// The layout of one process alone, which remembers from one reading to the next
    /// what stays as it is there. Nothing where there is nothing to remember.
    fn of_process(self: Arc<Self>) -> Option<Arc<dyn Layout>> {
        None
    }
}

/// How much of the heap statistics is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Counters, which cost next to nothing.
    Counters,
    /// The place of every page: claims have ranges as narrow as the heap statistics say.
    Pages,
}

/// Adds what was read of a process's runtimes, `age` before the sample, to it.
pub fn add(sample: &mut ProcessSample, statistics: &[Read], age: Duration) {
    for one in statistics {
        let HeapStatistics { runtime, claims } = match one {
            Ok(statistics) => statistics.clone(),
            Err(unread) => {
                sample.runtimes.push(Err(unread.clone()));
                continue;
            }
        };
        // A page that the program wrote may be older than the look at it.
        let mut runtime = Runtime { age: age.saturating_add(runtime.age), ..runtime };
        match runtime.second_source.take() {
            None => {
                sample.claims.extend(claims);
                sample.runtimes.push(Ok(runtime));
            }
            Some(SecondSource { name: source, .. }) => {
                let statistics = vec![(runtime, claims)];
                sample.add_report(Ok(Report { source, resident: None, statistics }));
            }
        }
    }
}

/// What a probe answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeapStatistics {
    /// Who keeps them, and what else they tell. [`crate::Probes`] fills in name and file. It
    /// names a second source where the heap statistics are that one's, and no probe read them.
    pub runtime: Runtime,
    /// What they say about addresses.
    pub claims: Vec<Claim>,
}

/// What was read of one runtime or allocator of a process, or why nothing was.
pub type Read = Result<HeapStatistics, Unread>;

/// What is said of statistics in which a rule of the runtime does not hold.
pub(crate) fn broken(rule: impl Into<Arc<str>>) -> Missing {
    Missing::new(MissingKind::Malformed, rule)
}
