//! Which cgroups are exported, under which labels and with which figures. What is known of
//! one is kept as long as its ledger is the same.
//!
//! No byte may count twice in a sum over a node. So of cgroups that contain one another only
//! one is exported with a ledger: the outermost container, and outside containers the leaf.
//! Of containers and pods those are that have a name: see `names`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use memgap_ledger::figure::signed;
use memgap_ledger::finding::{Subject, findings};
use memgap_ledger::identity::ContainerIdentity;
use memgap_ledger::{CgroupLedger, Figure, Identity};

use crate::count::{self, Counts};
use crate::encode::labels;
use crate::names::{ContainerName, Names, container};
use crate::scope::{Member, OfRuntime};
use crate::tables::PLAIN;

/// The exported cgroups of the last collection, by path.
#[derive(Debug, Default)]
pub struct Homes {
    kept: BTreeMap<String, Kept>,
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

/// Whose a process is.
#[derive(Debug)]
pub enum Holder<'h> {
    /// That of a cgroup that is exported.
    Home(&'h Home),
    /// A container's that has no name, or not yet one.
    Unnamed,
    /// Nobody's.
    None,
}

/// One cgroup that is exported.
#[derive(Debug)]
pub struct Home {
    /// What as.
    pub place: Place,
    /// Its labels.
    pub labels: Arc<str>,
    /// Namespace, pod and container, where it is one.
    pub names: ContainerName,
    /// Its figures.
    pub member: Arc<Member>,
}

#[derive(Debug)]
struct Kept {
    ledger: Arc<CgroupLedger>,
    /// None where it has no name, or not yet one.
    home: Option<Home>,
    /// The last collection that met it.
    seen: u64,
}

impl Homes {
    /// Brings them up to date.
    pub fn read(&mut self, cgroups: &[Arc<CgroupLedger>], names: &Names) {
        self.round += 1;
        for cgroup in outermost(cgroups).filter(|cgroup| is_exported(cgroup)) {
            if let Some(kept) = self.kept.get_mut(&cgroup.path)
                && Arc::ptr_eq(&kept.ledger, cgroup)
                && kept.home.is_some()
            {
                kept.seen = self.round;
            } else {
                let home = Home::of(cgroup, names);
                let kept = Kept { ledger: Arc::clone(cgroup), home, seen: self.round };
                self.kept.insert(cgroup.path.clone(), kept);
            }
        }
        self.kept.retain(|_, kept| kept.seen == self.round);
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Home> {
        self.kept.values().filter_map(|kept| kept.home.as_ref())
    }

    /// Whose a process of that cgroup is.
    pub fn holding(&self, path: &str) -> Holder<'_> {
        let mut paths = std::iter::once(path).chain(ancestors(path));
        let kept = |path| self.kept.get(path).filter(|kept| !is_pod(&kept.ledger));
        match paths.find_map(kept) {
            Some(Kept { home: Some(home), .. }) => Holder::Home(home),
            Some(Kept { home: None, .. }) => Holder::Unnamed,
            None => Holder::None,
        }
    }
}

impl Home {
    /// What it is exported as; nothing where it has no name.
    fn of(cgroup: &CgroupLedger, names: &Names) -> Option<Self> {
        let (place, labels, member) = match &cgroup.identity {
            Identity::Container(identity) => {
                let name = names.container(&cgroup.path)?;
                return Some(Self::container(cgroup, identity, name));
            }
            Identity::Pod { uid } => {
                let [namespace, pod] = names.pod(uid)?;
                let labels = labels(&[("namespace", namespace), ("pod", pod)]);
                (Place::Pod, labels, pod_member(cgroup))
            }
            Identity::Unit { name } => (Place::Unit, labels(&[("unit", name)]), member(cgroup)),
            Identity::Other => (Place::Other, labels(&[("cgroup", &cgroup.path)]), member(cgroup)),
        };
        let names = Default::default();
        Some(Self { place, labels: labels.into(), names, member: Arc::new(member) })
    }

    fn container(
        cgroup: &CgroupLedger,
        identity: &ContainerIdentity,
        names: &ContainerName,
    ) -> Self {
        let [namespace, pod, name] = names;
        let labels = labels(&[("namespace", namespace), ("pod", pod), ("container", name)]);
        let more = crate::encode::labels(&[
            ("uid", &identity.pod_uid),
            ("container_id", &identity.id),
            ("runtime", identity.runtime),
        ]);
        let mut member = member(cgroup);
        member.infos.insert(format!("{labels},{more}"));
        let (labels, names) = (labels.into(), names.clone());
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

/// Containers and pods, and outside of them the leaves.
fn is_exported(cgroup: &CgroupLedger) -> bool {
    cgroup.leaf || is_pod(cgroup) || container(cgroup).is_some()
}

fn is_pod(cgroup: &CgroupLedger) -> bool {
    matches!(cgroup.identity, Identity::Pod { .. })
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
