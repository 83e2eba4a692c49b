//! The families of each scope: names, help and order. They are an interface:
//! dashboards and alerts of users stand on them.

use memgap_ledger::Runtime;
use memgap_ledger::account::{Account, HOST, RSS};
use memgap_ledger::figure::signed;

use crate::scope::{Gauge, RuntimeGauge, Sum, Table};

/// Containers of Kubernetes, Docker, Podman and containerd.
pub static CONTAINER: Table = Table {
    name: "container",
    accounts: CHARGED,
    ledger_help: "Memory charged to the container by account; sums to memgap_container_usage_bytes.",
    gauges: CGROUP_GAUGES,
    runtime_gauges: &[],
    other: &[("namespace", ""), ("pod", ""), ("container", OTHER)],
};

/// Units of systemd that run outside containers.
pub static UNIT: Table = Table {
    name: "unit",
    accounts: CHARGED,
    ledger_help: "Memory charged to the unit by account; sums to memgap_unit_usage_bytes.",
    gauges: CGROUP_GAUGES,
    runtime_gauges: &[],
    other: &[("unit", OTHER)],
};

/// Cgroups that are neither, and hold no others.
pub static PLAIN: Table = Table {
    name: "cgroup",
    accounts: CHARGED,
    ledger_help: "Memory charged to the cgroup by account; sums to memgap_cgroup_usage_bytes.",
    gauges: CGROUP_GAUGES,
    runtime_gauges: &[],
    other: &[("cgroup", OTHER)],
};

/// Pods of Kubernetes. They contain their containers.
pub static POD: Table = Table {
    name: "pod",
    accounts: &[],
    ledger_help: "",
    gauges: POD_GAUGES,
    runtime_gauges: &[],
    other: &[("namespace", ""), ("pod", OTHER)],
};

/// Processes of one name in one container.
pub static PROCESS_GROUP: Table = OF_PROCESSES;

/// Single processes, which stand in place of groups where that is asked for.
pub static PROCESS: Table = Table {
    name: "process",
    ledger_help: "Resident memory of the process by account; sums to memgap_process_rss_bytes. Memory that processes share counts in each of them.",
    ..OF_PROCESSES
};

const OF_PROCESSES: Table = Table {
    name: "process_group",
    accounts: RSS,
    ledger_help: "Resident memory of the processes by account; sums to memgap_process_group_rss_bytes. Memory that processes share counts in each of them.",
    gauges: PROCESS_GAUGES,
    runtime_gauges: PROCESS_RUNTIME_GAUGES,
    other: &[("namespace", ""), ("pod", ""), ("container", ""), ("group", OTHER)],
};

/// The machine.
pub static MACHINE: Table = Table {
    name: "host",
    accounts: HOST,
    ledger_help: "Memory of the machine by account; sums to memgap_host_memory_total_bytes.",
    gauges: &[gauge("memory_total_bytes", "Memory of the machine: MemTotal.", Sum::All)],
    runtime_gauges: &[],
    other: &[],
};

/// The word that folded members go by. A process group that is really called so
/// is folded too: see `select`.
pub const OTHER: &str = "other";

/// The accounts of a cgroup, those of kernel memory as one: a series for each would be six
/// more a container, and they are rarely of any size.
const CHARGED: &[Account] = &[
    Account::HeapInUse,
    Account::AllocatorFree,
    Account::AllocatorMetadata,
    Account::JitCode,
    Account::Metaspace,
    Account::GcTables,
    Account::Stack,
    Account::ElfData,
    Account::HeapUnprobed,
    Account::Unexplained,
    Account::Unreadable,
    Account::Skew,
    Account::MovedCharges,
    Account::LazyFree,
    Account::PageCache,
    Account::Shmem,
    Account::OffLru,
    Account::SlabReclaimable,
    Account::Kernel,
    Account::Sock,
    Account::Hugetlb,
    Account::ChargeResidual,
];

const POD_GAUGES: &[Gauge] =
    &[USAGE, WORKING_SET, REQUIRED_LOW, REQUIRED_HIGH, ROOM_LOW, ROOM_HIGH, PEAK, SWAP];

const CGROUP_GAUGES: &[Gauge] = &[
    USAGE,
    WORKING_SET,
    REQUIRED_LOW,
    REQUIRED_HIGH,
    ROOM_LOW,
    ROOM_HIGH,
    PEAK,
    SWAP,
    WORKING_SET_HIDDEN,
    IN_USE,
    IN_USE_LOW,
    IN_USE_HIGH,
    LIMIT,
    ADVISED_LIMIT,
    ROOM_LASTS_LOW,
    ROOM_LASTS_HIGH,
];

const USAGE: Gauge = gauge("usage_bytes", "Memory charged, as the kernel counts it.", Sum::All);

const WORKING_SET: Gauge = gauge(
    "working_set_bytes",
    "Usage less inactive_file: the figure of cAdvisor and the kubelet.",
    Sum::All,
);

const REQUIRED_LOW: Gauge = Gauge { part: &[("bound", "low")], ..REQUIRED };

