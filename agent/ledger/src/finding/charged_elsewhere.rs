//! Files and shared memory that processes of a cgroup map, and that another cgroup is charged for:
//! the one that touched them first.

use super::{Confidence, Finding, Severity, Subject};
use crate::Figure;
use crate::size::iec;

pub const ID: &str = "charged-elsewhere";

/// Libraries that another cgroup read first are not worth a sentence.
const FILES: i64 = 8 << 20;
const SHARED: i64 = 4 << 20;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let elsewhere = cgroup.elsewhere.as_ref()?;
    let usage = cgroup.headline.usage.point()?;
    let file = if elsewhere.file >= FILES { elsewhere.file } else { 0 };
    let shmem = if elsewhere.shmem >= SHARED { elsewhere.shmem } else { 0 };
    let least = file.saturating_add(shmem);
    if least == 0 || least < usage / 20 {
        return None;
    }
    let mut words = Vec::new();
    if file > 0 {
        words.push(format!("{} of files, whose pages go when that one is short", iec(file)));
    }
    if shmem > 0 {
        words.push(format!("{} of shared memory, which that one's limit has to hold", iec(shmem)));
    }
    Some(Finding {
        id: ID,
        bytes: Figure::interval(least, least, elsewhere.most.max(least)),
        severity: if shmem > usage / 4 { Severity::Warning } else { Severity::Info },
        confidence: Confidence::Certain,
        brief: format!("at least {} that its processes map are charged to another", iec(least)),
        summary: format!(
            "its processes map at least {} that are charged to another cgroup, the one that touched them first: {}",
            iec(least),
            words.join(", and ")
        ),
        evidence: vec![
            format!("usage {}", iec(usage)),
            format!("files at least {}, shared memory at least {}", iec(elsewhere.file), iec(elsewhere.shmem)),
        ],
        is_not: "part of its usage, working set, required or room: its processes' RSS sum up to more than these",
        remedy: "nothing, for files; to have this cgroup charged, let one of its own processes write the shared memory, or read the files, first: a charge stays where a page was first touched".into(),
    })
}
