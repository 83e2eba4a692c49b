//! Which cgroups are exported, under which labels and with which figures. What is known of
//! one is kept as long as its ledger is the same.
//!
//! No byte may count twice in a sum over a node. So of cgroups that contain one another only
//! one is exported with a ledger: the outermost container, and outside containers the leaf.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use memgap_ledger::figure::signed;
use memgap_ledger::finding::{Subject, findings};
use memgap_ledger::identity::ContainerIdentity;
use memgap_ledger::{CgroupLedger, Figure, Identity};

use crate::count::{self, Counts};
use crate::encode::labels;
use crate::scope::{Member, OfRuntime};
use crate::tables::PLAIN;

/// The exported cgroups of the last collection, by path.
#[derive(Debug, Default)]
pub struct Homes {
    kept: BTreeMap<String, Kept>,
    pods: BTreeMap<String, PodName>,
    /// Counts collections.
    round: u64,
}

/// What a cgroup is exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A container, with labels `namespace`, `pod`, `container`.
    Container,
    /// A pod, which is exported beside its containers: labels `namespace`, `pod`.
    Pod,
    /// A leaf of systemd's: label `unit`.
    Unit,
    /// Another leaf: label `cgroup`, the path.
    Other,
}

/// One cgroup that is exported.
#[derive(Debug)]
pub struct Home {
    /// What as.
    pub place: Place,
    /// Its labels.
    pub labels: Arc<str>,
    /// Namespace, pod and container, where it is one.
    pub names: [String; 3],
    /// Its figures.
    pub member: Arc<Member>,
}

#[derive(Debug)]
struct Kept {
    ledger: Arc<CgroupLedger>,
    home: Home,
    /// The last collection that met it.
    seen: u64,
}

/// Namespace and name of a pod.
type PodName = (String, String);

/// Characters of a container id that people use.
const SHORT_ID: usize = 12;

impl Homes {
    /// Brings them up to date.
    pub fn read(&mut self, cgroups: &[Arc<CgroupLedger>]) {
        self.round += 1;
        let pods = pod_names(cgroups);
        if self.pods != pods {
            // Names of one are told by others.
            self.kept.clear();
            self.pods = pods;
        }
        for cgroup in outermost(cgroups) {
            if let Some(kept) = self.kept.get_mut(&cgroup.path)
                && Arc::ptr_eq(&kept.ledger, cgroup)
            {
                kept.seen = self.round;
            } else if let Some(home) = Home::of(cgroup, &self.pods) {
                let kept = Kept { ledger: Arc::clone(cgroup), home, seen: self.round };
                self.kept.insert(cgroup.path.clone(), kept);
            }
        }
        self.kept.retain(|_, kept| kept.seen == self.round);
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Home> {
        self.kept.values().map(|kept| &kept.home)
    }

    /// The one that a process of that cgroup is in.
    pub fn holding(&self, path: &str) -> Option<&Home> {
        let home = |path| self.kept.get(path).map(|kept| &kept.home);
        let paths = std::iter::once(path).chain(ancestors(path));
        paths.filter_map(home).find(|home| home.place != Place::Pod)
    }
}

impl Home {
    fn of(cgroup: &CgroupLedger, pods: &BTreeMap<String, PodName>) -> Option<Self> {
        let place = match &cgroup.identity {
            Identity::Container(identity) => return Some(Self::container(cgroup, identity, pods)),
            Identity::Pod { .. } => Place::Pod,
            _ if !cgroup.leaf => return None,
            Identity::Unit { .. } => Place::Unit,
            Identity::Other => Place::Other,
        };
        let (labels, member) = match &cgroup.identity {
            Identity::Pod { uid } => {
                let (namespace, pod) = pod_name(uid, pods);
                (labels(&[("namespace", &namespace), ("pod", &pod)]), pod_member(cgroup))
            }
            Identity::Unit { name } => (labels(&[("unit", name)]), member(cgroup)),
            _ => (labels(&[("cgroup", &cgroup.path)]), member(cgroup)),
        };
        let names = Default::default();
        Some(Self { place, labels: labels.into(), names, member: Arc::new(member) })
    }

