//! Which members of a machine are exported, and their labels.
//!
//! No byte may count twice in a sum over a node. So of cgroups that contain one
//! another only one is exported with a ledger: the outermost container, and
//! outside containers the leaf.

use std::collections::{BTreeMap, BTreeSet};

use memgap_ledger::figure::signed;
use memgap_ledger::finding::{Subject, findings};
use memgap_ledger::identity::ContainerIdentity;
use memgap_ledger::sample::ProcessKind;
use memgap_ledger::{CgroupLedger, Figure, HostLedger, Identity, Machine, ProcessLedger};

use crate::count::{self, Counts};
use crate::encode::labels;
use crate::gc::{Collections, Increments};
pub use crate::groups::Grouping;
use crate::groups::{Groups, Process, runtimes_of};
use crate::scope::{Member, OfRuntime, Scope};
use crate::tables::{CONTAINER, MACHINE, PLAIN, POD, UNIT};

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
}

/// Namespace and name of a pod.
type PodName = (String, String);

/// Characters of a container id that people use.
const SHORT_ID: usize = 12;

impl Scopes {
    /// Sorts a machine's ledgers into scopes. The members' counters are what was done
    /// since the last time.
    pub fn of(machine: &Machine, increments: &Increments, grouping: Grouping) -> Self {
        Self::with(machine, increments, grouping, &mut Groups::default())
    }

    /// The same after another machine, whose groups are used again where they can be.
    pub fn with(
        machine: &Machine,
        increments: &Increments,
        grouping: Grouping,
        groups: &mut Groups,
    ) -> Self {
        let mut scopes = Self {
            host: Scope::new(&MACHINE),
            pods: Scope::new(&POD),
            containers: Scope::new(&CONTAINER),
            units: Scope::new(&UNIT),
            cgroups: Scope::new(&PLAIN),
            groups: Scope::new(grouping.table()),
        };
        scopes.host.add(String::new(), host(&machine.host));
        let cgroups = machine.cgroups.as_deref().unwrap_or_default();
        let homes = scopes.add_cgroups(cgroups);
        let mut processes = Vec::with_capacity(machine.processes.len());
        for ledger in machine.processes.iter().filter(|process| is_known(process)) {
            let path = ledger.cgroup.as_deref().unwrap_or("");
            let home = std::iter::once(path).chain(ancestors(path)).find_map(|p| homes.get(p));
            let did = increments.get(&ledger.pid).map(Vec::as_slice).unwrap_or_default();
            if let Some(home) = home {
                scopes.add_counters(home, ledger, did);
            }
            processes.push(Process { ledger, home: home.map_or([""; 3], Home::names), did });
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
        let Self { host, pods, containers, units, cgroups, groups } = self;
        [containers, pods, units, cgroups, groups, host]
    }

    /// How many series they make together.
    pub fn series(&self) -> usize {
        self.all().iter().map(|s| s.series()).sum()
    }

    /// Returns where each exported cgroup stands, by its path.
    fn add_cgroups<'m>(&mut self, cgroups: &'m [CgroupLedger]) -> BTreeMap<&'m str, Home> {
        let pods = pod_names(cgroups);
        let mut homes = BTreeMap::new();
        for cgroup in outermost(cgroups) {
            let home = match &cgroup.identity {
                Identity::Container(identity) => self.add_container(cgroup, identity, &pods),
                Identity::Pod { uid } => {
                    let (namespace, pod) = pod_name(uid, &pods);
                    let labels = labels(&[("namespace", &namespace), ("pod", &pod)]);
                    self.pods.add(labels, pod_member(cgroup));
                    continue;
                }
                _ if !cgroup.leaf => continue,
                Identity::Unit { name } => {
                    let labels = labels(&[("unit", name)]);
                    self.units.add(labels.clone(), cgroup_member(cgroup));
                    Home { scope: |scopes| &mut scopes.units, labels, names: Default::default() }
                }
                Identity::Other => {
                    let labels = labels(&[("cgroup", &cgroup.path)]);
                    self.cgroups.add(labels.clone(), cgroup_member(cgroup));
                    Home { scope: |scopes| &mut scopes.cgroups, labels, names: Default::default() }
                }
            };
            homes.insert(cgroup.path.as_str(), home);
        }
        homes
    }

    fn add_container(
        &mut self,
        cgroup: &CgroupLedger,
        identity: &ContainerIdentity,
        pods: &BTreeMap<&str, PodName>,
    ) -> Home {
        let names = container_names(identity, pods);
        let [namespace, pod, name] = &names;
        let labels = labels(&[("namespace", namespace), ("pod", pod), ("container", name)]);
        let more = crate::encode::labels(&[
            ("uid", &identity.pod_uid),
            ("container_id", &identity.id),
            ("runtime", identity.runtime),
        ]);
        let mut member = cgroup_member(cgroup);
        member.infos.insert(format!("{labels},{more}"));
        self.containers.add(labels.clone(), member);
        Home { scope: |scopes| &mut scopes.containers, labels, names }
    }

    /// Adds the counters of a process's runtimes to its home. What is in use is added by
    /// cgroup, where shared pages count once.
    fn add_counters(&mut self, home: &Home, process: &ProcessLedger, did: &[Collections]) {
        if did.iter().any(|did| *did != Collections::default()) {
            let runtimes = runtimes_of(&PLAIN, process, did);
            let scope = (home.scope)(self);
            scope.add(home.labels.clone(), Member { runtimes, ..Member::default() });
        }
    }
}

