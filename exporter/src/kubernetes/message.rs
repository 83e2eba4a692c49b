//! What the process that watches tells the one that reads: one object of JSON a line.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Pods of a node that are kept. The kubelet's own default is 110.
pub const MAX_PODS: usize = 2048;

/// The longest line: all pods, with names as long as they may be.
pub const MAX_LINE: usize = MAX_PODS * 2304;

/// Characters of a name: Kubernetes has no longer ones.
const LONGEST: usize = 253;

/// Characters of a kind.
const LONGEST_KIND: usize = 63;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Every pod of the node.
    All {
        /// Those.
        pods: Vec<Pod>,
        /// How many there are besides.
        left_out: usize,
    },
    /// One pod that is new or has changed.
    Pod(Pod),
    /// The unique id of one that is gone.
    Gone(String),
    /// Nothing has changed.
    Same,
    /// A request was answered, or not.
    Asked {
        /// What was asked for.
        request: Request,
        /// What came of it.
        outcome: Outcome,
    },
}

/// What the API server is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// All pods.
    List,
    /// What changes of them.
    Watch,
    /// Who owns a ReplicaSet or a Job.
    Owner,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was answered.
    Ok,
    /// What was to be continued is too long ago: all is listed anew.
    Gone,
    /// The token is not valid, or not any more.
    Unauthorized,
    /// The right is missing.
    Forbidden,
    /// There is no such object.
    NotFound,
    /// Another status.
    Refused,
    /// The answer is none of the API.
    Malformed,
    /// No answer came, or not all of it.
    Unreachable,
}

/// A pod, by the id that its cgroup has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// That id.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it is of; none where that is not known.
    pub workload: Option<Workload>,
    /// The endpoint that it names; none where it names none, or none is asked for.
    pub endpoint: Option<Annotated>,
}

/// An endpoint as a pod names it: by its annotation, which is not judged here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotated {
    /// The annotation; empty where it is none that can be meant.
    pub word: String,
    /// The pod's address.
    pub address: IpAddr,
    /// Whether that is the node's.
    pub is_on_host: bool,
}

/// What a pod is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// `Deployment` and the like.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How that is known.
    pub known_by: KnownBy,
}

/// How an owner is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownBy {
    /// By references of objects to their owners.
    Owner,
    /// By how a ReplicaSet of a Deployment is named: nobody may say whose it is.
    Name,
}

impl Request {
    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Watch => "watch",
            Self::Owner => "owner",
        }
    }
}

impl Outcome {
    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Gone => "gone",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Unreachable => "unreachable",
        }
    }
}

impl KnownBy {
    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Name => "name",
        }
    }
}

impl Pod {
    /// Whether all of its words are such as Kubernetes has.
    pub fn is_sound(&self) -> bool {
        let names = [&self.uid, &self.namespace, &self.name];
        names.into_iter().all(|name| is_name(name))
            && self.workload.as_ref().is_none_or(|w| is_kind(&w.kind) && is_name(&w.name))
            && self.endpoint.as_ref().is_none_or(|e| e.word.is_empty() || is_word(&e.word))
    }
}

/// Whether it may be the name of an object: it stands in paths of requests too.
pub fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    !["", ".", ".."].contains(&text) && text.len() <= LONGEST && text.bytes().all(plain)
}

/// Whether it may be the annotation that names an endpoint.
pub fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether it may be a kind of object.
pub fn is_kind(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric();
    !text.is_empty() && text.len() <= LONGEST_KIND && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pods_with_the_longest_names_are_a_line() {
        let long = "n".repeat(LONGEST);
        let workload = Workload {
            kind: "K".repeat(LONGEST_KIND),
            name: long.clone(),
            known_by: KnownBy::Owner,
        };
        let pod = Pod {
            uid: long.clone(),
            namespace: long.clone(),
            name: long,
            workload: Some(workload),
            endpoint: Some(Annotated {
                word: "\"".repeat(LONGEST),
                address: "1111:1111:1111:1111:1111:1111:1111:1111".parse().expect("an address"),
                is_on_host: false,
            }),
        };
        assert!(pod.is_sound());
        let all = Message::All { pods: vec![pod; MAX_PODS], left_out: usize::MAX };
        assert!(serde_json::to_vec(&all).expect("JSON").len() < MAX_LINE);
    }

    #[test]
    fn names_are_such_as_kubernetes_has() {
        assert!(is_name("system:node:x") && is_name("web-1.a") && is_kind("ReplicaSet"));
        for bad in ["", "..", "a/b", "a b", "a\"b", "a\nb", "ä", &"a".repeat(254)] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(!is_kind("Replica Set") && !is_kind(&"K".repeat(64)));
    }
}
