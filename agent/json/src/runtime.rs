//! The runtimes and allocators of a subject, read and not read.

use memgap_ledger::finding::Subject;
use memgap_ledger::runtime::{Gc, Runtime};
use memgap_ledger::{SecondSource, Unread};
use serde::Serialize;

/// One runtime of a process; of a cgroup's only the name is shown.
#[derive(Debug, Serialize)]
pub struct RuntimeJson {
    name: String,
    #[serde(flatten)]
    process: Option<OfProcess>,
}

#[derive(Debug, Serialize)]
struct OfProcess {
    version: Option<String>,
    file: String,
    in_use: Option<u64>,
    in_use_low: Option<u64>,
    in_use_high: Option<u64>,
    objects: Option<u64>,
    free: Option<u64>,
    released: Option<u64>,
    lazily_freed: Option<u64>,
    lazily_freed_resident: Option<u64>,
    trimmable: Option<u64>,
    stacks: Option<u64>,
    gc: Option<GcJson>,
    evidence: Vec<String>,
    second_source: Option<SecondJson>,
}

/// A runtime whose heap statistics were not read; of a cgroup's only the name is reported.
#[derive(Debug, Serialize)]
pub struct UnreadJson {
    name: Option<String>,
    #[serde(flatten)]
    process: Option<UnreadOfProcess>,
}

#[derive(Debug, Serialize)]
struct UnreadOfProcess {
    file: String,
    within_another: bool,
    why: String,
    kind: &'static str,
}

/// Beside the heap statistics, what the program's endpoint says.
#[derive(Debug, Serialize)]
struct SecondJson {
    name: String,
    in_use: u64,
    differs_by: i64,
}

#[derive(Debug, Serialize)]
struct GcJson {
    name: Option<String>,
    cycles: Option<u64>,
    paused_seconds: Option<f64>,
    live: Option<u64>,
    goal: Option<u64>,
    percent: Option<u32>,
    limit: Option<u64>,
}

/// The runtimes of a subject.
pub fn runtimes(subject: Subject<'_>) -> Vec<RuntimeJson> {
    match subject {
        Subject::Process(p) => p.runtimes.iter().map(of_process).collect(),
        Subject::Cgroup(c) => c.runtimes.iter().map(|name| named(name)).collect(),
        Subject::Host(_) => Vec::new(),
    }
}

/// Those of a subject whose heap statistics were not read.
pub fn unread(subject: Subject<'_>) -> Vec<UnreadJson> {
    match subject {
        Subject::Process(p) => p.unread.iter().map(unread_of_process).collect(),
        Subject::Cgroup(c) => {
            let named = |name: &String| UnreadJson { name: Some(name.clone()), process: None };
            c.unread.iter().map(named).collect()
        }
        Subject::Host(_) => Vec::new(),
    }
}

fn unread_of_process(unread: &Unread) -> UnreadJson {
    UnreadJson {
        name: (!unread.name.is_empty()).then(|| unread.name.clone()),
        process: Some(UnreadOfProcess {
            file: unread.file.clone(),
            within_another: unread.within_another,
            why: unread.why.to_string(),
            kind: unread.why.kind.name(),
        }),
    }
}

fn named(name: &str) -> RuntimeJson {
    RuntimeJson { name: name.to_owned(), process: None }
}

fn of_process(runtime: &Runtime) -> RuntimeJson {
    RuntimeJson {
        name: runtime.name.clone(),
        process: Some(OfProcess {
            version: runtime.version.clone(),
            file: runtime.file.clone(),
            in_use: runtime.in_use,
            in_use_low: runtime.in_use_bounds.map(|(low, _)| low),
            in_use_high: runtime.in_use_bounds.map(|(_, high)| high),
            objects: runtime.objects,
            free: runtime.free,
            released: runtime.released,
            lazily_freed: runtime.lazily_freed,
            lazily_freed_resident: runtime.lazily_freed_resident,
            trimmable: runtime.trimmable,
            stacks: runtime.stacks,
            gc: runtime.gc.as_ref().map(of_gc),
            evidence: runtime.evidence.clone(),
            second_source: runtime.second_source.as_ref().map(of_second),
        }),
    }
}

fn of_second(second: &SecondSource) -> SecondJson {
    SecondJson { name: second.name.clone(), in_use: second.in_use, differs_by: second.differs_by }
}

fn of_gc(gc: &Gc) -> GcJson {
    GcJson {
        name: gc.name.clone(),
        cycles: gc.cycles,
        paused_seconds: gc.paused.map(|paused| paused.as_secs_f64()),
        live: gc.live,
        goal: gc.goal,
        percent: gc.percent,
        limit: gc.limit,
    }
}
