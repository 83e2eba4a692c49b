//! What a document is about.

use memgap_ledger::Identity;
use memgap_ledger::finding::Subject;
use memgap_ledger::sample::{CgroupVersion, ProcessKind};
use serde::Serialize;

/// What is explained.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ScopeJson {
    Process {
        pid: u32,
        name: String,
        state: &'static str,
        cgroup: Option<String>,
        /// Other processes of the same name.
        others: Vec<u32>,
    },
    Cgroup {
        path: String,
        version: u8,
        leaf: bool,
        identity: IdentityJson,
        /// `null` where they could not be listed.
        processes: Option<usize>,
    },
    Host {},
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum IdentityJson {
    Container { id: String, runtime: String, pod_uid: String, names: Option<Names> },
    Pod { uid: String },
    Unit { name: String },
    Other {},
}

#[derive(Debug, Serialize)]
pub struct Names {
    namespace: String,
    pod: String,
    container: String,
}

pub fn scope(subject: Subject<'_>, others: &[u32]) -> ScopeJson {
    match subject {
        Subject::Process(p) => ScopeJson::Process {
            pid: p.pid,
            name: p.name.clone(),
            state: match p.kind {
                ProcessKind::User => "user",
                ProcessKind::Kernel => "kernel",
                ProcessKind::Zombie => "zombie",
            },
            cgroup: p.cgroup.clone(),
            others: others.to_vec(),
        },
        Subject::Cgroup(c) => ScopeJson::Cgroup {
            path: c.path.clone(),
            version: match c.version {
                CgroupVersion::V1 => 1,
                CgroupVersion::V2 => 2,
            },
            leaf: c.leaf,
            identity: identity(&c.identity),
            processes: c.processes,
        },
        Subject::Host(_) => ScopeJson::Host {},
    }
}

fn identity(identity: &Identity) -> IdentityJson {
    match identity {
        Identity::Container(c) => IdentityJson::Container {
            id: c.id.clone(),
            runtime: c.runtime.to_owned(),
            pod_uid: c.pod_uid.clone(),
            names: c.names.as_ref().map(|n| Names {
                namespace: n.namespace.clone(),
                pod: n.pod.clone(),
                container: n.container.clone(),
            }),
        },
        Identity::Pod { uid } => IdentityJson::Pod { uid: uid.clone() },
        Identity::Unit { name } => IdentityJson::Unit { name: name.clone() },
        Identity::Other => IdentityJson::Other {},
    }
}
