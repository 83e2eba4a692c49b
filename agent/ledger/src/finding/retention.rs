//! Free memory that an allocator keeps, and could give back to the kernel.

use super::{Confidence, Finding, Severity, Subject, confidence, matters};
use crate::figure::Figure;
use crate::kept::Kept;
use crate::size::iec;
use crate::{CgroupLedger, ProcessLedger};

pub const ID: &str = "retention";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    match subject {
        Subject::Process(process) => of_process(process),
        Subject::Cgroup(cgroup) => of_cgroup(cgroup),
        Subject::Host(_) => None,
    }
}

fn of_process(process: &ProcessLedger) -> Option<Finding> {
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
        evidence: kept.evidence(),
        is_not: "a leak: the next allocation is served from it",
        remedy: remedy(name, kept.most.gc.as_ref().and_then(|gc| gc.name.as_deref())).into(),
    })
}

/// Of those of its processes who tell: what the others keep comes on top.
fn of_cgroup(cgroup: &CgroupLedger) -> Option<Finding> {
    let retained = cgroup.retained.as_ref()?;
    let bytes = retained.charged_to(&cgroup.ledger)?;
    if !matters(bytes.point()?, cgroup.headline.usage.point()?) {
        return None;
    }
    let (back, whose) = (bytes.words(), retained.whose());
    Some(Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: confidence(bytes),
        brief: format!("allocators of its processes could give back {back} now"),
        summary: format!(
            "{back} of usage are free, and allocators of its processes could give them back now"
        ),
        evidence: vec![retained.evidence()],
        is_not: "a leak: the next allocation is served from it",
        remedy: format!("of {whose}: {}", remedy(&retained.runtime, None)).into(),
    })
}

/// What makes an allocator or a runtime give back what it keeps.
fn remedy(name: &str, collector: Option<&str>) -> &'static str {
    match (name, collector) {
        ("glibc", _) => {
            "malloc_trim(0) gives it back; MALLOC_TRIM_THRESHOLD_ and MALLOC_ARENA_MAX in the environment keep less"
        }
        ("jemalloc", _) => {
            "the arenas' purge (mallctl arena.4096.purge; redis: MEMORY PURGE) gives it back; background_thread:true and a shorter dirty_decay_ms do so by themselves, in MALLOC_CONF, whose name begins with the build's prefix where it has one (memgap probes PID tells it): _RJEM_MALLOC_CONF of a Rust program, JE_MALLOC_CONF of the redis that brings its own"
        }
        ("mimalloc", _) => {
            "mi_collect(true) gives back what is in pages of its own, as far as whole segments go before 2.1.7; MIMALLOC_PURGE_DELAY=0 in the environment (from 2.1) does so at once"
        }
        ("tcmalloc", _) => {
            "MallocExtension's ReleaseFreeMemory (MallocExtension_ReleaseFreeMemory of C) gives it back; TCMALLOC_AGGRESSIVE_DECOMMIT=1 in the environment does so by itself"
        }
        ("zend", _) => {
            "gc_mem_caches() gives back chunks that are kept and hold nothing; a worker of php-fpm that is ended after so many requests (pm.max_requests) begins anew"
        }
        ("hotspot", Some("Parallel")) => {
            "its parallel collector gives hardly any back: -Xmx bounds it; -XX:+UseG1GC gives back at full collections"
        }
        ("hotspot", Some("ZGC")) => {
            "it gives back by itself, down to -Xms, what was not used for -XX:ZUncommitDelay (300 s)"
        }
        ("hotspot", _) => {
            "jinfo -flag MinHeapFreeRatio=10 PID and jinfo -flag MaxHeapFreeRatio=20 PID, then two to four times jcmd PID GC.run, give back what exceeds a fifth of its heap, down to -Xms; each stops the program for a full collection. The same flags at its start (-XX:) do so at each full collection"
        }
        ("go", _) => {
            "debug.FreeOSMemory() gives it back; with GOMEMLIMIT the runtime does so by itself near the limit"
        }
        _ => {
            "it serves what is allocated next; how much is kept is a setting of the allocator or runtime"
        }
    }
}