const REQUIRED_HIGH: Gauge = Gauge { part: &[("bound", "high")], ..REQUIRED };

const REQUIRED: Gauge = gauge(
    "required_bytes",
    "What a limit has to hold: usage less what the kernel can take back without swapping.",
    Sum::All,
);

const ROOM_LOW: Gauge = Gauge { part: &[("bound", "low")], ..ROOM };

const ROOM_HIGH: Gauge = Gauge { part: &[("bound", "high")], ..ROOM };

const ROOM: Gauge = gauge(
    "room_bytes",
    "What can still be allocated before somebody is OOM-killed, by its limit or one above it; no sample without a limit.",
    Sum::Least,
);

const PEAK: Gauge = gauge("peak_bytes", "The largest usage so far.", Sum::All);

const SWAP: Gauge = gauge(
    "swap_bytes",
    "What is swapped out, in neither usage nor required; no sample where nothing may be.",
    Sum::Known,
);

const WORKING_SET_HIDDEN: Gauge = gauge(
    "working_set_hidden_bytes",
    "Live memory that the working set leaves out: freed lazily, then written again.",
    Sum::All,
);

const IN_USE: Gauge = gauge(
    "in_use_bytes",
    "In use by the heap statistics of allocators and runtimes; in_use_coverage_ratio tells of how much they speak.",
    Sum::Known,
);

const IN_USE_LOW: Gauge = Gauge { part: &[("bound", "low")], ..IN_USE_BOUND };

const IN_USE_HIGH: Gauge = Gauge { part: &[("bound", "high")], ..IN_USE_BOUND };

const IN_USE_BOUND: Gauge = gauge(
    "in_use_bound_bytes",
    "The least and the most that can be in use: the high bound includes memory of which no heap statistics were read.",
    Sum::Known,
);

const LIMIT: Gauge =
    gauge("limit_bytes", "The memory limit; no sample where there is none.", Sum::All);

const ADVISED_LIMIT: Gauge = gauge(
    "advised_limit_bytes",
    "The limit that it needs: what it required, with page cache that was read again, at its peak in the last day, and 5 %; no sample before it was watched for an hour.",
    Sum::All,
);

const ROOM_LASTS_LOW: Gauge = Gauge { part: &[("bound", "low")], ..ROOM_LASTS };

const ROOM_LASTS_HIGH: Gauge = Gauge { part: &[("bound", "high")], ..ROOM_LASTS };

const ROOM_LASTS: Gauge = gauge(
    "room_lasts_seconds",
    "For how long its room lasts at the rate of the last hour, or half of it; no sample where room does not shrink evenly, or for more than 12 hours.",
    Sum::Least,
);

const PROCESS_GAUGES: &[Gauge] = &[
    gauge(
        "rss_bytes",
        "Resident memory of the processes. Memory that they share counts in each of them.",
        Sum::All,
    ),
    gauge("vsz_bytes", "Address space of the processes.", Sum::All),
    gauge(
        "in_use_bytes",
        "In use by the heap statistics of the processes' allocators and runtimes.",
        Sum::Known,
    ),
    gauge("processes", "How many processes the group holds.", Sum::All),
];

const PROCESS_RUNTIME_GAUGES: &[RuntimeGauge] = &[
    RuntimeGauge {
        name: "free_bytes",
        help: "What the runtime or allocator keeps free, resident or given back.",
        of: |runtime| runtime.free.map(signed),
    },
    RuntimeGauge {
        name: "released_bytes",
        help: "Of what it keeps free, what it gave back to the kernel.",
        of: |runtime| runtime.released.map(signed),
    },
    RuntimeGauge {
        name: "lazily_freed_bytes",
        help: "Of what it gave back, what stays resident until the kernel needs it.",
        of: |runtime| runtime.lazily_freed.map(signed),
    },
    RuntimeGauge {
        name: "trimmable_bytes",
        help: "Of what is free and was not given back, what it could give back.",
        of: |runtime| runtime.trimmable.map(signed),
    },
    RuntimeGauge {
        name: "endpoint_difference_bytes",
        help: "In use by the word of its endpoint or beacon less that of its heap statistics.",
        of: endpoint_difference,
    },
];

fn endpoint_difference(runtime: &Runtime) -> Option<i64> {
    runtime.second_source.as_ref().map(|second| second.differs_by)
}

const fn gauge(name: &'static str, help: &'static str, sum: Sum) -> Gauge {
    Gauge { name, part: &[], help, sum }
}

#[cfg(test)]
mod tests {
    use memgap_ledger::account::{CGROUP, KERNEL};

    use super::*;

    #[test]
    fn every_account_of_a_cgroup_is_exported_or_part_of_kernel() {
        let exported = |account: &&Account| CHARGED.contains(account) || KERNEL.contains(account);
        assert_eq!(CGROUP.iter().filter(exported).count(), CGROUP.len());
        assert!(CHARGED.iter().all(|account| CGROUP.contains(account)));
    }
}
