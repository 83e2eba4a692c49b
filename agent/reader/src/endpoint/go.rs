//! Go: `MemStats` itself, or as client_golang exposes it: `go_memstats_*`, and
//! `go_memory_classes_*` of the package runtime/metrics.

use std::io;

use memgap_ledger::Account;

use super::series::{Row, Values};
use super::{Figures, parts, rest};
use crate::endpoint::memstats::MemStats;

pub(super) const ROWS: &[Row] = &[
    Row { name: INFO, labels: &["version"] },
    Row::single("go_gc_duration_seconds_count"),
    Row::single("go_memstats_heap_inuse_bytes"),
    Row::single("go_memstats_heap_idle_bytes"),
    Row::single("go_memstats_heap_released_bytes"),
    Row::single("go_memstats_stack_inuse_bytes"),
    Row::single("go_memstats_mspan_sys_bytes"),
    Row::single("go_memstats_mcache_sys_bytes"),
    Row::single("go_memstats_buck_hash_sys_bytes"),
    Row::single("go_memstats_gc_sys_bytes"),
    Row::single("go_memstats_other_sys_bytes"),
    Row::single("go_memory_classes_heap_objects_bytes"),
    Row::single("go_memory_classes_heap_unused_bytes"),
    Row::single("go_memory_classes_heap_free_bytes"),
    Row::single("go_memory_classes_heap_released_bytes"),
    Row::single("go_memory_classes_heap_stacks_bytes"),
    Row::single("go_memory_classes_metadata_mspan_inuse_bytes"),
    Row::single("go_memory_classes_metadata_mspan_free_bytes"),
    Row::single("go_memory_classes_metadata_mcache_inuse_bytes"),
    Row::single("go_memory_classes_metadata_mcache_free_bytes"),
    Row::single("go_memory_classes_profiling_buckets_bytes"),
    Row::single("go_memory_classes_metadata_other_bytes"),
    Row::single("go_memory_classes_other_bytes"),
];

const INFO: &str = "go_info";

/// The heap statistics of an exposition, by whichever names it tells them.
pub(super) fn of_series(values: &Values) -> io::Result<Option<Figures>> {
    let mut stats = memstats(values);
    if stats.heap_inuse.is_none() {
        stats = classes(values);
    }
    stats.num_gc = values.one("go_gc_duration_seconds_count");
    let version = values.all(INFO).next().and_then(|(labels, _)| labels.first().cloned());
    // Go's own word is `go1.26.8`.
    figures(&stats, version.map(|v| v.trim_start_matches("go").to_owned()))
}

fn memstats(values: &Values) -> MemStats {
    let one = |name: &str| values.one(&format!("go_memstats_{name}_bytes"));
    MemStats {
        heap_inuse: one("heap_inuse"),
        heap_idle: one("heap_idle"),
        heap_released: one("heap_released"),
        stack_inuse: one("stack_inuse"),
        mspan_sys: one("mspan_sys"),
        mcache_sys: one("mcache_sys"),
        buck_hash_sys: one("buck_hash_sys"),
        gc_sys: one("gc_sys"),
        other_sys: one("other_sys"),
        num_gc: None,
    }
}

/// As runtime/mstats.go makes `MemStats` of the same counters.
fn classes(values: &Values) -> MemStats {
    let one = |name: &str| values.one(&format!("go_memory_classes_{name}_bytes"));
    let sum = |a: &str, b: &str| Some(one(a)?.saturating_add(one(b)?));
    MemStats {
        heap_inuse: sum("heap_objects", "heap_unused"),
        heap_idle: sum("heap_free", "heap_released"),
        heap_released: one("heap_released"),
        stack_inuse: one("heap_stacks"),
        mspan_sys: sum("metadata_mspan_inuse", "metadata_mspan_free"),
        mcache_sys: sum("metadata_mcache_inuse", "metadata_mcache_free"),
        buck_hash_sys: one("profiling_buckets"),
        gc_sys: one("metadata_other"),
        other_sys: one("other"),
        num_gc: None,
    }
}

/// The heap statistics; `None` where what is in use is not reported.
pub(super) fn figures(stats: &MemStats, version: Option<String>) -> io::Result<Option<Figures>> {
    let Some(in_use) = stats.heap_inuse else { return Ok(None) };
    let tables = [stats.mspan_sys, stats.mcache_sys, stats.buck_hash_sys, stats.other_sys];
    let metadata = tables.into_iter().flatten().reduce(u64::saturating_add);
    let others = [
        (Account::Stack, stats.stack_inuse),
        (Account::AllocatorMetadata, metadata),
        (Account::GcTables, stats.gc_sys),
    ];
    Ok(Some(Figures {
        runtime: "go",
        version,
        in_use,
        free: rest(stats.heap_idle, stats.heap_released, "more released than idle heap")?,
        released: stats.heap_released,
        others: parts(&others),
        cycles: stats.num_gc,
    }))
}
