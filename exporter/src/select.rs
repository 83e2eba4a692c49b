//! The scopes of a machine: what is exported of its cgroups, processes and itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use memgap_ledger::finding::{Subject, findings};
use memgap_ledger::sample::ProcessKind;
use memgap_ledger::{Figure, HostLedger, Machine, ProcessLedger};

use crate::gc::{Collections, Increments};
pub use crate::groups::Grouping;
use crate::groups::{Groups, Process, runtimes_of};
use crate::homes::{Holder, Home, Homes, Place};
use crate::kubernetes::told::Workloads;
use crate::names::Names;
use crate::scope::{Member, Scope};
use crate::tables::{CONTAINER, MACHINE, PLAIN, POD, UNIT};
use crate::workloads;

/// Every scope of a machine.
#[derive(Debug)]
pub struct Scopes {
    /// The machine itself: one member without labels.
    pub host: Scope,
    /// Labels `namespace`, `pod`.
    pub pods: Scope,
    /// Labels `namespace`, `pod`, `container`.
    pub containers: Scope,
    /// Label `unit`.
    pub units: Scope,
    /// Label `cgroup`: the path.
    pub cgroups: Scope,
    /// Labels of the container, and `group`: the name of the processes; `pid` where
    /// each stands alone.
    pub groups: Scope,
    /// What pods are of, by their labels.
    pub workloads: BTreeMap<String, String>,
}

/// What is kept of one machine's scopes for the next.
#[derive(Debug, Default)]
pub struct Kept {
    /// What pods and containers go by. They may not be given up: who has a name keeps it.
    pub names: Names,
    /// Cgroups.
    pub homes: Homes,
    /// Process groups.
    pub groups: Groups,
    /// What pods are of, as the API server told last.
    pub workloads: Arc<Workloads>,
}

impl Scopes {
    /// Sorts a machine's ledgers into scopes. The members' counters are what was done
    /// since the last time.
    pub fn of(machine: &Machine, increments: &Increments, grouping: Grouping) -> Self {
        Self::with(machine, increments, grouping, &mut Kept::default())
    }

    /// The same after another machine, of which what has not changed is used again.
    pub fn with(
        machine: &Machine,
        increments: &Increments,
        grouping: Grouping,
        Kept { names, homes, groups, workloads }: &mut Kept,
    ) -> Self {
        let mut scopes = Self {
            host: Scope::new(&MACHINE),
            pods: Scope::new(&POD),
            containers: Scope::new(&CONTAINER),
            units: Scope::new(&UNIT),
            cgroups: Scope::new(&PLAIN),
            groups: Scope::new(grouping.table()),
            workloads: BTreeMap::new(),
        };
        scopes.host.add(String::new(), host(&machine.host));
        let cgroups = machine.cgroups.as_deref().unwrap_or_default();
        names.read(cgroups);
        homes.read(cgroups, names);
        scopes.workloads = workloads::of_pods(names, workloads);
        for home in homes.all() {
            scopes.of_home(home).add_shared(&home.labels, &home.member);
        }
        let mut processes = Vec::with_capacity(machine.processes.len());
        // Processes of one cgroup often follow each other.
        let mut last = ("", Holder::None);
        for ledger in machine.processes.iter().filter(|process| is_known(process)) {
            let path = ledger.cgroup.as_deref().unwrap_or("");
            if path != last.0 {
                last = (path, homes.holding(path));
            }
            let home = match last.1 {
                Holder::Home(home) => Some(home),
                Holder::None => None,
                Holder::Unnamed => continue,
            };
            let did = increments.get(&ledger.pid).map(Vec::as_slice).unwrap_or_default();
            if let Some(home) = home {
                scopes.add_counters(home, ledger, did);
            }
            let names = home.map_or([""; 3], |home| home.names.each_ref().map(String::as_str));
            processes.push(Process { ledger, home: names, did });
        }
        scopes.groups.members = groups.of(processes.into_iter(), grouping);
        scopes
    }

    /// Every scope, in the order in which it is written.
    pub fn all(&self) -> [&Scope; 6] {
        [&self.containers, &self.pods, &self.units, &self.cgroups, &self.groups, &self.host]
    }

    /// The same, to be changed.
    pub fn all_mut(&mut self) -> [&mut Scope; 6] {
        let Self { host, pods, containers, units, cgroups, groups, .. } = self;
        [containers, pods, units, cgroups, groups, host]
    }

    /// How many series they make together.
    pub fn series(&self) -> usize {
        self.all().iter().map(|s| s.series()).sum()
    }

    fn of_home(&mut self, home: &Home) -> &mut Scope {
        match home.place {
            Place::Container => &mut self.containers,
            Place::Pod => &mut self.pods,
            Place::Unit => &mut self.units,
            Place::Other => &mut self.cgroups,
        }
    }

    /// Adds the counters of a process's runtimes to its home. What is in use is added by
    /// cgroup, where shared pages count once.
    fn add_counters(&mut self, home: &Home, process: &ProcessLedger, did: &[Collections]) {
        if did.iter().any(|did| *did != Collections::default()) {
            let runtimes = runtimes_of(&PLAIN, process, did);
            let counters = Member { runtimes, ..Member::default() };
            self.of_home(home).add_shared(&home.labels, &Arc::new(counters));
        }
    }
}

/// Whether its RSS is known: else it ended, or is kept from us.
pub fn is_known(process: &ProcessLedger) -> bool {
    process.kind == ProcessKind::User && process.headline.rss != Figure::Absent
}

fn host(host: &HostLedger) -> Member {
    Member {
        ledger: Member::ledger_of(&MACHINE, &host.ledger),
        gauges: vec![host.headline.total.point()],
        findings: Member::findings_of(&findings(Subject::Host(host))),
        ..Member::default()
    }
}
