//! The runtimes and allocators whose heap statistics were read.

use memgap_ledger::SecondSource;
use memgap_ledger::finding::Subject;
use memgap_ledger::runtime::{Gc, Runtime};
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
