//! What is read of a cgroup.

use crate::events::Events;
use crate::fact::Fact;

/// One cgroup at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct CgroupSample {
    /// Path below the memory hierarchy's mount, with a leading slash.
    pub path: String,
    /// Which interface it was read through.
    pub version: CgroupVersion,
    /// Whether it is the root of the hierarchy.
    pub root: bool,
    /// `memory.current`; v1 `memory.usage_in_bytes`.
    pub usage: Fact<u64>,
    /// `memory.max`; v1 `memory.limit_in_bytes`. `None` is unlimited.
    pub limit: Fact<Option<u64>>,
    /// Whether `limit` is that of its pod, for want of one of its own.
    pub limit_is_pods: bool,
    /// `memory.swap.max`; v1 `memory.memsw.limit_in_bytes` less the limit.
    pub swap_limit: Fact<Option<u64>>,
    /// `memory.stat`, with the `total_` figures on v1.
    pub stat: Fact<MemoryStat>,
    /// v1 `memory.kmem.usage_in_bytes`.
    pub kmem: Fact<u64>,
    /// What happened at its limits, and what is in its swap.
    pub events: Events,
    /// Processors of the machine: bounds what per-CPU stocks can hide.
    pub cpus: u32,
    /// Memory of files that processes of the whole machine lock beyond what the kernel counts
    /// as locked, at the most; `None` where it is not known.
    pub unmarked_files: Option<u64>,
    /// How much the memory of its processes changed while it was read: what they hold and what
    /// it is charged for are of two times, and differ by as much at the most.
    pub churned: u64,
    /// Whether no cgroup stands below it.
    pub leaf: bool,
    /// Names that the path does not tell: from the node's container log links.
    pub names: Option<ContainerNames>,
}

/// What Kubernetes calls a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerNames {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container in the pod.
    pub container: String,
}

/// Which cgroup interface a memory controller is mounted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupVersion {
    /// The `memory` hierarchy.
    V1,
    /// The unified hierarchy.
    V2,
}

/// `memory.stat` of a cgroup and what is below it. On v1 `anon` is `total_rss`,
/// `file` is `total_cache` and the rest are the `total_` figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the fields carry the kernel's names")]
pub struct MemoryStat {
    pub anon: u64,
    pub file: u64,
    pub shmem: u64,
    pub inactive_anon: u64,
    pub active_anon: u64,
    pub inactive_file: u64,
    pub active_file: u64,
    pub unevictable: u64,
    /// Page cache, shared memory among it, that a process maps.
    pub file_mapped: Option<u64>,
    /// v2 from 5.18; contains slab, stacks, page tables, percpu, zswap.
    pub kernel: Option<u64>,
    /// v2.
    pub kernel_stack: Option<u64>,
    /// v2 from 5.13 or so; in `kernel` where that is.
    pub pagetables: Option<u64>,
    /// v2 from 6.1: page tables of virtual machines and devices.
    pub sec_pagetables: Option<u64>,
    /// v2.
    pub percpu: Option<u64>,
    /// v2 from 5.18: without kernel stacks.
    pub vmalloc: Option<u64>,
    /// v2 from 5.19: what swapped pages take when compressed in memory.
    pub zswap: Option<u64>,
    /// v2.
    pub sock: Option<u64>,
    /// v2.
    pub slab_reclaimable: Option<u64>,
    /// v2.
    pub slab_unreclaimable: Option<u64>,
    /// v2 from 6.14 or so, with the mount option `memory_hugetlb_accounting`.
    pub hugetlb: Option<u64>,
    /// v2 from 5.12; v1 later (6.18 has it, 6.1 has not).
    pub swapcached: Option<u64>,
    /// v1, where swap is accounted for.
    pub swap: Option<u64>,
    /// v2: bytes that `MADV_FREE` freed since the cgroup began (`pglazyfree`). 0 where
    /// nothing can be lazily freed.
    pub ever_lazily_freed: Option<u64>,
}
