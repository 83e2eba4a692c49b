//! The exporter's figures about itself.
//!
//! Counters and histograms live in one recorder of the `metrics` crates for the
//! life of a process: one of the reader's, one of the server's. Its text is the format 0.0.4 with families in no order;
//! [`Telemetry::render`] sorts them.

pub mod api;
pub mod costly;
pub mod degraded;
pub mod http;
pub mod kubernetes;
pub mod otlp;
pub mod probes;
pub mod reload;
pub mod targets;

use std::time::Duration;

use anyhow::Context;
use memgap_ledger::MissingKind;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use rustix::process::Pid;

use crate::encode::Encoder;
use crate::limit::Shed;
use crate::own;
use crate::select::Scopes;
use crate::stage::{CpuSeconds, Stage};

/// Access to the recorder.
#[derive(Debug, Clone)]
pub struct Telemetry {
    recorder: PrometheusHandle,
    /// The supervisor; the reader tells the figures of all processes.
    processes: Option<own::Processes>,
}

/// The figures at one time.
#[derive(Debug)]
pub struct Own {
    families: Vec<String>,
    reader: Option<(own::Figures, CpuSeconds)>,
}

/// Upper bounds in seconds: from a quiet machine to one that needs help. None
/// is a whole number, which the two formats would write differently.
const BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 2.5];

/// The same for walks: from a small process to beyond any sensible cap.
const WALK_BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.5];

const WALK_SECONDS: &str = "memgap_exporter_walk_seconds";

impl Telemetry {
    /// Installs the recorder of the process that reads, a child of the supervisor. Call it
    /// once, before anything is counted.
    pub fn of_reader(supervisor: Pid) -> anyhow::Result<Self> {
        let processes = Some(own::Processes::of(supervisor));
        let telemetry = Self { processes, ..Self::install()? };
        gauge!("memgap_exporter_reader_start_time_seconds").set(own::now());
        Ok(telemetry)
    }

    /// Installs the recorder of the process that serves.
    pub fn of_server() -> anyhow::Result<Self> {
        let telemetry = Self::install()?;
        gauge!("memgap_exporter_server_start_time_seconds").set(own::now());
        Ok(telemetry)
    }

    fn install() -> anyhow::Result<Self> {
        let recorder = PrometheusBuilder::new()
            .set_buckets(BUCKETS)
            .and_then(|b| {
                b.set_buckets_for_metric(Matcher::Full(WALK_SECONDS.to_owned()), WALK_BUCKETS)
            })
            .context("the buckets of the exporter's own histograms are not usable")?
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder)
            .map_err(|_| anyhow::anyhow!("a recorder of own metrics is installed already"))?;
        describe();
        Ok(Self { recorder: handle, processes: None })
    }

    /// Reads the figures.
    pub fn render(&self) -> Own {
        if self.processes.is_some() {
            jemalloc();
        }
        let text = self.recorder.render();
        let mut families: Vec<_> =
            text.split("\n\n").map(str::trim).filter(|f| !f.is_empty()).map(sorted).collect();
        families.sort_unstable();
        let reader = self.processes.map(|all| (all.read(), CpuSeconds::read()));
        Own { families, reader }
    }
}

impl Own {
    /// Writes them.
    pub fn write(&self, out: &mut Encoder) {
        if let Some((processes, cpu)) = &self.reader {
            processes.write(out);
            cpu.write(out);
            targets::write(out);
            costly::write(out);
        }
        for family in &self.families {
            out.append(family);
            out.append("\n");
        }
    }
}

/// Records the walks of a collection, each with its duration.
pub fn walks(took: &[Duration]) {
    for walk in took {
        histogram!(WALK_SECONDS).record(*walk);
    }
}

/// Counts walks that were due and not made.
pub fn walks_left_out(reason: &'static str, count: u64) {
    counter!("memgap_exporter_walks_left_out_total", "reason" => reason).increment(count);
}

/// Counts walks that were made and are kept no longer, for want of room.
pub fn walks_dropped(count: u64) {
    counter!("memgap_exporter_walks_dropped_total").increment(count);
}

