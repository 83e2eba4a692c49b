//! What is in use grows, and goes on doing so.

use super::{Confidence, Finding, Severity, Subject};
use crate::growth::words;
use crate::outlook::Leak;
use crate::size::iec;

pub const ID: &str = "leak-suspected";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let Leak { slope, grower } = cgroup.outlook.leak.as_ref()?;
    let owner = grower.as_ref().map(|(owner, _)| owner.as_str());
    let mut evidence = vec![format!(
        "in use, as of garbage collections where a runtime tells that: {} now, {} more since the trend began",
        iec(i64::try_from(slope.level).unwrap_or(i64::MAX)),
        iec(slope.grew)
    )];
    evidence.extend(grower.as_ref().map(|(owner, bytes)| {
        format!("since nothing grew {} more are in use by {owner}", iec(*bytes))
    }));
    Some(Finding {
        id: ID,
        bytes: slope.grew_within(),
        severity: Severity::Warning,
        confidence: Confidence::Likely,
        brief: format!("what is in use grows by {} and has not stopped", slope.words()),
        summary: format!(
            "what is in use grows by {}{}, evenly: a leak does, and so does a load that rises",
            slope.words(),
            slope
                .doubling()
                .map_or_else(String::new, |time| format!(" and doubles in {}", words(time)))
        ),
        evidence,
        is_not: "what allocators keep free, page cache or lazily freed memory: those are not in use",
        remedy: remedy(owner).into(),
    })
}

/// How to find who allocates.
fn remedy(owner: Option<&str>) -> &'static str {
    match owner {
        Some("go") => {
            "compare two heap profiles some minutes apart: go tool pprof -base FIRST SECOND, each from /debug/pprof/heap"
        }
        Some("hotspot") => {
            "compare two of jcmd PID GC.class_histogram some minutes apart: the class that gained most is what is kept"
        }
        Some("v8") => {
            "compare two heap snapshots: node --heapsnapshot-signal=SIGUSR2 writes one at each signal"
        }
        Some("cpython") => {
            "compare two of tracemalloc.take_snapshot() some minutes apart: second.compare_to(first, 'lineno')"
        }
        _ => {
            "find who allocates and does not free: heaptrack or memleak-bpfcc -p PID tell stacks of what is not freed"
        }
    }
}
