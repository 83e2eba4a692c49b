//! The exporter as a process: the figures that every Prometheus client has.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::encode::{Encoder, Kind, Value, labels};

/// What of the process does not change.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    started: f64,
}

/// The process at one time.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    started: f64,
    cpu: f64,
    max_fds: Option<u64>,
    open_fds: Option<u64>,
    vsz: Option<u64>,
    rss: Option<u64>,
}

impl Process {
    /// The process that starts now.
    pub fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Self { started: since_epoch.map_or(0.0, |d| d.as_secs_f64()) }
    }

    /// Reads the figures.
    pub fn read(self) -> Figures {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let process = procfs::process::Process::myself().ok();
        let statm = process.as_ref().and_then(|p| p.statm().ok());
        let page = rustix::param::page_size() as u64;
        Figures {
            started: self.started,
            cpu: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
            max_fds: getrlimit(Resource::Nofile).current,
            open_fds: process.and_then(|p| p.fd_count().ok()).map(|count| count as u64),
            vsz: statm.as_ref().map(|s| s.size.saturating_mul(page)),
            rss: statm.map(|s| s.resident.saturating_mul(page)),
        }
    }
}

impl Figures {
    /// Writes the families.
    pub fn write(&self, out: &mut Encoder) {
        let version = labels(&[("version", env!("CARGO_PKG_VERSION"))]);
        out.family(Kind::Info, "memgap_exporter_build_info", "Which exporter this is.").sample(
            &version,
            &[],
            Value::Int(1),
        );
        for (kind, name, help, value) in [
            (
                Kind::Counter,
                "process_cpu_seconds_total",
                "Processor time spent, user and system.",
                Some(Value::Float(self.cpu)),
            ),
            (
                Kind::Gauge,
                "process_start_time_seconds",
                "When the process started, since the epoch.",
                Some(Value::Float(self.started)),
            ),
            (Kind::Gauge, "process_open_fds", "File descriptors open.", whole(self.open_fds)),
            (Kind::Gauge, "process_max_fds", "File descriptors allowed.", whole(self.max_fds)),
            (
                Kind::Gauge,
                "process_virtual_memory_bytes",
                "Address space of the process.",
                whole(self.vsz),
            ),
            (
                Kind::Gauge,
                "process_resident_memory_bytes",
                "Resident memory of the process.",
                whole(self.rss),
            ),
        ] {
            if let Some(value) = value {
                out.family(kind, name, help).sample("", &[], value);
            }
        }
    }
}

fn whole(value: Option<u64>) -> Option<Value> {
    Some(Value::Int(memgap_ledger::figure::signed(value?)))
}
