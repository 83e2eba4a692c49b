//! `memgap record` and `memgap replay`: what a recording holds.

use std::time::SystemTime;

use serde::Serialize;

use crate::time::rfc3339;

/// What a recording holds.
#[derive(Debug, Serialize)]
pub struct Contents {
    /// The file.
    pub file: String,
    /// When the first sample was made, and the last.
    #[serde(serialize_with = "time")]
    pub from: SystemTime,
    /// See above.
    #[serde(serialize_with = "time")]
    pub to: SystemTime,
    /// How many there are.
    pub samples: u64,
    /// Processes and cgroups of the last one.
    pub processes: usize,
    /// See above.
    pub cgroups: usize,
    /// Who grew most from the first to the last, of those that are in both.
    pub grew: Vec<Grew>,
    /// What could not be read of it, if anything.
    pub damage: Option<String>,
}

/// By how much the resident memory of a process grew, or the usage of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grew {
    /// As `memgap replay` takes it.
    pub target: String,
    /// What people call it.
    pub name: String,
    /// By so many bytes.
    pub bytes: i64,
}

/// The document.
#[derive(Debug, Serialize)]
pub struct RecordingDocument<'c> {
    /// What it holds.
    pub recording: &'c Contents,
}

fn time<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}
