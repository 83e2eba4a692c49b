//! Processes that come, go or grow while they and their cgroups are read one after the other:
//! what those hold and what these are charged for are of two times then, and what they differ
//! by would look like memory that moved. Where that jumped both are read again, closer to each
//! other, and what changed meanwhile is noted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use memgap_ledger::sample::CgroupSample;
use memgap_ledger::{CgroupLedger, Fact};

use super::tracked::{ProcessId, Tracked};
use super::{CollectionStats, Collector, round};

/// How often both are read again at the most.
const ATTEMPTS: usize = 3;

/// Of each cgroup the anonymous memory that it is charged for less what its processes hold by
/// their counters, which count pages that several of them share for each.
pub(super) type Unheld = HashMap<String, i64>;

/// Anonymous memory of each process in some cgroups, with the cgroup it is in.
type Held = BTreeMap<ProcessId, (String, u64)>;

/// This program's pid in a procfs.
pub(super) fn own_pid(procfs: &Path) -> Option<u32> {
    std::fs::read_link(procfs.join("self")).ok()?.to_str()?.parse().ok()
}

impl Collector {
    /// Reads the counters of this program's own process again, directly before cgroups: what
    /// it takes for a collection would make its own cgroup jump each time.
    pub(super) fn count_own(&mut self) {
        let tracked = self.source.own_pid.and_then(|pid| self.tracked.get_mut(&pid));
        let mut round = round(&self.reader, &self.source, self.round, &mut self.buf);
        if let Some(tracked) = tracked {
            // It is surely not gone; as it was, it is no worse than others.
            let _ = tracked.count_again(&mut round);
        }
    }

    /// Reads cgroups again, and the counters of their processes, where what they differ by is
    /// not what it was when both agreed last, by more than processors hold back.
    pub(super) fn reread_churning(
        &mut self,
        cgroups: &mut [CgroupSample],
        stats: &mut CollectionStats,
    ) {
        for _ in 0..ATTEMPTS {
            let unheld = self.unheld(cgroups);
            self.settled.retain(|path, _| unheld.contains_key(path));
            let has_jumped = |cgroup: &&mut CgroupSample| {
                let of = |all: &Unheld| all.get(&cgroup.path).copied().unwrap_or(0);
                of(&unheld).abs_diff(of(&self.settled)) > noise(cgroup)
                    && (cgroup.leaf || self.has_processes(&cgroup.path))
            };
            let mut jumped: Vec<_> = cgroups.iter_mut().filter(has_jumped).collect();
            if jumped.is_empty() || self.reread(&mut jumped, stats).is_err() {
                return;
            }
            let is_settled = |cgroup: &&mut CgroupSample| cgroup.churned <= noise(cgroup);
            let settled: BTreeSet<String> =
                jumped.into_iter().filter(is_settled).map(|cgroup| cgroup.path.clone()).collect();
            let unheld = self.unheld(cgroups);
            self.settled.extend(unheld.into_iter().filter(|(path, _)| settled.contains(path)));
        }
    }

    /// Whether there are processes in a cgroup itself, whose memory tells of its own. What is
    /// not a leaf and has none is read no better again: theirs is of the cgroups below it.
    fn has_processes(&self, path: &str) -> bool {
        let mut processes = self.tracked.values().filter(|tracked| tracked.has_memory());
        processes.any(|tracked| tracked.cgroup() == Some(path))
    }

    /// Reads cgroups between two readings of their processes.
    fn reread(
        &mut self,
        cgroups: &mut [&mut CgroupSample],
        stats: &mut CollectionStats,
    ) -> Fact<()> {
        let paths: BTreeSet<String> = cgroups.iter().map(|cgroup| cgroup.path.clone()).collect();
        let paths: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
        let before = self.count_again(&paths, stats)?;
        let hierarchy = self.reader.hierarchy()?;
        for cgroup in &mut *cgroups {
            // One that has ended stays as it was.
            let _ = hierarchy.read_again(cgroup);
        }
        let after = self.count_again(&paths, stats)?;
        let changed = below(changes(&before, &after));
        for cgroup in cgroups {
            cgroup.churned = changed.get(cgroup.path.as_str()).copied().unwrap_or(0);
        }
        Ok(())
    }