/// Counts readings that failed.
pub fn errors(source: &'static str, kind: MissingKind, count: u64) {
    counter!("memgap_exporter_errors_total", "source" => source, "kind" => kind.name())
        .increment(count);
}

/// Records what is exported, and what the cap on series cost.
pub fn exported(scopes: &Scopes, sheds: &[Shed]) {
    for scope in scopes.all() {
        gauge!("memgap_exporter_series", "scope" => scope.table.name).set(scope.series() as f64);
    }
    for shed in sheds {
        counter!("memgap_exporter_shed_members_total", "scope" => shed.scope)
            .increment(shed.members as u64);
    }
}

/// Counts a collection that the server did not take.
pub fn unsent() {
    counter!("memgap_exporter_unsent_collections_total").increment(1);
}

/// Records the size of the encoded collection.
pub fn encoded(bytes: usize) {
    gauge!("memgap_exporter_encoded_bytes").set(bytes as f64);
}

fn describe() {
    Stage::describe();
    probes::describe();
    api::describe();
    degraded::describe();
    http::describe();
    kubernetes::describe();
    otlp::describe();
    targets::describe();
    reload::describe();
    describe_histogram!(WALK_SECONDS, "Time a walk over a process's mappings took.");
    describe_counter!(
        "memgap_exporter_walks_left_out_total",
        "Walks that were due and not made: one would cost too much, or all together."
    );
    describe_counter!(
        "memgap_exporter_walks_dropped_total",
        "Walks that were made and are kept no longer: the oldest, where all have too many mappings."
    );
    describe_counter!(
        "memgap_exporter_errors_total",
        "Readings that failed, by what was read and how."
    );
    describe_gauge!("memgap_exporter_series", "Series of the last collection, by scope.");
    describe_counter!(
        "memgap_exporter_shed_members_total",
        "Members folded into other because of --max-series, by scope, each time."
    );
    describe_counter!(
        "memgap_exporter_unsent_collections_total",
        "Collections that the server did not take from the reader."
    );
    describe_gauge!(
        "memgap_exporter_encoded_bytes",
        "Bytes of the last collection but one, as text."
    );
    describe_gauge!(
        "memgap_exporter_reader_start_time_seconds",
        "When the process that reads started, since the epoch: later than the exporter where it was restarted."
    );
    describe_gauge!(
        "memgap_exporter_server_start_time_seconds",
        "When the process that serves started, since the epoch: later than the exporter where it was restarted."
    );
    describe_gauge!(
        "memgap_exporter_jemalloc_bytes",
        "Memory of the process that reads, by statistic of its allocator."
    );
}

/// Reads the allocator's heap statistics. Where the binary has another allocator they are
/// those of an empty one.
fn jemalloc() {
    use tikv_jemalloc_ctl::stats;
    // Statistics are cached until the epoch moves on.
    if tikv_jemalloc_ctl::epoch::advance().is_err() {
        return;
    }
    for (stat, bytes) in [
        ("allocated", stats::allocated::read()),
        ("active", stats::active::read()),
        ("metadata", stats::metadata::read()),
        ("resident", stats::resident::read()),
        ("mapped", stats::mapped::read()),
        ("retained", stats::retained::read()),
    ] {
        if let Ok(bytes) = bytes {
            gauge!("memgap_exporter_jemalloc_bytes", "stat" => stat).set(bytes as f64);
        }
    }
}

/// Samples of a family stand in the order of a hash table: label sets are sorted, those of
/// one stand together, as OpenMetrics wants it, and are in order already.
fn sorted(family: &str) -> String {
    let (header, mut samples): (Vec<_>, Vec<_>) =
        family.lines().partition(|line| line.starts_with('#'));
    samples.sort_by_key(|line| label_set(line));
    [header, samples].concat().join("\n")
}

/// The labels of a sample but the bound of a histogram's bucket, which stands last.
fn label_set(sample: &str) -> &str {
    let Some((name, rest)) = sample.split_once('{') else { return "" };
    let labels = rest.rsplit_once('}').map_or(rest, |(labels, _)| labels);
    match labels.rsplit_once("le=") {
        Some((before, _)) if name.ends_with("_bucket") => before.trim_end_matches(','),
        _ => labels,
    }
}
