//! Processes of which something is not read, because that would cost more than one may:
//! what a tenant makes to cost is named.

use std::collections::{BTreeMap, BTreeSet};

use memgap_ledger::{Missing, MissingKind};

use super::jobs::TooLarge;
use super::probe_state::Found;
use super::tracked::{ProcessId, Tracked};

/// What of a process is not read, or not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unaffordable {
    /// A walk: too much memory, too many mappings, or a mount table that is too long.
    Walk,
    /// A walk, for one of its mappings is so large that the process would wait for it.
    LargestMapping,
    /// The table of its mappings.
    Mappings,
    /// Some of the files that it maps code of, for this time.
    Files,
    /// What serves its files: its mount table is too long.
    Mounts,
    /// Where the stacks of its threads are.
    Threads,
    /// The heap statistics of a runtime or allocator, beyond a bound of them.
    HeapStatistics,
}

impl Unaffordable {
    /// The stable word for labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Walk => "walk",
            Self::LargestMapping => "largest_mapping",
            Self::Mappings => "mappings",
            Self::Files => "files",
            Self::Mounts => "mounts",
            Self::Threads => "threads",
            Self::HeapStatistics => "heap_statistics",
        }
    }
}

/// A process of which something is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostlyTarget {
    /// The process's name, made printable.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// What it is.
    pub unread: Unaffordable,
    /// Its resident memory: who has most is named first.
    pub rss: u64,
}

/// Those of a machine. Only those that were met stand in it.
#[derive(Debug, Default)]
pub(super) struct Costly(BTreeSet<(ProcessId, Unaffordable)>);

impl Costly {
    /// Takes note of whether something could be read.
    fn set(&mut self, id: ProcessId, what: Unaffordable, is_over: bool) {
        if is_over {
            self.0.insert((id, what));
        } else if !self.0.is_empty() {
            self.0.remove(&(id, what));
        }
    }

    pub fn too_large(&mut self, id: ProcessId, why: &TooLarge) {
        self.set(id, Unaffordable::Walk, matches!(why, TooLarge::Cost(_)));
        self.set(id, Unaffordable::LargestMapping, matches!(why, TooLarge::Hold(..)));
    }

    /// What came of a walk that was made: the lack of it and of the places of stacks.
    pub fn walked(&mut self, id: ProcessId, walk: Option<&Missing>, stacks: Option<&Missing>) {
        self.set(id, Unaffordable::LargestMapping, false);
        self.set(id, Unaffordable::Walk, is_refused(walk));
        self.set(id, Unaffordable::Threads, is_refused(stacks));
    }

    pub fn looked(&mut self, id: ProcessId, found: Result<&Found, &Missing>) {
        self.set(id, Unaffordable::Mappings, is_refused(found.err()));
        self.set(id, Unaffordable::Files, found.is_ok_and(Found::is_in_part));
        self.set(id, Unaffordable::Mounts, found.is_ok_and(|found| found.are_mounts_unknown));
    }

    pub fn read(&mut self, id: ProcessId, is_beyond_bounds: bool) {
        self.set(id, Unaffordable::HeapStatistics, is_beyond_bounds);
    }

    /// Those that still run, by their pids.
    pub fn running(&mut self, tracked: &BTreeMap<u32, Box<Tracked>>) -> Vec<CostlyTarget> {
        let is_same = |id: ProcessId| tracked.get(&id.pid).filter(|tracked| tracked.id() == id);
        self.0.retain(|(id, _)| is_same(*id).is_some());
        let target = |&(id, unread): &(ProcessId, Unaffordable)| {
            let tracked = is_same(id)?;
            let (name, rss) = (tracked.name().to_owned(), tracked.counters.rss);
            Some(CostlyTarget { name, pid: id.pid, unread, rss })
        };
        self.0.iter().filter_map(target).collect()
    }
}

fn is_refused(lack: Option<&Missing>) -> bool {
    lack.is_some_and(|lack| lack.kind == MissingKind::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_again_is_costly_no_more() {
        let id = ProcessId { pid: 7, start: 1 };
        let refused = Missing::new(MissingKind::Refused, "it has more mappings than may be read");
        let mut costly = Costly::default();
        costly.looked(id, Err(&refused));
        costly.walked(id, Some(&refused), None);
        costly.read(id, true);
        let all =
            |costly: &Costly| costly.0.iter().map(|(_, what)| what.name()).collect::<Vec<_>>();
        assert_eq!(all(&costly), ["walk", "mappings", "heap_statistics"]);
        // What failed for another reason costs nothing.
        costly.walked(id, Some(&Missing::new(MissingKind::Denied, "no")), None);
        costly.looked(id, Ok(&Found::default()));
        assert_eq!(all(&costly), ["heap_statistics"]);
        assert!(costly.running(&BTreeMap::new()).is_empty(), "it has ended");
        assert!(all(&costly).is_empty());
    }
}
