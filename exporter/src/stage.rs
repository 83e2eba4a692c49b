//! The parts of a collection, and what each costs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::{describe_histogram, histogram};
use rustix::time::{ClockId, clock_gettime};

use crate::encode::{Encoder, Kind, Value, labels};

/// A part of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Every process's counters.
    Tier0,
    /// Every cgroup, and the host.
    Cgroups,
    /// Walks over processes' mappings.
    Walk,
    /// The heap statistics of runtimes and allocators.
    HeapStatistics,
    /// Making ledgers of what was read.
    Ledger,
    /// Writing them as text.
    Encode,
    /// Making documents for the API, where it is on.
    Api,
}

/// Measures what a stage takes of its thread.
#[derive(Debug)]
pub struct Clock {
    wall: Instant,
    cpu: Duration,
}

/// CPU time of every stage so far, in seconds.
#[derive(Debug)]
pub struct CpuSeconds([f64; Stage::ALL.len()]);

const SECONDS: &str = "memgap_exporter_collection_seconds";

/// Nanoseconds of CPU by stage. They live beside the recorder of telemetry, whose
/// counters hold whole numbers only.
static CPU: [AtomicU64; Stage::ALL.len()] = [const { AtomicU64::new(0) }; Stage::ALL.len()];

impl Stage {
    /// Every stage, in the order in which a collection goes through them.
    pub const ALL: [Self; 7] = [
        Self::Tier0,
        Self::Cgroups,
        Self::Walk,
        Self::HeapStatistics,
        Self::Ledger,
        Self::Encode,
        Self::Api,
    ];

    /// The stable word for labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tier0 => "tier0",
            Self::Cgroups => "cgroups",
            Self::Walk => "walk",
            Self::HeapStatistics => "heap_statistics",
            Self::Ledger => "ledger",
            Self::Encode => "encode",
            Self::Api => "api",
        }
    }

    /// Records what it took this time: by the clock, and of the CPU.
    pub fn took(self, wall: Duration, cpu: Duration) {
        histogram!(SECONDS, "stage" => self.name()).record(wall);
        let nanos = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        CPU[self as usize].fetch_add(nanos, Ordering::Relaxed);
    }

    /// Tells the recorder what the histogram is.
    pub fn describe() {
        describe_histogram!(SECONDS, "Time a part of a collection took.");
    }
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self::started(Duration::ZERO, Duration::ZERO)
    }

    /// A clock for what took that long already, by the clock and of the CPU.
    pub fn started(wall: Duration, cpu: Duration) -> Self {
        let now = Instant::now();
        Self { wall: now.checked_sub(wall).unwrap_or(now), cpu: thread_cpu().saturating_sub(cpu) }
    }

    /// Records the time since the start.
    pub fn stop(self, stage: Stage) {
        stage.took(self.wall.elapsed(), thread_cpu().saturating_sub(self.cpu));
    }
}

impl CpuSeconds {
    /// Reads them.
    pub fn read() -> Self {
        Self(CPU.each_ref().map(|nanos| nanos.load(Ordering::Relaxed) as f64 / 1e9))
    }

    /// Writes the family.
    pub fn write(&self, out: &mut Encoder) {
        let mut family = out.family(
            Kind::Counter,
            "memgap_exporter_cpu_seconds_total",
            "CPU time, user and system, that a part of the collections took.",
        );
        for (stage, seconds) in Stage::ALL.into_iter().zip(self.0) {
            family.sample(&labels(&[("stage", stage.name())]), &[], Value::Float(seconds));
        }
    }
}

/// CPU time of this thread so far.
fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
