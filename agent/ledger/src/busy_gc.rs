//! The garbage collector of a process that ran most often lately.

use crate::process::ProcessLedger;
use crate::runtime::Runtime;

/// The garbage collector that ran most often lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BusyGc {
    /// Process id.
    pub pid: u32,
    /// Name of the process.
    pub process: String,
    /// Name of the runtime.
    pub runtime: String,
    /// Collections a minute, rounded down.
    pub per_minute: u64,
}

impl BusyGc {
    /// The busiest one of a process, if any was read twice.
    pub fn of(process: &ProcessLedger) -> Option<Self> {
        let rate = |runtime: &&Runtime| runtime.gc.as_ref()?.recent?.per_minute();
        let busiest = process.runtimes.iter().max_by_key(rate)?;
        Some(Self {
            pid: process.pid,
            process: process.name.clone(),
            runtime: busiest.name.clone(),
            per_minute: rate(&busiest)?,
        })
    }
}
