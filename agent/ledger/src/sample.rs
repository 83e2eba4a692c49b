//! What a reader hands in: raw facts of processes, cgroups and the host.
//!
//! All amounts are bytes (page counts are multiplied by the reader, which knows
//! the page size). Kernel files and versions are named where a field is not
//! everywhere.

mod area;
mod cgroup;

use std::sync::Arc;
use std::time::Duration;

use crate::claim::Claim;
use crate::fact::{Fact, Missing};
use crate::figure::Figure;
use crate::runtime::Found;

pub use area::{Area, AreaKind, above_guards};
pub use cgroup::{CgroupSample, CgroupVersion, ContainerNames, MemoryStat};

/// One process at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessSample {
    /// Process id in the reader's pid namespace.
    pub pid: u32,
    /// `comm`, made printable: at most 15 characters.
    pub name: String,
    /// What sort of process this is.
    pub kind: ProcessKind,
    /// The kernel's counters: `statm` or `status`.
    pub counters: Fact<Counters>,
    /// The walk over the mappings: `smaps`. Refused when over cost or budget.
    pub walk: Fact<Walk>,
    /// What of it is lazily freed by a sample of its pages, where it is too large to be
    /// walked; `None` where nobody asked.
    pub lazily_freed: Option<Fact<Sampled>>,
    /// What runtimes' and allocators' own statistics claim. Empty without a probe.
    pub claims: Vec<Claim>,
    /// The runtimes and allocators that were found, those too whose heap statistics were not
    /// read. Empty where none was looked for.
    pub runtimes: Vec<Found>,
    /// Path of the cgroup that its memory is charged to.
    pub cgroup: Fact<String>,
    /// Who else has the same memory (`vfork`, `clone` with `CLONE_VM`): `None` where nobody
    /// has, or that was not asked or is not known.
    pub one_memory: Option<OneMemory>,
}

/// Processes that have one memory between them: `smaps` shows it for each as its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneMemory {
    /// The first of them, this one or another: the kernel charges it for all of it.
    pub counted_at: u32,
    /// The others than this one, in the order in which they started.
    pub others: Vec<u32>,
}

/// What a sample of pages tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampled {
    /// Bytes, as the interval that the sample leaves.
    pub figure: Figure,
    /// How long before the process's sample it was taken.
    pub age: Duration,
}

/// What sort of process a pid names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessKind {
    /// A program with memory of its own.
    User,
    /// A kernel thread: it has no memory of its own, all its figures are 0.
    Kernel,
    /// Ended and not yet reaped: its memory is given back.
    Zombie,
}

/// The memory counters of a process, free of cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// The file they come from: `statm` or `status`.
    pub source: &'static str,
    /// `VmSize`; `statm` field 1.
    pub vsz: u64,
    /// `VmRSS`; `statm` field 2. May lag before Linux 6.16 (6.12.95).
    pub rss: u64,
    /// `RssAnon`, or `resident - shared` of `statm`.
    pub anon: u64,
    /// `RssFile`; `statm` does not tell it from shmem.
    pub file: Option<u64>,
    /// `RssShmem`; `statm` does not tell it from file memory.
    pub shmem: Option<u64>,
    /// `VmSwap` (leaves out swapped shmem); not in `statm`.
    pub swap: Option<u64>,
    /// `Threads`; not in `statm`.
    pub threads: Option<u64>,
    /// `VmLck`: mappings that `mlock` keeps in memory; not in `statm`.
    pub locked: Option<u64>,
    /// `VmPin` (3.2): pages that the kernel keeps in place for input and output, mapped
    /// or not; not in `statm`.
    pub pinned: Option<u64>,
    /// `VmPTE`: its page tables; not in `statm`.
    pub page_tables: Option<u64>,
}

/// One walk over all mappings of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walk {
    /// The mappings in address order, without vsyscall. Shared, because a walk is
    /// kept and shown again until it is made anew.
    pub areas: Arc<[Area]>,
    /// How long before the sample it was made.
    pub age: Duration,
    /// The pages of private anonymous mappings that are in memory (`pagemap`); `None`
    /// where they were not asked for.
    pub resident: Option<Fact<Ranges>>,
    /// Where the stacks of threads are; `None` where that was not asked for.
    pub stacks: Option<Fact<Stacks>>,
    /// Names of the mappings that hold most, in the order of the areas.
    pub named: Arc<[Named]>,
}

/// Address ranges, `start..end`, in order and apart from one another.
pub type Ranges = Arc<[(u64, u64)]>;

/// Where the stacks of threads are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stacks {
    /// Stack pointers of threads that waited, in order.
    pub pointers: Arc<[u64]>,
    /// Threads that ran, whose stack pointers are not known.
    pub running: usize,
    /// Where the descriptors of threads stand in whose stacks no pointer is known: they are no
    /// more, or they ran.
    pub left: Arc<[u64]>,
}

/// What tells a mapping from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Which of the walk's areas it is.
    pub area: usize,
    /// `rwxp`, with `-` for a right that is not given and `s` for shared.
    pub access: [u8; 4],
    /// Path or `[name]`, made printable and of bounded length; empty without one.
    pub name: Box<str>,
    /// Which part of a file it maps, if any.
    pub file: Option<FileRange>,
}

