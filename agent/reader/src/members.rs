//! A cgroup and its processes as far as possible of one time: to look into all of them takes
//! a while, in which some come, go or grow.

use std::collections::{BTreeMap, BTreeSet};

use memgap_ledger::sample::{CgroupSample, ProcessSample};
use memgap_ledger::{CgroupLedger, Fact, MissingKind};

use crate::process::Depth;
use crate::reader::{Reader, is_within};

/// How often a cgroup is read, until its processes hold the same before and afterwards.
const ATTEMPTS: usize = 4;

/// Processes by pid.
type ByPid = BTreeMap<u32, ProcessSample>;

impl Reader {
    /// A cgroup, and the processes in it and in those below it, or why there are none. Of
    /// those that came while others were looked into the counters are read only, and those
    /// that went are left out. What changed of the others is in the sample, as `churned`.
    pub fn cgroup_and_members(
        &self,
        path: &str,
        depth: Depth,
    ) -> Fact<(CgroupSample, Fact<Vec<ProcessSample>>)> {
        let members = match self.members(path, depth) {
            Ok(members) => members,
            Err(lack) => return Ok((self.cgroup(path)?, Err(lack))),
        };
        let mut members: ByPid = members.into_iter().map(|member| (member.pid, member)).collect();
        let mut strangers = BTreeSet::new();
        let mut before = self.counted(path, &mut strangers)?;
        let mut attempts = 0;
        let (mut sample, after, meanwhile) = loop {
            let sample = self.cgroup(path)?;
            let after = self.counted(path, &mut strangers)?;
            let meanwhile = changed(&before, &after);
            attempts += 1;
            if attempts == ATTEMPTS || meanwhile <= CgroupLedger::residual_bound(sample.cpus, 0) {
                break (sample, after, meanwhile);
            }
            before = after;
        };
        // Who is elsewhere now, or can not be read any more, counts as changed by all it held.
        members.retain(|pid, _| after.contains_key(pid) || strangers.contains(pid));
        for (pid, counted) in &after {
            members.entry(*pid).or_insert_with(|| counted.clone());
        }
        sample.churned = meanwhile.saturating_add(changed(&members, &after));
        Ok((sample, Ok(members.into_values().collect())))
    }

    /// The processes in a cgroup and in those below it, by their counters. Those that are
    /// there and were not met in them, or could not be read, are not asked again.
    fn counted(&self, path: &str, strangers: &mut BTreeSet<u32>) -> Fact<ByPid> {
        let mut counted = ByPid::new();
        for pid in self.pids()? {
            if strangers.contains(&pid) {
                continue;
            }
            match self.process(pid, Depth::Counters) {
                Ok(sample) if sample.cgroup.as_ref().is_ok_and(|of| is_within(of, path)) => {
                    counted.insert(pid, sample);
                }
                Err(lack) if lack.kind == MissingKind::Gone => {}
                _ => drop(strangers.insert(pid)),
            }
        }
        Ok(counted)
    }
}

/// By how much anonymous memory changed all in all, that of one that came or went by all of it.
fn changed(before: &ByPid, after: &ByPid) -> u64 {
    let of = |all: &ByPid, pid: &u32| {
        let counters = all.get(pid).map(|sample| sample.counters.as_ref());
        counters.and_then(Result::ok).map_or(0, |counters| counters.anon)
    };
    let came = after.keys().filter(|pid| !before.contains_key(pid));
    let pids = before.keys().chain(came);
    pids.map(|pid| of(before, pid).abs_diff(of(after, pid))).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use memgap_ledger::Missing;
    use memgap_ledger::sample::{Counters, ProcessSample};

    use super::*;

    #[test]
    fn who_came_or_went_changed_by_all_of_it() {
        let held = |all: &[(u32, u64)]| -> ByPid {
            let sample = |&(pid, anon): &(u32, u64)| {
                let missing = ProcessSample::missing(pid, &Missing::absent("not read"));
                let counters = Ok(Counters { anon, ..Counters::default() });
                (pid, ProcessSample { counters, ..missing })
            };
            all.iter().map(sample).collect()
        };
        let (before, after) =
            (held(&[(1, 10), (2, 20), (3, 30)]), held(&[(1, 10), (2, 25), (4, 40)]));
        assert_eq!(changed(&before, &after), 5 + 30 + 40);
    }
}
