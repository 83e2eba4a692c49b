//! What happened to a cgroup at its limits: facts that stand beside the accounts.

use std::time::Duration;

use crate::fact::{Fact, Missing};

/// The counters and high-water marks that the kernel keeps of a cgroup. Counters
/// begin with the cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// Processes that the OOM killer ended: `oom_kill` of v2 `memory.events`, with those
    /// below; of v1 `memory.oom_control` (4.13), its own only.
    pub oom_kills: Fact<u64>,
    /// How often the limit was met and the kernel had to reclaim: `max` of v2
    /// `memory.events`; v1 `memory.failcnt`.
    pub limit_hits: Fact<u64>,
    /// How often a process was made to wait and reclaim at `memory.high`: `high` of
    /// `memory.events`.
    pub throttled: Fact<u64>,
    /// v2 `memory.high`, beyond which processes are throttled. `None` is no such bound.
    pub high: Fact<Option<u64>>,
    /// The largest usage so far: v2 `memory.peak` (5.19), v1 `memory.max_usage_in_bytes`.
    pub peak: Fact<u64>,
    /// What is in the swap area: v2 `memory.swap.current`, v1 `total_swap` of `memory.stat`.
    pub swap: Fact<u64>,
    /// How often memory could not be swapped out: `fail` of v2 `memory.swap.events`.
    pub swap_failures: Fact<u64>,
    /// For how long its processes waited for memory: v2 `memory.pressure`.
    pub stall: Fact<Stall>,
    /// Deleted cgroups below it that still hold memory: `nr_dying_descendants` of v2
    /// `cgroup.stat`.
    pub dying: Fact<u64>,
}

/// Pressure stall information: how long processes waited for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stall {
    /// At least one of them.
    pub some: Waited,
    /// All of them at once.
    pub full: Waited,
}

/// One line of a pressure file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waited {
    /// In all, since the cgroup began.
    pub total: Duration,
    /// Share of the last ten seconds, in hundredths of a percent.
    pub last_ten: u32,
}

impl Events {
    /// Nothing of it is known, for the reason given.
    pub fn missing(why: &Missing) -> Self {
        Self {
            oom_kills: Err(why.clone()),
            limit_hits: Err(why.clone()),
            throttled: Err(why.clone()),
            high: Err(why.clone()),
            peak: Err(why.clone()),
            swap: Err(why.clone()),
            swap_failures: Err(why.clone()),
            stall: Err(why.clone()),
            dying: Err(why.clone()),
        }
    }
}
