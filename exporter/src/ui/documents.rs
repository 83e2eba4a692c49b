//! What the pages read of the API's documents.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A process, cgroup or the host.
#[derive(Debug, Deserialize)]
pub struct Document {
    pub scope: Scope,
    pub verdict: String,
    /// Figures by name; `bounds` among them is none.
    pub headline: BTreeMap<String, serde_json::Value>,
    pub accounts: Vec<Account>,
    pub findings: Vec<Finding>,
    pub gaps: Vec<Gap>,
    pub notes: Vec<String>,
    pub absent: Vec<Absent>,
}

#[derive(Debug, Deserialize)]
pub struct Scope {
    pub path: Option<String>,
    pub pid: Option<u32>,
    pub name: Option<String>,
    pub cgroup: Option<String>,
    #[serde(default)]
    pub identity: Identity,
}

/// What a cgroup's path says that it is.
#[derive(Debug, Default, Deserialize)]
pub struct Identity {
    /// Kubernetes' names of a container.
    pub names: Option<Names>,
    /// The id of a container.
    pub id: Option<String>,
    /// The uid of a pod, and of the pod of a container.
    #[serde(alias = "pod_uid")]
    pub uid: Option<String>,
    /// The name of a unit.
    pub name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Names {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

#[derive(Debug, Deserialize)]
pub struct Account {
    pub name: String,
    pub class: String,
    pub axis: String,
    pub bytes: Option<i64>,
    pub low: Option<i64>,
    pub high: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct Finding {
    pub id: String,
    pub severity: String,
    pub summary: String,
    pub evidence: Vec<String>,
    pub is_not: String,
    pub remedy: String,
}

#[derive(Debug, Deserialize)]
pub struct Gap {
    pub from: String,
    pub to: String,
    pub bytes: i64,
    pub why: String,
}

#[derive(Debug, Deserialize)]
pub struct Absent {
    pub what: String,
    pub why: String,
}

impl Document {
    /// A figure of the headline, where it is known.
    pub fn figure(&self, name: &str) -> Option<i64> {
        self.headline.get(name)?.as_i64()
    }

    /// What people call it.
    pub fn title(&self) -> String {
        let Identity { names, id, uid, name } = &self.scope.identity;
        match (names, id, uid, name) {
            (Some(of), ..) => format!("{}/{}/{}", of.namespace, of.pod, of.container),
            (_, Some(id), Some(uid), _) if !uid.is_empty() => {
                format!("container {} of pod {uid}", short(id))
            }
            (_, Some(id), ..) => format!("container {}", short(id)),
            (_, _, Some(uid), _) => format!("pod {uid}"),
            (.., Some(unit)) => unit.clone(),
            (None, None, None, None) => self.own_name(),
        }
    }

    fn own_name(&self) -> String {
        match (&self.scope.path, self.scope.pid, &self.scope.name) {
            (Some(path), ..) => path.clone(),
            (None, Some(pid), Some(name)) => format!("{name} ({pid})"),
            (None, Some(pid), None) => format!("process {pid}"),
            (None, None, _) => "the host".to_owned(),
        }
    }
}

/// As runtimes' own tools show it.
fn short(id: &str) -> String {
    id.chars().take(12).collect()
}
