//! Free memory that an allocator keeps, and could give back to the kernel.

use super::kept::Kept;
use super::{Confidence, Finding, Severity, Subject, confidence, matters};
use crate::figure::Figure;
use crate::size::iec;

pub const ID: &str = "retention";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Process(process) = subject else { return None };
    let kept = Kept::of(process)?;
    let rss = process.headline.rss.point()?;
    let name = &kept.most.name;
    let (bytes, brief, summary, sure) = match kept.returnable {
        Some(bytes) => {
            let back = bytes.words();
            let summary = format!("{back} of RSS are free, and {name} could give them back now");
            (bytes, format!("{name} could give back {back} now"), summary, confidence(bytes))
        }
        None => {
            let (free, most) = (kept.free.point()?, kept.free.bounds()?.1);
            let summary = format!(
                "{} of RSS are free memory that {name} keeps; how much of it could be given back is not known",
                iec(free)
            );
            let brief = format!("{name} keeps {} of free memory", iec(free));
            (Figure::interval(0, free, most), brief, summary, Confidence::Likely)
        }
    };
    matters(bytes.point()?, rss).then(|| Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: sure,
        brief,
        summary,
        evidence: kept.evidence,
        is_not: "a leak: the next allocation is served from it",
        remedy: remedy(name).into(),
    })
}

/// What makes an allocator or a runtime give back what it keeps.
fn remedy(name: &str) -> &'static str {
    match name {
        "glibc" => {
            "malloc_trim(0) gives it back; MALLOC_TRIM_THRESHOLD_ and MALLOC_ARENA_MAX in the environment keep less"
        }
        "jemalloc" => {
            "the arenas' purge (mallctl arena.4096.purge; redis: MEMORY PURGE) gives it back; background_thread:true and a shorter dirty_decay_ms do so by themselves, in MALLOC_CONF, or _RJEM_MALLOC_CONF of a Rust program"
        }
        "go" => {
            "debug.FreeOSMemory() gives it back; with GOMEMLIMIT the runtime does so by itself near the limit"
        }
        _ => {
            "it serves what is allocated next; how much is kept is a setting of the allocator or runtime"
        }
    }
}
