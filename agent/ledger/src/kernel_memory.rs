//! What is known of a cgroup's kernel memory where the kernel tells only its sum, as v1
//! does: what its processes' own counters say is surely needed.

use crate::process::ProcessLedger;

/// The stack of a thread in the kernel: `THREAD_SIZE` of x86-64 and arm64.
const STACK: u64 = 16 << 10;

/// Parts of the kernel memory of processes that live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfProcesses {
    /// Page tables (`VmPTE`).
    pub page_tables: u64,
    /// How many threads there are.
    pub threads: u64,
}

impl OfProcesses {
    /// Of one process, where its counters tell.
    pub(crate) fn of(process: &ProcessLedger) -> Option<Self> {
        let tables = if process.is_counted_elsewhere() { 0 } else { process.page_tables? };
        Some(Self { page_tables: tables, threads: process.threads? })
    }

    /// The sum of two.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            page_tables: self.page_tables.saturating_add(other.page_tables),
            threads: self.threads.saturating_add(other.threads),
        }
    }

    /// Bytes of the threads' stacks.
    pub fn stacks(&self) -> u64 {
        self.threads.saturating_mul(STACK)
    }
}
