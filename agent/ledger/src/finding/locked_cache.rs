//! Contents of files that are locked in memory: page cache that the kernel can not take back.

use super::{Finding, Severity, Subject, confidence};
use crate::figure::Figure;
use crate::size::iec;

pub const ID: &str = "locked-cache";

/// Programs that keep secrets or latencies lock some.
const LEAST: i64 = 16 << 20;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let (bytes, whole, of) = match subject {
        Subject::Process(p) => (p.locked_file, p.headline.rss, "RSS"),
        Subject::Cgroup(c) => (c.locked_cache, c.headline.usage, "usage"),
        Subject::Host(h) => (h.locked_cache, h.headline.usage, "memory that is not free"),
    };
    let ((low, high), whole) = (bytes.bounds()?, whole.point()?);
    (low >= LEAST && low >= whole / 8).then(|| Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: confidence(bytes),
        brief: format!("{} of files are locked in memory", words(low, high)),
        summary: format!(
            "{} of {} {of} are contents of files that are locked in memory: the kernel can not take them back",
            words(low, high),
            iec(whole)
        ),
        evidence: vec![format!("locked files {}", Figure::words(bytes))],
        is_not: "page cache that gives way to programs: a limit has to hold it",
        remedy: "munlock, or the end of who locked it, makes it reclaimable (VmLck in /proc/PID/status tells who); mlockall(MCL_CURRENT | MCL_FUTURE) locks program files and mapped data too: lock what has to be, with mlock, and bound it with ulimit -l".into(),
    })
}

fn words(low: i64, high: i64) -> String {
    if low == high { iec(low) } else { format!("at least {}", iec(low)) }
}
