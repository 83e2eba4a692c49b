//! Memory of a program with a garbage collector that lies outside of the collected heap: of C
//! libraries, direct buffers, mappings. No setting of the heap bounds it.

use std::cmp::Reverse;

use super::{Finding, Severity, Subject, confidence};
use crate::account::Account;
use crate::figure::{Figure, signed};
use crate::size::iec;
use crate::{ProcessLedger, Runtime};

pub const ID: &str = "off-heap";

/// A virtual machine's own tables are some tens of MiB.
const LEAST: i64 = 32 << 20;

/// Allocators and runtimes that are named.
const NAMED: usize = 3;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Process(process) = subject else { return None };
    let (runtime, collector) = managed(process)?;
    let rss = process.headline.rss.point()?;
    let mut others: Vec<(&str, Figure)> =
        in_use(process).filter(|(owner, _)| *owner != runtime.name).collect();
    let unread = process.charged.iter().filter(|(account, _)| UNREAD.contains(account));
    let unread = unread.fold(0i64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    // A part of it can be the runtime's own.
    if unread > 0 {
        others.push(("not read", Figure::interval(0, unread, unread)));
    }
    let bytes = others.iter().fold(Figure::Exact(0), |sum, (_, bytes)| sum.plus(*bytes));
    let point = bytes.point()?;
    if point < LEAST || point < rss / 4 {
        return None;
    }
    others.retain(|(_, bytes)| bytes.point().is_some_and(|bytes| bytes >= 1 << 20));
    others.sort_by_key(|(_, bytes)| Reverse(bytes.point()));
    let evidence = others.iter().take(NAMED).map(|(what, b)| format!("{} {what}", b.words()));
    Some(Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: confidence(bytes),
        brief: format!("{} of it lie outside of the heap of {}", bytes.words(), collector.name),
        summary: format!(
            "{} of {} RSS lie outside of the heap of {}: {}",
            bytes.words(),
            iec(rss),
            collector.name,
            collector.what
        ),
        evidence: evidence.collect(),
        is_not: collector.is_not,
        remedy: collector.remedy.into(),
    })
}

/// What is in use of each allocator's or runtime's memory that is resident. What one keeps free is
/// retained, by whomever it was used.
fn in_use(process: &ProcessLedger) -> impl Iterator<Item = (&str, Figure)> {
    process.owners.iter().map(|(owner, resident)| {
        let bounds = process.runtimes.iter().find(|runtime| runtime.name == *owner);
        let bounds = bounds.and_then(|runtime| Some((runtime.in_use?, runtime.in_use_bounds)));
        let at_most = |bytes: u64| signed(bytes).min(*resident);
        let figure = match bounds {
            Some((used, Some((low, high)))) => {
                Figure::interval(at_most(low), at_most(used), at_most(high))
            }
            Some((used, None)) => Figure::Exact(at_most(used)),
            None => Figure::Exact(0),
        };
        (owner.as_str(), figure)
    })
}

const UNREAD: &[Account] = &[Account::HeapUnprobed, Account::Unexplained];

/// A runtime whose collector has a heap of its own.
struct Collector {
    runtime: &'static str,
    name: &'static str,
    /// What may lie outside.
    what: &'static str,
    is_not: &'static str,
    remedy: &'static str,
}

const COLLECTORS: [Collector; 3] = [
    Collector {
        runtime: "hotspot",
        name: "the Java virtual machine",
        what: "direct buffers, native libraries, the virtual machine's own memory",
        is_not: "bounded by -Xmx, and shown by no histogram of classes",
        remedy: "-XX:MaxDirectMemorySize bounds direct buffers (without it they may take as much as -Xmx); jcmd PID VM.native_memory tells the virtual machine's own part of one that was started with -XX:NativeMemoryTracking=summary; a native allocator that keeps free memory is a finding of its own (retention)",
    },
    Collector {
        runtime: "go",
        name: "the Go runtime",
        what: "what C libraries allocate (cgo), or mapped by syscall.Mmap",
        is_not: "bounded by GOMEMLIMIT, and in no heap profile of pprof",
        remedy: "free what C allocated (C.free), unmap what was mapped: the garbage collector does neither; GOMEMLIMIT has to leave this much of the container's limit",
    },
    Collector {
        runtime: "v8",
        name: "V8",
        what: "buffers (Buffer, ArrayBuffer), WebAssembly memories, native addons",
        is_not: "bounded by --max-old-space-size, and only by name in a heap snapshot",
        remedy: "process.memoryUsage().external and .arrayBuffers tell how much JavaScript holds: drop the references and it is freed at the next collection; what exceeds them is of native addons, or kept free by the C library (retention)",
    },
];

/// The one with the largest heap, where there are several.
fn managed(process: &ProcessLedger) -> Option<(&Runtime, &'static Collector)> {
    let collector =
        |runtime: &Runtime| COLLECTORS.iter().find(|known| known.runtime == runtime.name);
    let managed = process.runtimes.iter().filter_map(|r| Some((r, collector(r)?)));
    managed.max_by_key(|(runtime, _)| runtime.in_use)
}
