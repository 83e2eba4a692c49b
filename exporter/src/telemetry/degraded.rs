//! What is given up because the exporter itself has too little memory.

use metrics::{describe_gauge, gauge};

/// Records how many steps were taken, and what of the limit that binds the exporter is used,
/// where it has one.
pub fn record(steps: usize, memory: Option<(u64, u64)>) {
    gauge!("memgap_exporter_degraded", "reason" => "memory").set(steps as f64);
    if let Some((used, limit)) = memory {
        gauge!("memgap_exporter_cgroup_used_bytes").set(used as f64);
        gauge!("memgap_exporter_cgroup_limit_bytes").set(limit as f64);
    }
}

/// Logs a step.
pub fn gave_up(what: &'static str, memory: Option<(u64, u64)>) {
    let (used, limit) = memory.unwrap_or_default();
    tracing::warn!(
        used,
        limit,
        "too little memory: {what} are given up; raise the memory limit of the exporter's cgroup"
    );
}

/// Logs that a step was taken back.
pub fn took_back(what: &'static str) {
    tracing::info!("there is memory again: {what} are back");
}

/// Tells the recorder what the families are.
pub(super) fn describe() {
    describe_gauge!(
        "memgap_exporter_degraded",
        "How many steps were taken for want of memory of its own: 1 keeps no files open and makes no documents, 2 makes no walks, 3 reads no heap statistics, 4 shows no process groups and a quarter of the series."
    );
    describe_gauge!(
        "memgap_exporter_cgroup_used_bytes",
        "Of the limit that binds the exporter itself, what is used and the kernel can not take back."
    );
    describe_gauge!(
        "memgap_exporter_cgroup_limit_bytes",
        "The limit of memory that binds the exporter itself, its cgroup's or that of one above; none has no sample."
    );
}