    fn container(
        cgroup: &CgroupLedger,
        identity: &ContainerIdentity,
        pods: &BTreeMap<String, PodName>,
    ) -> Self {
        let names = container_names(identity, pods);
        let [namespace, pod, name] = &names;
        let labels = labels(&[("namespace", namespace), ("pod", pod), ("container", name)]);
        let more = crate::encode::labels(&[
            ("uid", &identity.pod_uid),
            ("container_id", &identity.id),
            ("runtime", identity.runtime),
        ]);
        let mut member = member(cgroup);
        member.infos.insert(format!("{labels},{more}"));
        let labels = labels.into();
        Self { place: Place::Container, labels, names, member: Arc::new(member) }
    }
}

/// The cgroups of which each byte counts once: the outermost containers, and the leaves outside
/// of them.
pub fn with_ledgers(cgroups: &[Arc<CgroupLedger>]) -> impl Iterator<Item = &Arc<CgroupLedger>> {
    let counted = |cgroup: &&Arc<CgroupLedger>| match &cgroup.identity {
        Identity::Container(_) => true,
        Identity::Pod { .. } => false,
        Identity::Unit { .. } | Identity::Other => cgroup.leaf,
    };
    outermost(cgroups).filter(counted)
}

/// The paths above a path, the nearest first, without the root.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').map(|(at, _)| &path[..at]).filter(|path| !path.is_empty())
}

/// Those that are in no container.
fn outermost(cgroups: &[Arc<CgroupLedger>]) -> impl Iterator<Item = &Arc<CgroupLedger>> {
    let containers = cgroups.iter().filter(|cgroup| container(cgroup).is_some());
    let paths: BTreeSet<&str> = containers.map(|cgroup| cgroup.path.as_str()).collect();
    // Of a cgroup that vanished in mid-read nothing is known.
    let known = cgroups.iter().filter(|c| c.headline.usage != Figure::Absent);
    known.filter(move |c| paths.is_empty() || !ancestors(&c.path).any(|a| paths.contains(a)))
}

fn container(cgroup: &CgroupLedger) -> Option<&ContainerIdentity> {
    match &cgroup.identity {
        Identity::Container(identity) => Some(identity),
        _ => None,
    }
}

/// Names of pods by their unique id, as far as any of their containers tells.
fn pod_names(cgroups: &[Arc<CgroupLedger>]) -> BTreeMap<String, PodName> {
    let containers = cgroups.iter().filter_map(|cgroup| container(cgroup));
    let in_pods = containers.filter(|c| !c.pod_uid.is_empty());
    let named = in_pods.filter_map(|c| Some((c, c.names.as_ref()?)));
    named.map(|(c, n)| (c.pod_uid.clone(), (n.namespace.clone(), n.pod.clone()))).collect()
}

fn pod_name(uid: &str, pods: &BTreeMap<String, PodName>) -> PodName {
    pods.get(uid).cloned().unwrap_or_else(|| (String::new(), uid.to_owned()))
}

/// Namespace, pod and container. Without the node's word, as for a sandbox, a
/// container goes by its short id, in its pod where the siblings name that.
fn container_names(c: &ContainerIdentity, pods: &BTreeMap<String, PodName>) -> [String; 3] {
    if let Some(names) = &c.names {
        return [names.namespace.clone(), names.pod.clone(), names.container.clone()];
    }
    let (namespace, pod) = pod_name(&c.pod_uid, pods);
    [namespace, pod, c.id.get(..SHORT_ID).unwrap_or(&c.id).to_owned()]
}

fn member(cgroup: &CgroupLedger) -> Member {
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
        cgroup.outlook.advised_limit,
    ]);
    gauges.extend(room_lasts(cgroup));
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

/// At the highest rate and at the lowest, in seconds.
fn room_lasts(cgroup: &CgroupLedger) -> [Option<i64>; 2] {
    let Some(shrinking) = &cgroup.outlook.shrinking else { return [None, None] };
    let (low, high) = shrinking.bounds;
    [Some(low), high].map(|time| Some(signed(time?.as_secs())))
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
