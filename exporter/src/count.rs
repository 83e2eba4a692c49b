//! What the kernel counts at the limits of a cgroup, as families of counters.

use std::time::Duration;

use memgap_ledger::{CgroupLedger, Fact};

use crate::encode::Value;

/// A family of counters.
#[derive(Debug)]
pub struct Counter {
    /// What follows `memgap_<scope>_`.
    pub name: &'static str,
    /// One line on what it is.
    pub help: &'static str,
    /// The kernel's count, in the unit of `value`.
    of: fn(&CgroupLedger) -> Option<u64>,
    /// How a count is written.
    pub value: fn(u64) -> Value,
}

/// The families, in the order in which they are written.
pub static COUNTERS: [Counter; FAMILIES] = [
    Counter {
        name: "oom_kills_total",
        help: "Processes that the OOM killer ended, on cgroup v2 with those of cgroups below.",
        of: |cgroup| known(&cgroup.events.oom_kills),
        value: count,
    },
    Counter {
        name: "limit_hits_total",
        help: "How often the memory limit was met and the kernel had to take memory back.",
        of: |cgroup| known(&cgroup.events.limit_hits),
        value: count,
    },
    Counter {
        name: "throttled_total",
        help: "How often processes were throttled at memory.high; no sample where that is not set.",
        of: |cgroup| {
            let is_set = cgroup.events.high.as_ref().is_ok_and(Option::is_some);
            known(&cgroup.events.throttled).filter(|times| is_set || *times > 0)
        },
        value: count,
    },
    Counter {
        name: "memory_stall_seconds_total",
        help: "For how long some process waited for memory: the kernel's pressure stall information.",
        of: |cgroup| {
            let some = cgroup.events.stall.as_ref().ok()?.some.total;
            u64::try_from(some.as_micros()).ok()
        },
        value: |micros| Value::Float(Duration::from_micros(micros).as_secs_f64()),
    },
];

/// How many families there are.
pub const FAMILIES: usize = 4;

/// One count for each family; `None` is what the kernel does not tell.
pub type Counts = [Option<u64>; FAMILIES];

/// What the kernel counted for a cgroup so far.
pub fn of(cgroup: &CgroupLedger) -> Counts {
    COUNTERS.each_ref().map(|counter| (counter.of)(cgroup))
}

fn known(count: &Fact<u64>) -> Option<u64> {
    count.as_ref().ok().copied()
}

fn count(times: u64) -> Value {
    Value::Int(i64::try_from(times).unwrap_or(i64::MAX))
}
