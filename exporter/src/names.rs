//! What pods and containers go by: the names that the node tells, each from when it is known
//! until the cgroup ends. Who has none yet is not exported: series that began under another
//! name would be of somebody else for whoever reads them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use memgap_ledger::identity::ContainerIdentity;
use memgap_ledger::{CgroupLedger, Identity};

/// Namespace and name of a pod.
pub type PodName = [String; 2];

/// Pods by their unique ids.
pub type PodNames = HashMap<String, PodName>;

/// Namespace, pod and container; the first two are empty outside of Kubernetes.
pub type ContainerName = [String; 3];

/// Characters of a container id that people use.
const SHORT_ID: usize = 12;

/// The names in force.
#[derive(Debug, Default)]
pub struct Names {
    /// By unique id.
    pods: BTreeMap<String, Kept<PodName>>,
    /// Those that the node told last.
    told: Arc<PodNames>,
    /// By path.
    containers: BTreeMap<String, Kept<ContainerName>>,
    by_id: bool,
    has_asked: bool,
    /// Counts collections.
    round: u64,
}

#[derive(Debug)]
struct Kept<T> {
    name: T,
    /// The last collection that met whose it is.
    seen: u64,
}

impl Names {
    /// What the node tells of the names of pods, beside those of containers. Where it tells no
    /// names, pods go by their unique ids and containers by their short ones; a node that told
    /// them once is waited for.
    pub fn node_tells(&mut self, pods: Option<Arc<PodNames>>) {
        self.by_id = pods.is_none() && (self.by_id || !self.has_asked);
        self.has_asked = true;
        self.told = pods.unwrap_or_default();
    }

    /// Brings them up to date: who has a name keeps it, who is gone is forgotten.
    pub fn read(&mut self, cgroups: &[Arc<CgroupLedger>]) {
        self.round += 1;
        let containers = || cgroups.iter().filter_map(|cgroup| Some((cgroup, container(cgroup)?)));
        for (_, identity) in containers() {
            let told = identity.names.as_ref();
            let name = told.map(|names| [names.namespace.clone(), names.pod.clone()]);
            self.meet_pod(&identity.pod_uid, name);
        }
        for cgroup in cgroups {
            if let Identity::Pod { uid } = &cgroup.identity {
                let id = || self.by_id.then(|| [String::new(), uid.clone()]);
                let name = self.told.get(uid).cloned().or_else(id);
                self.meet_pod(uid, name);
            }
        }
        for (cgroup, identity) in containers() {
            if let Some(kept) = self.containers.get_mut(&cgroup.path) {
                kept.seen = self.round;
            } else if let Some(name) = self.first_of(identity) {
                let kept = Kept { name, seen: self.round };
                self.containers.insert(cgroup.path.clone(), kept);
            }
        }
        self.pods.retain(|_, kept| kept.seen == self.round);
        self.containers.retain(|_, kept| kept.seen == self.round);
    }

    /// The pod of that unique id.
    pub fn pod(&self, uid: &str) -> Option<&PodName> {
        self.pods.get(uid).map(|kept| &kept.name)
    }

    /// Every pod that has a name: its unique id and that.
    pub fn pods(&self) -> impl Iterator<Item = (&str, &PodName)> {
        self.pods.iter().map(|(uid, kept)| (uid.as_str(), &kept.name))
    }

    /// The container at a path. A pod's sandbox never has a name: it is no container of
    /// anybody's, and its memory is its pod's.
    pub fn container(&self, path: &str) -> Option<&ContainerName> {
        self.containers.get(path).map(|kept| &kept.name)
    }

    /// Notes that a pod is there, and what it is called if that is known.
    fn meet_pod(&mut self, uid: &str, name: Option<PodName>) {
        if let Some(kept) = self.pods.get_mut(uid) {
            kept.seen = self.round;
        } else if let Some(name) = name.filter(|_| !uid.is_empty()) {
            self.pods.insert(uid.to_owned(), Kept { name, seen: self.round });
        }
    }

    fn first_of(&self, identity: &ContainerIdentity) -> Option<ContainerName> {
        if let Some(names) = &identity.names {
            return Some([names.namespace.clone(), names.pod.clone(), names.container.clone()]);
        }
        let short = identity.id.get(..SHORT_ID).unwrap_or(&identity.id).to_owned();
        if identity.pod_uid.is_empty() {
            return Some([String::new(), String::new(), short]);
        }
        let by_id = || [String::new(), identity.pod_uid.clone()];
        self.by_id.then(|| {
            let [namespace, pod] = self.pod(&identity.pod_uid).cloned().unwrap_or_else(by_id);
            [namespace, pod, short]
        })
    }
}

/// What is known of a cgroup that is a container.
pub fn container(cgroup: &CgroupLedger) -> Option<&ContainerIdentity> {
    match &cgroup.identity {
        Identity::Container(identity) => Some(identity),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_told_names_once_is_waited_for() {
        let by_id = |told: &[bool]| {
            let mut names = Names::default();
            for tells in told {
                names.node_tells(tells.then(Arc::default));
            }
            names.by_id
        };
        assert!(!by_id(&[]) && !by_id(&[true]) && !by_id(&[true, false, false]));
        assert!(by_id(&[false]) && by_id(&[false, false]));
        assert!(!by_id(&[false, true]) && !by_id(&[false, true, false]));
    }
}
