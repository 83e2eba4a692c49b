//! Kills of the OOM killer, as the kernel's log and the counters of cgroups tell them.

use std::time::Duration;

use crate::fact::Fact;

/// What the kernel's log holds of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelLog {
    /// The last of them, the oldest first.
    pub kills: Vec<OomKill>,
    /// How many older ones were left out.
    pub left_out: u64,
    /// When the first line that is still there was written, since boot.
    pub begins: Duration,
    /// Whether there were lines before that one.
    pub overwritten: bool,
    /// When it was read, by the clock of its lines.
    pub now: Duration,
    /// For how long the machine has slept since boot: that clock stood still meanwhile.
    pub slept: Duration,
}

/// One process that the OOM killer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomKill {
    /// When, since boot.
    pub at: Duration,
    /// Its pid.
    pub pid: u32,
    /// Its name, which it chose itself.
    pub name: String,
    /// What was short.
    pub short: Short,
    /// Its anonymous memory.
    pub anon: u64,
    /// The files that it mapped.
    pub file: u64,
    /// The shared memory that it mapped.
    pub shmem: u64,
    /// Its page tables, from Linux 5.4.
    pub page_tables: Option<u64>,
    /// What was asked for its score.
    pub score_adj: Option<i64>,
    /// What the kernel reported of the shortage. It leaves that out where kills follow each
    /// other quickly.
    pub report: Option<Report>,
    /// The cgroup that was killed as a whole (`memory.oom.group`), where this is not the
    /// process that was chosen.
    pub group: Option<String>,
}

/// Whose memory was short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// A limit of a cgroup was met.
    Cgroup,
    /// The machine, or the memory nodes that may be used, had none left.
    Machine,
}

/// What the kernel reports of one shortage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The process that asked for memory.
    pub asked_by: String,
    /// The cgroup whose limit was met; `None` where it was the machine, or is not known.
    pub limit_of: Option<String>,
    /// The cgroup of the process that was killed.
    pub task_cgroup: Option<String>,
    /// Whether only some memory nodes might be used: by a cpuset or a policy.
    pub some_nodes: bool,
    /// What was used of the limit.
    pub usage: Option<u64>,
    /// The limit.
    pub limit: Option<u64>,
    /// v1: what was used of the limit of memory and swap together, and that limit.
    pub with_swap: Option<(u64, u64)>,
    /// v2: what was used of swap, and its limit.
    pub swap: Option<(u64, u64)>,
    /// What the memory was.
    pub stat: OomStat,
    /// The processes that could have been chosen, those with most memory first.
    pub tasks: Vec<Task>,
    /// How many there were.
    pub task_count: usize,
    /// The anonymous and shared memory of all of them, where a page that several map counts
    /// for each.
    pub task_bytes: u64,
}

/// What the memory was of which there was too little.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OomStat {
    /// Anonymous memory.
    pub anon: Option<u64>,
    /// Page cache, with shared memory.
    pub file: Option<u64>,
    /// tmpfs and other shared memory.
    pub shmem: Option<u64>,
    /// Kernel memory.
    pub kernel: Option<u64>,
    /// Socket buffers, where kernel memory leaves them out.
    pub sock: Option<u64>,
    /// What can not be reclaimed for being locked, or of ramfs.
    pub unevictable: Option<u64>,
    /// What waited to be written to its files.
    pub unwritten: Option<u64>,
}

/// A process that could have been chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Its resident memory, without mapped files where the kernel tells it apart (6.8).
    pub bytes: u64,
}

/// How many kills a cgroup has counted: without telling which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Its path.
    pub path: String,
    /// Of its own processes; v2 `memory.events.local` (5.2), v1 `memory.oom_control`.
    pub own: Fact<u64>,
    /// With those of cgroups below, on v2.
    pub with_below: Fact<u64>,
    /// How often its own limit was met and nothing could be reclaimed: `oom` of v2
    /// `memory.events.local`.
    pub limit_met: Fact<u64>,
}

impl OomKill {
    /// Path of the cgroup that the process was in, as far as the log tells.
    pub fn cgroup(&self) -> Option<&str> {
        let of_report = || self.report.as_ref()?.task_cgroup.as_deref();
        self.group.as_deref().or_else(of_report)
    }

    /// What its death gave back, had nobody else mapped it.
    pub fn bytes(&self) -> u64 {
        self.anon.saturating_add(self.shmem)
    }
}

impl Report {
    /// Whether the limit of a cgroup above that of the process was met.
    pub fn is_ancestors(&self) -> bool {
        matches!((&self.limit_of, &self.task_cgroup), (Some(limit), Some(task)) if limit != task)
    }

    /// Whether it was the limit of memory and swap together that was met.
    pub fn is_with_swap(&self) -> bool {
        const NEAR: u64 = 1 << 20;
        let met = |used: u64, limit: u64| used.saturating_add(NEAR) >= limit;
        let memory = self.usage.zip(self.limit).is_none_or(|(used, limit)| met(used, limit));
        !memory && self.with_swap.is_some_and(|(used, limit)| met(used, limit))
    }
}