/// A member of a scope that processes are in.
#[derive(Debug, Clone)]
struct Home {
    scope: fn(&mut Scopes) -> &mut Scope,
    labels: String,
    /// Namespace, pod and container, where it is one.
    names: [String; 3],
}

impl Home {
    fn names(&self) -> [&str; 3] {
        self.names.each_ref().map(String::as_str)
    }
}

/// The cgroups of which each byte counts once: the outermost containers, and the leaves outside
/// of them.
pub fn with_ledgers(cgroups: &[CgroupLedger]) -> impl Iterator<Item = &CgroupLedger> {
    outermost(cgroups).filter(|cgroup| match &cgroup.identity {
        Identity::Container(_) => true,
        Identity::Pod { .. } => false,
        Identity::Unit { .. } | Identity::Other => cgroup.leaf,
    })
}

/// Those that are in no container.
fn outermost(cgroups: &[CgroupLedger]) -> impl Iterator<Item = &CgroupLedger> {
    let paths: BTreeSet<&str> =
        cgroups.iter().filter(|c| container(c).is_some()).map(|c| c.path.as_str()).collect();
    // Of a cgroup that vanished in mid-read nothing is known.
    let known = cgroups.iter().filter(|c| c.headline.usage != Figure::Absent);
    known.filter(move |c| !ancestors(&c.path).any(|a| paths.contains(a)))
}

/// Whether its RSS is known: else it ended, or is kept from us.
pub fn is_known(process: &ProcessLedger) -> bool {
    process.kind == ProcessKind::User && process.headline.rss != Figure::Absent
}

fn container(cgroup: &CgroupLedger) -> Option<&ContainerIdentity> {
    match &cgroup.identity {
        Identity::Container(identity) => Some(identity),
        _ => None,
    }
}

/// The paths above a path, the nearest first, without the root.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').map(|(at, _)| &path[..at]).filter(|path| !path.is_empty())
}

/// Names of pods by their unique id, as far as any of their containers tells.
fn pod_names(cgroups: &[CgroupLedger]) -> BTreeMap<&str, PodName> {
    let in_pods = cgroups.iter().filter_map(container).filter(|c| !c.pod_uid.is_empty());
    let named = in_pods.filter_map(|c| Some((c, c.names.as_ref()?)));
    named.map(|(c, n)| (c.pod_uid.as_str(), (n.namespace.clone(), n.pod.clone()))).collect()
}

fn pod_name(uid: &str, pods: &BTreeMap<&str, PodName>) -> PodName {
    pods.get(uid).cloned().unwrap_or_else(|| (String::new(), uid.to_owned()))
}

/// Namespace, pod and container. Without the node's word, as for a sandbox, a
/// container goes by its short id, in its pod where the siblings name that.
fn container_names(c: &ContainerIdentity, pods: &BTreeMap<&str, PodName>) -> [String; 3] {
    if let Some(names) = &c.names {
        return [names.namespace.clone(), names.pod.clone(), names.container.clone()];
    }
    let (namespace, pod) = pod_name(&c.pod_uid, pods);
    [namespace, pod, c.id.get(..SHORT_ID).unwrap_or(&c.id).to_owned()]
}

fn cgroup_member(cgroup: &CgroupLedger) -> Member {
    let h = &cgroup.headline;
    let mut gauges = pod_gauges(cgroup);
    let (in_use_low, in_use_high) = h.in_use.bounds().unzip();
    let by_runtime = cgroup.in_use.iter().flat_map(|in_use| &in_use.by);
    let runtimes =
        by_runtime.map(|(owner, bytes)| (owner.clone(), OfRuntime::of_claims(*bytes))).collect();
    gauges.extend([
        h.working_set_hidden.point(),
        h.in_use.point(),
        in_use_low,
        in_use_high,
        h.limit.map(signed),
    ]);
    Member {
        ledger: Member::ledger_of(&PLAIN, &cgroup.ledger),
        gauges,
        coverage: h.in_use_coverage,
        runtimes,
        findings: Member::findings_of(&findings(Subject::Cgroup(cgroup))),
        counted: counted(cgroup),
        ..Member::default()
    }
}

fn counted(cgroup: &CgroupLedger) -> Vec<(String, Counts)> {
    vec![(cgroup.path.clone(), count::of(cgroup))]
}

/// A pod's findings are those of its containers.
fn pod_member(cgroup: &CgroupLedger) -> Member {
    Member { gauges: pod_gauges(cgroup), counted: counted(cgroup), ..Member::default() }
}

fn pod_gauges(cgroup: &CgroupLedger) -> Vec<Option<i64>> {
    let h = &cgroup.headline;
    let (low, high) = h.required.bounds().unzip();
    let room = cgroup.room.as_ref().map_or(Figure::Absent, |room| room.bytes);
    let (room_low, room_high) = room.bounds().unzip();
    let swap = h.swap.point().filter(|bytes| *bytes > 0 || cgroup.swap_limit != Ok(Some(0)));
    vec![
        h.usage.point(),
        h.working_set.point(),
        low,
        high,
        room_low,
        room_high,
        h.peak.point(),
        swap,
    ]
}

fn host(host: &HostLedger) -> Member {
    Member {
        ledger: Member::ledger_of(&MACHINE, &host.ledger),
        gauges: vec![host.headline.total.point()],
        findings: Member::findings_of(&findings(Subject::Host(host))),
        ..Member::default()
    }
}
