//! All ledgers of a machine, made from one sample.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fact::{Fact, Missing};
use crate::sample::{CgroupSample, HostSample, MachineSample};
use crate::{CgroupLedger, HostLedger, ProcessLedger, cgroup, host, limits, process};

/// The ledgers of a machine at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The host's ledger.
    pub host: HostLedger,
    /// Every cgroup's, parents too; sum over leaves only.
    pub cgroups: Fact<Vec<CgroupLedger>>,
    /// Every process's, shared with who keeps them: one of which nothing has changed may have
    /// been made before, and its ages be of that time.
    pub processes: Vec<Arc<ProcessLedger>>,
}

impl Machine {
    /// Makes every ledger of a sample.
    pub fn of(sample: &MachineSample) -> Self {
        let made = sample.processes.iter().map(|process| Arc::new(process::ledger(process)));
        Self::with(&sample.host, &sample.cgroups, made.collect())
    }

    /// Makes every other ledger around those of the processes.
    pub fn with(
        host: &HostSample,
        cgroups: &Fact<Vec<CgroupSample>>,
        processes: Vec<Arc<ProcessLedger>>,
    ) -> Self {
        let members = Members::of(&processes);
        let cgroups = match cgroups {
            Err(missing) => Err(missing.clone()),
            Ok(cgroups) => {
                let of = |c: &CgroupSample| {
                    let inside = members.below(&c.path);
                    cgroup::ledger(c, members.hidden.as_ref().map_or(Ok(&inside), Err))
                };
                let mut ledgers: Vec<_> = cgroups.iter().map(of).collect();
                limits::settle(&mut ledgers, &swap_free(host));
                Ok(ledgers)
            }
        };
        Self { host: host::ledger(host), cgroups, processes }
    }
}

/// What the swap areas of a host still hold.
pub fn swap_free(host: &HostSample) -> Fact<u64> {
    host.meminfo.as_ref().map(|meminfo| meminfo.swap_free).map_err(Missing::clone)
}

/// Processes by the cgroup that they are charged to.
struct Members<'a> {
    by_path: BTreeMap<&'a str, Vec<&'a ProcessLedger>>,
    /// Set where no process tells its cgroup: then no cgroup has known members.
    hidden: Option<Missing>,
}

impl<'a> Members<'a> {
    fn of(processes: &'a [Arc<ProcessLedger>]) -> Self {
        let mut by_path: BTreeMap<&str, Vec<&ProcessLedger>> = BTreeMap::new();
        for process in processes {
            if let Some(path) = &process.cgroup {
                by_path.entry(path).or_default().push(process);
            }
        }
        let lack = processes.iter().flat_map(|p| &p.absent).find(|a| a.what == "cgroup");
        let hidden = if by_path.is_empty() { lack.map(|a| a.missing.clone()) } else { None };
        Self { by_path, hidden }
    }

    /// The processes in a cgroup and in those below it.
    fn below(&self, path: &str) -> Vec<&'a ProcessLedger> {
        let prefix = if path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
        let own = self.by_path.get(path).into_iter().flatten();
        let deeper = self
            .by_path
            .range(prefix.as_str()..)
            .take_while(|(p, _)| p.starts_with(&prefix))
            .filter(|(p, _)| **p != path)
            .flat_map(|(_, members)| members);
        own.chain(deeper).copied().collect()
    }
}
