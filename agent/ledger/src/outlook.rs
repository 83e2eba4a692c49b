//! What is known of a cgroup only by watching it: whether it leaks, for how long its room lasts, and
//! the limit that it needs.

use crate::growth::{Growth, Shrinking, Slope};

/// What is said of a cgroup that was watched. Each is none where it is not known, or there is none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outlook {
    /// What is in use grows, and goes on doing so.
    pub leak: Option<Leak>,
    /// It was watched for as long as a leak takes to be told, grew or stays large, and does not leak:
    /// why not.
    pub no_leak: Option<Growth>,
    /// Its room shrinks, and goes on doing so.
    pub shrinking: Option<Shrinking>,
    /// The limit that it needs, in bytes, by what it required at its peaks in the last day.
    pub advised_limit: Option<i64>,
}

/// A leak of a cgroup.
#[derive(Debug, Clone, PartialEq)]
pub struct Leak {
    /// How steeply what is in use grows.
    pub slope: Slope,
    /// Whose heap grew by most since nothing grew, and by how much.
    pub grower: Option<(String, i64)>,
}
