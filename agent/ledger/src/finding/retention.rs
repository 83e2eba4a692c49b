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
    let (bytes, summary, sure) = match kept.returnable {
        Some(bytes) => {
            let back = iec(bytes.point()?);
            let summary = format!("{back} of RSS are free, and {name} could give them back now");
            (bytes, summary, confidence(bytes))
        }
        None => {
            let (free, most) = (kept.free.point()?, kept.free.bounds()?.1);
            let summary = format!(
                "{} of RSS are free memory that {name} keeps; how much of it could be given back is not known",
                iec(free)
            );
            (Figure::interval(0, free, most), summary, Confidence::Likely)
        }
    };
    matters(bytes.point()?, rss).then(|| Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: sure,
        summary,
        evidence: kept.evidence,
        remedy: remedy(name),
    })
}

/// What makes an allocator or a runtime give back what it keeps.
fn remedy(name: &str) -> &'static str {
    match name {
        "glibc" => {
            "no leak: malloc_trim(0) gives it back; MALLOC_TRIM_THRESHOLD_ and MALLOC_ARENA_MAX in the environment keep less"
        }
        "jemalloc" => {
            "no leak: the arenas' purge (mallctl arena.4096.purge; redis: MEMORY PURGE) gives it back; background_thread:true and a shorter dirty_decay_ms do so by themselves, in MALLOC_CONF, or _RJEM_MALLOC_CONF of a Rust program"
        }
        "go" => {
            "no leak: debug.FreeOSMemory() gives it back; with GOMEMLIMIT the runtime does so by itself near the limit"
        }
        _ => {
            "no leak: it serves what is allocated next; how much is kept is a setting of the allocator or runtime"
        }
    }
}
