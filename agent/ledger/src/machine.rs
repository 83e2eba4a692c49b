//! All ledgers of a machine, made from one sample or from each after the other.

mod cgroups;

use std::sync::Arc;
use std::time::Duration;

use crate::fact::{Fact, Missing};
use crate::sample::{CgroupSample, HostSample, MachineSample};
use crate::{CgroupLedger, HostLedger, ProcessLedger, host, process};
use cgroups::Kept;

/// The ledgers of a machine at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The host's ledger.
    pub host: HostLedger,
    /// Every cgroup's, parents too; sum over leaves only.
    pub cgroups: Fact<Vec<Arc<CgroupLedger>>>,
    /// Every process's, shared with who keeps them: one of which nothing has changed may have
    /// been made before, and its ages be of that time.
    pub processes: Vec<Arc<ProcessLedger>>,
}

/// Makes the ledgers of one machine again and again.
#[derive(Debug, Default)]
pub struct Machines {
    cgroups: Kept,
}

impl Machine {
    /// Makes every ledger of a sample.
    pub fn of(sample: &MachineSample) -> Self {
        let made = sample.processes.iter().map(|process| Arc::new(process::ledger(process)));
        Machines::default().next(None, &sample.host, &sample.cgroups, made.collect())
    }
}

impl Machines {
    /// Makes every other ledger around those of the processes. That of a cgroup of which
    /// nothing has changed since the last time is the one that was made then. Where `at`, which
    /// counts from whenever the caller likes, is given, cgroups are watched from one time to the
    /// next.
    pub fn next(
        &mut self,
        at: Option<Duration>,
        host: &HostSample,
        cgroups: &Fact<Vec<CgroupSample>>,
        processes: Vec<Arc<ProcessLedger>>,
    ) -> Machine {
        let cgroups = match cgroups {
            Ok(samples) => {
                self.cgroups.read(samples, &processes, hidden(&processes));
                self.cgroups.settle(&swap_free(host));
                if let Some(at) = at {
                    self.cgroups.watch(at);
                }
                Ok(self.cgroups.ledgers())
            }
            Err(missing) => Err(missing.clone()),
        };
        Machine { host: host::ledger(host), cgroups, processes }
    }
}

/// What the swap areas of a host still hold.
pub fn swap_free(host: &HostSample) -> Fact<u64> {
    host.meminfo.as_ref().map(|meminfo| meminfo.swap_free).map_err(Missing::clone)
}

/// Why no process tells its cgroup: then no cgroup has known members.
fn hidden(processes: &[Arc<ProcessLedger>]) -> Option<&Missing> {
    if processes.iter().any(|process| process.cgroup.is_some()) {
        return None;
    }
    let lack = processes.iter().flat_map(|p| &p.absent).find(|a| a.what == "cgroup");
    lack.map(|lack| &lack.missing)
}