/// Where in a file a mapping begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRange {
    /// Device number, major and minor.
    pub device: (u32, u32),
    /// Inode on it.
    pub inode: u64,
    /// First byte.
    pub offset: u64,
}

/// The machine at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSample {
    /// `/proc/meminfo`.
    pub meminfo: Fact<Meminfo>,
    /// Free pages on per-CPU lists: the `count` lines of `/proc/zoneinfo`.
    pub pcp: Fact<u64>,
    /// Socket buffers: `/proc/net/sockstat`.
    pub sock: Fact<SocketBuffers>,
    /// `/proc/vmstat`.
    pub vmstat: Fact<Vmstat>,
    /// Huge pages of every size: `/sys/kernel/mm/hugepages`.
    pub huge_pages: Fact<Vec<HugePages>>,
    /// Processors of the machine.
    pub cpus: u32,
}

/// What socket buffers cost (`truesize`), in bytes, in all network namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SocketBuffers {
    /// TCP: hardly any of it is slab.
    pub tcp: u64,
    /// UDP: what came over loopback is slab, and is counted there too.
    pub udp: u64,
    /// IP fragments that wait for their others.
    pub fragments: u64,
}

impl SocketBuffers {
    /// All of them.
    pub fn sum(self) -> u64 {
        self.tcp.saturating_add(self.udp).saturating_add(self.fragments)
    }
}

/// What only `/proc/vmstat` tells, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vmstat {
    /// `nr_zspages`: `None` without `CONFIG_ZSMALLOC`.
    pub zspages: Option<u64>,
    /// `nr_balloon_pages` (6.18), else `balloon_inflate - balloon_deflate`; `None` without
    /// `CONFIG_MEMORY_BALLOON`.
    pub balloon: Option<u64>,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HugePages {
    /// The size of one.
    pub size: u64,
    /// `nr_hugepages`: set aside, surplus ones among them.
    pub total: u64,
    /// `free_hugepages`: of `total`, what no program uses.
    pub free: u64,
    /// `resv_hugepages`: of `free`, what is promised to programs.
    pub reserved: u64,
}

/// `/proc/meminfo`, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the fields carry the kernel's names")]
pub struct Meminfo {
    pub mem_total: u64,
    pub mem_free: u64,
    /// From 3.14.
    pub mem_available: Option<u64>,
    pub buffers: u64,
    pub cached: u64,
    pub active_anon: u64,
    pub inactive_anon: u64,
    pub active_file: u64,
    pub inactive_file: u64,
    pub unevictable: u64,
    pub mlocked: u64,
    pub anon_pages: u64,
    pub shmem: u64,
    /// Of `slab`.
    pub s_reclaimable: u64,
    pub s_unreclaim: u64,
    /// Within `vmalloc_used` where stacks are mapped (`CONFIG_VMAP_STACK`).
    pub kernel_stack: u64,
    pub page_tables: u64,
    /// From 6.0.
    pub sec_page_tables: Option<u64>,
    /// Figure is 0 before 5.3.
    pub vmalloc_used: u64,
    /// From 4.20.
    pub percpu: Option<u64>,
    /// All huge page sizes together: `Hugetlb` (4.18), bytes set aside.
    pub hugetlb: Option<u64>,
    /// Huge pages of the default size: `HugePages_*` times `Hugepagesize`.
    pub huge_pages: Option<HugePages>,
    /// `KReclaimable` (4.20): `s_reclaimable` and what drivers can drop.
    pub k_reclaimable: Option<u64>,
    /// `Zswap` (5.19): the compressed pool of zswap.
    pub zswap: Option<u64>,
    pub swap_total: u64,
    pub swap_free: u64,
}

/// Everything of a machine at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineSample {
    /// The host's figures.
    pub host: HostSample,
    /// Every cgroup with a memory controller, parents too.
    pub cgroups: Fact<Vec<CgroupSample>>,
    /// Every process.
    pub processes: Vec<ProcessSample>,
}

impl ProcessSample {
    /// A process of which nothing could be read, for the reason given.
    pub fn missing(pid: u32, why: &Missing) -> Self {
        Self {
            pid,
            name: String::new(),
            kind: ProcessKind::User,
            counters: Err(why.clone()),
            walk: Err(why.clone()),
            lazily_freed: None,
            one_memory: None,
            claims: Vec::new(),
            runtimes: Vec::new(),
            cgroup: Err(why.clone()),
        }
    }
}

impl Stacks {
    /// Threads that were asked.
    pub fn threads(&self) -> usize {
        self.pointers.len().saturating_add(self.running)
    }

    /// How many stack pointers lie in `start..end`.
    pub fn within(&self, start: u64, end: u64) -> usize {
        let before = |address: u64| self.pointers.partition_point(|pointer| *pointer < address);
        before(end).saturating_sub(before(start))
    }

    /// Whether the descriptor of such a thread stands in `start..end`.
    pub fn is_left(&self, start: u64, end: u64) -> bool {
        self.left.iter().any(|at| (start..end).contains(at))
    }
}
