//! The last ledger of a cgroup before the OOM killer ended something in it.

use std::cmp::Reverse;
use std::time::SystemTime;

use memgap_ledger::finding::Subject;
use memgap_ledger::{CgroupLedger, ProcessLedger};
use serde::Serialize;

use crate::Document;
use crate::explanation::{Explanation, explanation};
use crate::time::rfc3339;

/// Processes that are shown at most.
const PROCESSES: usize = 16;

/// What tells that something was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// How many were killed.
    pub kills: u64,
    /// What tells so.
    pub how: How,
}

/// What tells that something was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// The cgroup's own counter rose.
    Counter,
    /// The cgroup is gone, and the counter of one above it rose by more than those of what is
    /// left below that.
    Ancestor {
        /// The one above.
        path: String,
        /// How many went below it meanwhile: it may be any of them.
        among: usize,
    },
    /// The cgroup is gone, and the kernel's log tells of a kill in it.
    Log,
}

/// What was known before.
#[derive(Debug)]
pub struct Before<'b> {
    /// When it was read.
    pub at: SystemTime,
    /// The ledger.
    pub ledger: &'b CgroupLedger,
    /// The processes of the cgroup.
    pub processes: &'b [&'b ProcessLedger],
}

/// What is kept of a kill.
#[derive(Debug, Serialize)]
pub struct LastLedger {
    number: u32,
    kills: u64,
    evidence: &'static str,
    counted_by: Option<String>,
    among: Option<usize>,
    read: String,
    processes: Vec<ProcessJson>,
    ledger: Document<Explanation>,
}

#[derive(Debug, Serialize)]
struct ProcessJson {
    pid: u32,
    name: String,
    rss: Option<i64>,
}

/// The document of kills that were noticed at `now`.
pub fn document(
    number: u32,
    now: SystemTime,
    evidence: &Evidence,
    before: &Before<'_>,
) -> Document<LastLedger> {
    let mut processes = before.processes.to_vec();
    processes.sort_by_key(|process| (Reverse(process.headline.rss.point()), process.pid));
    let (word, counted_by, among) = match &evidence.how {
        How::Counter => ("counter", None, None),
        How::Ancestor { path, among } => ("ancestor", Some(path.clone()), Some(*among)),
        How::Log => ("kernel_log", None, None),
    };
    let process = |process: &&ProcessLedger| ProcessJson {
        pid: process.pid,
        name: process.name.clone(),
        rss: process.headline.rss.point(),
    };
    let body = LastLedger {
        number,
        kills: evidence.kills,
        evidence: word,
        counted_by,
        among,
        read: rfc3339(before.at),
        processes: processes.iter().take(PROCESSES).map(process).collect(),
        ledger: Document::new(before.at, explanation(Subject::Cgroup(before.ledger), &[])),
    };
    Document::new(now, body)
}
