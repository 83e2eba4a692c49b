//! Garbage that is collected again and again though there is memory to spare.

use super::{Confidence, Finding, Severity, Subject};
use crate::busy_gc::BusyGc;
use crate::figure::{Figure, signed};
use crate::runtime::Runtime;
use crate::size::iec;
use crate::{CgroupLedger, ProcessLedger};

pub const ID: &str = "gc-churn";

/// Collections a minute from which on they are worth a word: one a second.
const OFTEN: u64 = 60;

/// What is used is far below a limit where it is less than this part of it.
const PART: i64 = 4;

/// A collector with nothing to gain from that much has its reasons.
const LEAST: i64 = 64 << 20;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    match subject {
        Subject::Process(process) => of_process(process),
        Subject::Cgroup(cgroup) => of_cgroup(cgroup),
        Subject::Host(_) => None,
    }
}

fn of_process(process: &ProcessLedger) -> Option<Finding> {
    let busy = BusyGc::of(process)?;
    let heap = |runtime: &Runtime| {
        let gc = runtime.gc.as_ref()?;
        let used = gc.goal.into_iter().chain(runtime.in_use).max()?;
        Some((signed(used), signed(gc.limit?)))
    };
    let (used, limit) = process.runtimes.iter().find(|r| r.name == busy.runtime).and_then(heap)?;
    churn(&busy, "heap", used, limit)
}

fn of_cgroup(cgroup: &CgroupLedger) -> Option<Finding> {
    let busy = cgroup.busiest_gc.as_ref()?;
    let (_, required) = cgroup.headline.required.bounds()?;
    churn(busy, "required", required, signed(cgroup.headline.limit?))
}

fn churn(busy: &BusyGc, what: &str, used: i64, limit: i64) -> Option<Finding> {
    let spare = limit.saturating_sub(used);
    let is_found = busy.per_minute >= OFTEN && used <= limit / PART && spare >= LEAST;
    is_found.then(|| Finding {
        id: ID,
        bytes: Figure::Exact(spare),
        severity: Severity::Info,
        confidence: Confidence::Likely,
        brief: format!("{} collects garbage {} times a minute with memory to spare", busy.runtime, busy.per_minute),
        summary: format!(
            "{} collects garbage {} times a minute, and leaves {} of its limit unused",
            busy.runtime,
            busy.per_minute,
            iec(spare)
        ),
        evidence: vec![
            format!("{} (pid {}): {} cycles a minute", busy.process, busy.pid, busy.per_minute),
            format!("{what} {} of limit {}", iec(used), iec(limit)),
        ],
        is_not: "a shortage of memory: the limit is far",
        remedy: "spend memory to save CPU: Go GOGC above 100, or off with GOMEMLIMIT; Java a larger young generation (-Xmn) or -Xms".into(),
    })
}
