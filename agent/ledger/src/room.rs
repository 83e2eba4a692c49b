//! What a cgroup can still allocate before somebody is OOM-killed, and the limit that
//! says so.

use crate::figure::{Figure, signed};
use crate::identity::Identity;
use crate::size::iec;

/// What a cgroup can still allocate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its bytes.
    pub bytes: Figure,
    /// The limit that is met first.
    pub limit: Binding,
    /// Whether all limits above are known: a container sees its own part of the
    /// hierarchy only.
    pub is_whole: bool,
}

/// The cgroup whose limit is met first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Path of the cgroup.
    pub path: String,
    /// What the path says that it is.
    pub identity: Identity,
    /// Its limit.
    pub bytes: u64,
    /// What the limit has to hold now.
    pub required: Figure,
    /// What can still be swapped out to make room.
    pub swap: Figure,
    /// Where the limit is not the cgroup's own: the largest among those that live below.
    pub sibling: Option<(String, i64)>,
    /// Where the limit is not the cgroup's own: what is required and charged to none of
    /// the cgroups that live below, and what most of it is.
    pub orphaned: Option<(i64, &'static str)>,
}

impl Binding {
    /// `the limit 300 MiB of /pod`; of the cgroup at `path` itself, `its limit 300 MiB`.
    pub fn words(&self, path: &str) -> String {
        let limit = iec(signed(self.bytes));
        if self.path == path {
            format!("its limit {limit}")
        } else {
            format!("the limit {limit} of {}", self.path)
        }
    }
}
