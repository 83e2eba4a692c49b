//! Heap that is in use by a runtime's heap statistics and not in memory: a ballast.

use super::{Finding, Severity, Subject, confidence};
use crate::figure::{Figure, signed};
use crate::size::iec;

pub const ID: &str = "ballast";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Process(process) = subject else { return None };
    let in_use = process.in_use?;
    let total = signed(in_use.total);
    // What is sure: allocators' retained pages and other processes' writes look alike, and
    // what heap statistics leave open may not be in use at all.
    let open = total.saturating_sub(process.headline.in_use.bounds()?.0);
    let (point, (low, high)) = (in_use.untouched.point()?, in_use.untouched.bounds()?);
    let bytes = low.saturating_sub(open).max(0);
    // Every heap has pages that were given out and not written yet.
    (bytes >= 64 << 20 && bytes >= total / 4).then(|| Finding {
        id: ID,
        bytes: Figure::interval(bytes, point, high),
        severity: Severity::Info,
        confidence: confidence(in_use.untouched),
        brief: format!("at least {} of what is in use was never written", iec(bytes)),
        summary: format!("at least {} of what is in use was never written: it takes no memory", iec(bytes)),
        evidence: vec![
            format!("in use {} by the heap statistics", iec(total)),
            format!("of that {} in memory", iec(in_use.resident.point().unwrap_or(0))),
        ],
        is_not: "a saving for good: what is written takes memory at once",
        remedy: "size by RSS and required, not by in use; a ballast that is to delay garbage collection is better set as GOMEMLIMIT or -Xms".into(),
    })
}
