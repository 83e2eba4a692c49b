//! What reading the heap statistics of runtimes and allocators takes, and what it leaves out;
//! what endpoints tell beside them.

use std::time::Duration;

use memgap_ledger::MissingKind;
use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Counts processes whose heap statistics were due and left for a later collection.
pub fn skipped(count: u64) {
    counter!("memgap_exporter_probes_skipped_total").increment(count);
}

/// Counts processes whose memory had to be opened anew.
pub fn reopened(count: u64) {
    counter!("memgap_exporter_probes_reopened_total").increment(count);
}

/// Counts mapped files that were known already, or not, when a process was looked at
/// for runtimes.
pub fn files(is_known: bool, count: u64) {
    let result = if is_known { "hit" } else { "miss" };
    counter!("memgap_exporter_probe_files_total", "result" => result).increment(count);
}

/// Counts searches for a runtime's variables, each once for a file at best.
pub fn resolved(count: u64) {
    counter!("memgap_exporter_probes_resolved_total").increment(count);
}

/// Records how old the oldest heap statistics are that are exported.
pub fn oldest(age: Duration) {
    gauge!("memgap_exporter_heap_statistics_oldest_seconds").set(age.as_secs_f64());
}

/// Counts heap statistics that could not be read.
pub fn refused(probe: &'static str, kind: MissingKind, count: u64) {
    counter!("memgap_exporter_probe_errors_total", "probe" => probe, "kind" => kind.name())
        .increment(count);
}

/// Counts an answer of an endpoint, or that it gave none.
pub fn endpoint_asked(endpoint: &str, outcome: &'static str) {
    let endpoint = endpoint.to_owned();
    counter!("memgap_exporter_endpoint_scrapes_total", "endpoint" => endpoint, "outcome" => outcome)
        .increment(1);
}

/// Counts an answer of an endpoint whose process was not there.
pub fn endpoint_unmatched(endpoint: &str) {
    counter!("memgap_exporter_endpoint_unmatched_total", "endpoint" => endpoint.to_owned())
        .increment(1);
}

/// Tells the recorder what the families are.
pub(super) fn describe() {
    describe_counter!(
        "memgap_exporter_probes_skipped_total",
        "Processes whose heap statistics were due and left for a later collection: the budget went to others."
    );
    describe_counter!(
        "memgap_exporter_probes_reopened_total",
        "Processes whose memory was opened anew for their heap statistics, for want of file descriptors."
    );
    describe_counter!(
        "memgap_exporter_probe_files_total",
        "Mapped files that were met when processes were looked at for runtimes: known already, or not."
    );
    describe_counter!(
        "memgap_exporter_probes_resolved_total",
        "Searches for the variables of a runtime or allocator in the memory of a process."
    );
    describe_gauge!(
        "memgap_exporter_heap_statistics_oldest_seconds",
        "Age of the oldest heap statistics of a runtime or allocator that are exported; those of a process that has not run since count as new."
    );
    describe_counter!(
        "memgap_exporter_probe_errors_total",
        "Heap statistics of runtimes and allocators that could not be read, by probe and how."
    );
    describe_counter!(
        "memgap_exporter_endpoint_scrapes_total",
        "Times that an endpoint was asked, by what came of it: ok, or why there was no answer."
    );
    describe_counter!(
        "memgap_exporter_endpoint_unmatched_total",
        "Collections without the process that an endpoint is said to be of."
    );
}
