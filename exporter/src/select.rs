//! What of a machine is exported, and under which labels.
//!
//! No byte may count twice in a sum over a node. So of cgroups that contain one
//! another only one is exported with a ledger: the outermost container, and
//! outside containers the leaf.

use std::collections::{BTreeMap, BTreeSet};

use memgap_ledger::finding::{Subject, findings};
use memgap_ledger::identity::ContainerIdentity;
use memgap_ledger::sample::ProcessKind;
use memgap_ledger::{CgroupLedger, Figure, HostLedger, Identity, Machine, ProcessLedger};

use crate::encode::labels;
use crate::scope::{Member, Scope};
use crate::tables::{CONTAINER, MACHINE, OTHER, PLAIN, POD, PROCESS_GROUP, UNIT};

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
    /// Labels of the container, and `group`: the name of the processes.
    pub groups: Scope,
}

/// Namespace and name of a pod.
type PodName = (String, String);

/// Characters of a container id that people use.
const SHORT_ID: usize = 12;

impl Scopes {
    /// Sorts a machine's ledgers into scopes.
    pub fn of(machine: &Machine) -> Self {
        let mut scopes = Self {
            host: Scope::new(&MACHINE),
            pods: Scope::new(&POD),
            containers: Scope::new(&CONTAINER),
            units: Scope::new(&UNIT),
            cgroups: Scope::new(&PLAIN),
            groups: Scope::new(&PROCESS_GROUP),
        };
        scopes.host.add(String::new(), host(&machine.host));
        let cgroups = machine.cgroups.as_deref().unwrap_or_default();
        let containers = scopes.add_cgroups(cgroups);
        scopes.add_processes(&machine.processes, &containers);
        scopes
    }

    /// Every scope, in the order in which it is written.
    pub fn all(&self) -> [&Scope; 6] {
        [&self.containers, &self.pods, &self.units, &self.cgroups, &self.groups, &self.host]
    }

    /// How many series they make together.
    pub fn series(&self) -> usize {
        self.all().iter().map(|s| s.series()).sum()
    }

    /// Returns the labels of each exported container by its path.
    fn add_cgroups<'m>(&mut self, cgroups: &'m [CgroupLedger]) -> BTreeMap<&'m str, [String; 3]> {
        let paths: BTreeSet<&str> =
            cgroups.iter().filter(|c| container(c).is_some()).map(|c| c.path.as_str()).collect();
        let pods = pod_names(cgroups);
        let mut containers = BTreeMap::new();
        // Of a cgroup that vanished in mid-read nothing is known.
        let known = cgroups.iter().filter(|c| c.headline.usage != Figure::Absent);
        for cgroup in known.filter(|c| !ancestors(&c.path).any(|a| paths.contains(a))) {
            match &cgroup.identity {
                Identity::Container(identity) => {
                    let names = container_names(identity, &pods);
                    self.add_container(cgroup, identity, &names);
                    containers.insert(cgroup.path.as_str(), names);
                }
                Identity::Pod { uid } => {
                    let (namespace, pod) = pod_name(uid, &pods);
                    let labels = labels(&[("namespace", &namespace), ("pod", &pod)]);
                    self.pods.add(labels, pod_member(cgroup));
                }
                _ if !cgroup.leaf => {}
                Identity::Unit { name } => {
                    self.units.add(labels(&[("unit", name)]), cgroup_member(cgroup));
                }
                Identity::Other => {
                    self.cgroups.add(labels(&[("cgroup", &cgroup.path)]), cgroup_member(cgroup));
                }
            }
        }
        containers
    }

    fn add_container(
        &mut self,
        cgroup: &CgroupLedger,
        identity: &ContainerIdentity,
        [namespace, pod, name]: &[String; 3],
    ) {
        let labels = labels(&[("namespace", namespace), ("pod", pod), ("container", name)]);
        let more = crate::encode::labels(&[
            ("uid", &identity.pod_uid),
            ("container_id", &identity.id),
            ("runtime", identity.runtime),
        ]);
        let mut member = cgroup_member(cgroup);
        member.infos.insert(format!("{labels},{more}"));
        self.containers.add(labels, member);
    }

    fn add_processes(
        &mut self,
        processes: &[ProcessLedger],
        containers: &BTreeMap<&str, [String; 3]>,
    ) {
        let none = [String::new(), String::new(), String::new()];
        // A process whose RSS is not known ended, or is kept from us.
        let known = processes
            .iter()
            .filter(|p| p.kind == ProcessKind::User && p.headline.rss != Figure::Absent);
        for process in known {
            let path = process.cgroup.as_deref().unwrap_or("");
            let container = std::iter::once(path)
                .chain(ancestors(path))
                .find_map(|path| containers.get(path))
                .unwrap_or(&none);
            // A group that is really called "other" is part of what is folded:
            // it could not be told from it.
            let [namespace, pod, name] = if process.name == OTHER { &none } else { container };
            let labels = labels(&[
                ("namespace", namespace),
                ("pod", pod),
                ("container", name),
                ("group", &process.name),
            ]);
            self.groups.add(labels, process_member(process));
        }
    }
}

fn container(cgroup: &CgroupLedger) -> Option<&ContainerIdentity> {
    match &cgroup.identity {
        Identity::Container(identity) => Some(identity),
        _ => None,
    }
}

/// The paths above a path, the nearest first, without the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
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
    gauges.extend([
        h.working_set_hidden.point(),
        h.in_use.point(),
        h.limit.map(memgap_ledger::figure::signed),
    ]);
    Member {
        ledger: Member::ledger_of(&PLAIN, &cgroup.ledger),
        gauges,
        coverage: h.in_use_coverage,
        findings: Member::findings_of(&findings(Subject::Cgroup(cgroup))),
        ..Member::default()
    }
}

/// A pod's findings are those of its containers.
fn pod_member(cgroup: &CgroupLedger) -> Member {
    Member { gauges: pod_gauges(cgroup), ..Member::default() }
}

fn pod_gauges(cgroup: &CgroupLedger) -> Vec<Option<i64>> {
    let h = &cgroup.headline;
    let (low, high) = h.required.bounds().unzip();
    vec![h.usage.point(), h.working_set.point(), low, high]
}

fn process_member(process: &ProcessLedger) -> Member {
    let h = &process.headline;
    Member {
        ledger: Member::ledger_of(&PROCESS_GROUP, &process.ledger),
        gauges: vec![h.rss.point(), h.vsz.point(), h.in_use.point(), Some(1)],
        findings: Member::findings_of(&findings(Subject::Process(process))),
        ..Member::default()
    }
}

fn host(host: &HostLedger) -> Member {
    Member {
        ledger: Member::ledger_of(&MACHINE, &host.ledger),
        gauges: vec![host.headline.total.point()],
        findings: Member::findings_of(&findings(Subject::Host(host))),
        ..Member::default()
    }
}
