//! A working set that alarms without need: active page cache and kernel caches
//! count in it, though the kernel can take them back.

use std::borrow::Cow;

use super::{Confidence, Finding, Severity, Subject, matters};
use crate::size::iec;
use crate::{Account, CgroupLedger, Figure};

pub const ID: &str = "reclaimable-working-set";

/// Memory was short here, whatever can be taken back now.
const AFTER_KILLS: &str = "alert on room: the working set tells of shortage neither by itself nor in time, and processes were OOM-killed here";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let h = &cgroup.headline;
    let working_set = h.working_set.point()?;
    // Against the high bound: no more than this is certain to come back.
    let (_, required) = h.required.bounds()?;
    let bytes = working_set.saturating_sub(required);
    // Far from a limit, or without one, nobody takes it for a shortage.
    let share = working_set as f64 / h.limit? as f64;
    let near = share >= 0.8;
    (share >= 0.5 && matters(bytes, working_set)).then(|| Finding {
        id: ID,
        bytes: Figure::Exact(bytes),
        severity: if near { Severity::Warning } else { Severity::Info },
        confidence: Confidence::Certain,
        brief: format!("{} of its working set can be taken back", iec(bytes)),
        summary: format!("{} of the working set can be taken back", iec(bytes)),
        evidence: vec![
            format!("working set {}, required at most {}", iec(working_set), iec(required)),
            format!("what can be taken back, in all: {}", reclaimable(cgroup)),
        ],
        is_not: "memory that a limit has to hold",
        remedy: Cow::Borrowed(if cgroup.events.oom_kills.as_ref().is_ok_and(|kills| *kills > 0) {
            AFTER_KILLS
        } else {
            "alert on required, or on room: a working set near its limit tells of no shortage by itself"
        }),
    })
}

/// What of the cgroup the kernel can take back; which part of it the working set
/// counts depends on the lists that it stands on.
fn reclaimable(cgroup: &CgroupLedger) -> String {
    let locked = cgroup.locked_cache.point().unwrap_or(0);
    let parts = [
        (Account::PageCache, locked, "page cache"),
        (Account::LazyFree, 0, "lazily freed"),
        (Account::SlabReclaimable, 0, "kernel caches"),
    ];
    let held: Vec<String> = parts
        .into_iter()
        .map(|(account, kept, name)| (cgroup.ledger.booked(account).saturating_sub(kept), name))
        .filter(|(bytes, _)| *bytes > 0)
        .map(|(bytes, name)| format!("{} {name}", iec(bytes)))
        .collect();
    held.join(", ")
}
