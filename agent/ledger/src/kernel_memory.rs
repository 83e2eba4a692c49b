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
    /// The sum over processes, as far as their counters tell; `None` where none does.
    pub fn of<'p>(processes: impl IntoIterator<Item = &'p ProcessLedger>) -> Option<Self> {
        let told = processes.into_iter().filter_map(|process| {
            Some(Self { page_tables: process.page_tables?, threads: process.threads? })
        });
        told.reduce(|a, b| Self {
            page_tables: a.page_tables.saturating_add(b.page_tables),
            threads: a.threads.saturating_add(b.threads),
        })
    }

    /// Bytes of the threads' stacks.
    pub fn stacks(&self) -> u64 {
        self.threads.saturating_mul(STACK)
    }
}