    /// Reads the counters of processes in some cgroups once more, those of new ones too. What
    /// is known of others stays as it was when their cgroups were read.
    fn count_again(&mut self, cgroups: &BTreeSet<&str>, stats: &mut CollectionStats) -> Fact<Held> {
        let pids: BTreeSet<u32> = self.reader.pids()?.into_iter().collect();
        self.tracked.retain(|pid, tracked| pids.contains(pid) || !tracked.is_in(cgroups));
        let mut handles = self.handles();
        let mut round = round(&self.reader, &self.source, self.round, &mut self.buf);
        let mut held = Held::new();
        for pid in pids {
            if let Some(tracked) = self.tracked.get_mut(&pid) {
                if !tracked.is_in(cgroups) || !tracked.has_memory() {
                    continue;
                }
                if tracked.count_again(&mut round).is_err() {
                    self.tracked.remove(&pid);
                }
            }
            if !self.tracked.contains_key(&pid) {
                match Tracked::new(pid, self.max_handles.saturating_sub(handles), &mut round) {
                    Ok(tracked) if tracked.is_in(cgroups) => {
                        handles += tracked.handles();
                        self.tracked.insert(pid, Box::new(tracked));
                    }
                    Ok(_) => {}
                    Err(lack) => stats.note("stat", &lack),
                }
            }
            let Some(tracked) = self.tracked.get(&pid) else { continue };
            let path = tracked.cgroup().unwrap_or_default().to_owned();
            held.insert(tracked.id(), (path, tracked.counters.anon));
        }
        Ok(held)
    }

    fn unheld(&self, cgroups: &[CgroupSample]) -> Unheld {
        let held = below(self.tracked.values().filter_map(|tracked| {
            let path = tracked.cgroup()?;
            Some((path, tracked.counters.anon))
        }));
        let unheld = |cgroup: &CgroupSample| {
            let charged = cgroup.stat.as_ref().ok()?.anon;
            let held = held.get(cgroup.path.as_str()).copied().unwrap_or(0);
            let bytes = i64::try_from(charged).ok()?.checked_sub_unsigned(held)?;
            Some((cgroup.path.clone(), bytes))
        };
        cgroups.iter().filter_map(unheld).collect()
    }
}

/// What processors hold back of a cgroup's charges.
fn noise(cgroup: &CgroupSample) -> u64 {
    CgroupLedger::residual_bound(cgroup.cpus, 0)
}

/// By how much each process changed, one that came or went by all that it held.
fn changes<'h>(before: &'h Held, after: &'h Held) -> impl Iterator<Item = (&'h str, u64)> {
    let changed = before.iter().map(|(id, (path, bytes))| {
        let now = after.get(id).map_or(0, |(_, bytes)| *bytes);
        (path.as_str(), bytes.abs_diff(now))
    });
    let came = after.iter().filter(|(id, _)| !before.contains_key(id));
    changed.chain(came.map(|(_, (path, bytes))| (path.as_str(), *bytes)))
}

/// Sums of cgroups with all that is below them, from what is in each.
fn below<'p>(parts: impl Iterator<Item = (&'p str, u64)>) -> HashMap<&'p str, u64> {
    let mut own: HashMap<&str, u64> = HashMap::new();
    for (path, bytes) in parts {
        let sum = own.entry(path).or_default();
        *sum = sum.saturating_add(bytes);
    }
    let mut sums: HashMap<&str, u64> = HashMap::new();
    for (path, bytes) in own {
        for above in upwards(path) {
            let sum = sums.entry(above).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }
    sums
}

/// A cgroup's path and those of the cgroups above it, up to the root's.
fn upwards(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| match path.rfind('/')? {
        0 if *path == "/" => None,
        0 => Some("/"),
        end => Some(&path[..end]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{Reader, Roots};
    use crate::walk::WalkPolicy;

    #[test]
    fn what_this_program_takes_is_counted_again_before_cgroups_are() {
        let reader = Reader::open(Roots::default()).expect("procfs is mounted");
        let mut collector = Collector::new(reader, WalkPolicy::default());
        collector.count(&mut CollectionStats::default()).expect("procfs is readable");
        let anon = |collector: &Collector| collector.tracked[&std::process::id()].counters.anon;
        let before = anon(&collector);
        let taken = std::hint::black_box(vec![1u8; 64 << 20]);
        collector.count_own();
        assert!(anon(&collector) > before + (32 << 20), "{before}, {}", anon(&collector));
        drop(taken);
    }

    #[test]
    fn sums_go_up_to_the_root() {
        assert_eq!(upwards("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(upwards("/").collect::<Vec<_>>(), ["/"]);
        let sums = below([("/a/b", 1), ("/a/c", 2), ("/a", 4), ("/a/b", 8)].into_iter());
        assert_eq!(sums["/a/b"], 9);
        assert_eq!((sums["/a"], sums["/"]), (15, 15));
    }

    #[test]
    fn what_came_and_what_went_changed_by_all_of_it() {
        let held = |all: &[(u32, u64)]| -> Held {
            let of = |&(pid, bytes)| (ProcessId { pid, start: 1 }, ("/a".to_owned(), bytes));
            all.iter().map(of).collect()
        };
        let (before, after) =
            (held(&[(1, 10), (2, 20), (3, 30)]), held(&[(1, 10), (2, 25), (4, 40)]));
        let sum: u64 = changes(&before, &after).map(|(_, bytes)| bytes).sum();
        assert_eq!(sum, 5 + 30 + 40);
    }
}
