//! Room shrinks, and goes on doing so until it is used up.

use super::{Confidence, Finding, Severity, Subject};
use crate::size::iec;

pub const ID: &str = "room-shrinking";

/// What lasts less long is urgent.
const SOON: std::time::Duration = std::time::Duration::from_hours(1);

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let shrinking = cgroup.outlook.shrinking.as_ref()?;
    let room = cgroup.room.as_ref().ok()?;
    let words = shrinking.words();
    Some(Finding {
        id: ID,
        bytes: room.bytes,
        severity: if shrinking.lasts <= SOON { Severity::Critical } else { Severity::Warning },
        confidence: Confidence::Likely,
        brief: format!("at this rate there is no room left in {words}"),
        summary: format!(
            "{} can still be allocated, which lasts {words} at the rate of the last hour or half of it, {} an hour",
            room.bytes.words(),
            iec(shrinking.bytes_per_hour())
        ),
        evidence: vec![format!(
            "{}, required {}",
            room.limit.words(&cgroup.path),
            room.limit.required.words()
        )],
        is_not: "a forecast by usage or the working set: page cache and lazily freed memory, which the kernel takes back, count as room",
        remedy: "find what grows (memgap watch), and bound it or raise the limit before then"
            .into(),
    })
}
