//! Memory that grew, or stays large, and does not leak: what was watched for long enough to tell.

use super::{Confidence, Finding, Severity, Subject, matters};
use crate::figure::{Figure, signed};
use crate::growth::Growth;
use crate::size::iec;

pub const ID: &str = "no-leak";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let growth = cgroup.outlook.no_leak?;
    let (bytes, brief, why, remedy) = match growth {
        Growth::Filling(slope) => (
            slope.grew_within(),
            format!("what is in use grew by {}, and less and less so", iec(slope.grew)),
            "it grew, and less and less so: as a cache does that fills, or a program that warms up",
            "watch on: a leak grows evenly, and is a finding of its own then (leak-suspected)",
        ),
        Growth::Reclaimable { grew } => (
            Figure::Exact(signed(grew)),
            format!("what grew, by {}, the kernel can take back", iec(signed(grew))),
            "page cache or lazily freed memory grew, which the kernel takes back before it kills anybody",
            "nothing: set alerts on required and room, which leave it out, not on usage or the working set",
        ),
        Growth::Retention { free } => (
            Figure::Exact(signed(free)),
            format!("what is in use does not grow; allocators keep {} free", iec(signed(free))),
            "allocators keep memory free, which they use again",
            "where it is wanted back, see the finding retention of its processes",
        ),
        Growth::Leak(_) | Growth::Steady | Growth::Unknown(_) => return None,
    };
    matters(bytes.point()?, cgroup.headline.usage.point()?).then(|| Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: Confidence::Likely,
        brief: format!("no leak: {brief}"),
        summary: format!("no leak, by what was watched: {why}"),
        evidence: vec![growth.sentence()],
        is_not: "a promise: it tells of the last hours, at most a day",
        remedy: remedy.into(),
    })
}
