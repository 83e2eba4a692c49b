//! Laws C1 to C3: the ledger of one cgroup, from in use to usage.

use std::time::Duration;

use crate::absence::{self, Absence};
use crate::account::{ANONYMOUS, Account, Scope};
use crate::behind::Behind;
use crate::busy_gc::BusyGc;
use crate::elsewhere::{self, Elsewhere};
use crate::events::Events;
use crate::fact::{Fact, Missing};
use crate::figure::{Figure, signed};
use crate::headline::{self, CgroupHeadline, Cuts};
use crate::held::SharedHeld;
use crate::identity::Identity;
use crate::in_use::Charged;
use crate::kernel_memory::OfProcesses;
use crate::ledger::Ledger;
use crate::lru::{self, Lists};
use crate::members::{self, Members, Sum, Sums};
use crate::outlook::Outlook;
use crate::retained::Retained;
use crate::room::Room;
use crate::sample::{CgroupSample, CgroupVersion, MemoryStat};
use crate::sockets::SocketQueues;

/// What one cgroup's memory is.
#[derive(Debug, Clone, PartialEq)]
pub struct CgroupLedger {
    /// Path below the memory hierarchy's mount.
    pub path: String,
    /// Which interface it was read through.
    pub version: CgroupVersion,
    /// What the path says that it is.
    pub identity: Identity,
    /// Whether it is the root of the hierarchy.
    pub root: bool,
    /// Whether no cgroup stands below it: only leaves may be summed over a node.
    pub leaf: bool,
    /// The figures that operators know, and ours.
    pub headline: CgroupHeadline,
    /// Whether the headline's limit is that of its pod, for want of one of its own.
    pub limit_is_pods: bool,
    /// How much of it may be in the swap area.
    pub swap_limit: Fact<Option<u64>>,
    /// What happened at its limits.
    pub events: Events,
    /// What it can still allocate: see [`crate::limits::settle`].
    pub room: Fact<Room>,
    /// What was lazily freed at some time and is still on the file lists.
    pub lru_lazy: Figure,
    /// Page cache that reclaim can not take: locked by whomever, or of ramfs.
    pub locked_cache: Figure,
    /// `inactive_file`: what the working set leaves out.
    pub inactive_file: Figure,
    /// `active_file`: page cache that was read more than once, and lazily freed memory that
    /// was written again.
    pub active_file: Figure,
    /// The accounts, which sum to the usage.
    pub ledger: Ledger,
    /// What is known of its kernel memory by its processes' own counters.
    pub kernel_of_processes: Option<OfProcesses>,
    /// What its processes have in use, by runtime or allocator, and what of it takes no
    /// memory.
    pub in_use: Option<Charged>,
    /// What of in use was allocated since the last garbage collections, as far as they tell.
    pub since_gc: i64,
    /// How many processes it holds, where they could be listed.
    pub processes: Option<usize>,
    /// Names of the runtimes and allocators whose heap statistics were read in its processes.
    pub runtimes: Vec<String>,
    /// Names of those whose heap statistics were not read.
    pub unread: Vec<String>,
    /// Of its processes' garbage collectors the one that ran most often lately.
    pub busiest_gc: Option<BusyGc>,
    /// What their allocators and runtimes could give back, of those who tell.
    pub retained: Option<Retained>,
    /// What these keep free in pages with memory in use.
    pub pinned: Option<Retained>,
    /// Shared memory that it is charged for beyond all that its processes map; `None` where not
    /// all of them were walked.
    pub shmem_unmapped: Option<u64>,
    /// What its processes map of other cgroups' pages, where one of them was walked.
    pub elsewhere: Option<Elsewhere>,
    /// How much its processes' memory changed while it was read.
    pub churned: u64,
    /// What waits in its processes' sockets; `None` where that was not asked for.
    pub sockets: Option<Fact<SocketQueues>>,
    /// Who holds shared memory that is not mapped; `None` where that was not asked for.
    pub held: Option<Fact<SharedHeld>>,
    /// What is said of it because it was watched; empty where it was read once.
    pub outlook: Outlook,
    /// What could not be read, and why.
    pub absent: Vec<Absence>,
}

/// Makes the ledger of a cgroup from its sample and its processes' ledgers.
pub fn ledger(sample: &CgroupSample, members: Members<'_>) -> CgroupLedger {
    let sum = members.map(|members| Sum::of(members.iter().copied()));
    of_sum(sample, sum.as_ref().map_err(|missing| *missing))
}

/// The root is charged for what other cgroups, that are no more, have left.
fn shmem_unmapped(ledger: &Ledger, is_root: bool, sum: Option<&Sum>) -> Option<u64> {
    let charged = u64::try_from(ledger.figure(Account::Shmem).point()?).ok()?;
    let unmapped = charged.saturating_sub(sum?.shmem_space()?);
    (!is_root).then_some(unmapped)
}

/// Makes it from its sample and what its processes sum up to.
pub(crate) fn of_sum(sample: &CgroupSample, members: Sums<'_>) -> CgroupLedger {
    let mut ledger = Ledger::empty(Scope::Cgroup);
    let stat = sample.stat.as_ref().ok();
    let lists = stat.map(|s| lists(s, sample, members));
    let lru_lazy = lists.as_ref().map_or(Figure::Absent, lru::lazy);
    let locked_cache = lists.as_ref().map_or(Figure::Absent, lru::kept_cache);
    let lazy = stat.map_or(Figure::Absent, |s| members::lazy_free(s, lru_lazy, members));

    if let Some(stat) = stat {
        members::book(&mut ledger, stat, lazy, members);
        book_lists(&mut ledger, stat);
        book_kernel(&mut ledger, stat, sample);
    }
    let sum = members.ok();
    let kernel_of_processes = sum.and_then(|sum| sum.kernel);
    let kernel_needed =
        kernel_of_processes.map_or(0, |of| of.page_tables.saturating_add(of.stacks()));
    let behind = book_residual(&mut ledger, sample);
    members::bound_moved(&mut ledger, behind, sample.churned);
    let cuts = Cuts { lru_lazy, locked_cache, kernel_needed, behind };
    let in_use = members::in_use(members, stat.map(|stat| stat.anon));
    let headline = headline::of_cgroup(sample, &ledger, &cuts, in_use.as_ref());
    let room = Missing::absent("the cgroups above it were not read");
    let shmem_unmapped = shmem_unmapped(&ledger, sample.root, sum);
    let mut absent = absences(sample, &ledger, members);
    absent.push(Absence::new("room", &room));
    CgroupLedger {
        path: sample.path.clone(),
        version: sample.version,
        identity: Identity::of_path(&sample.path, sample.names.clone()),
        root: sample.root,
        leaf: sample.leaf,
        headline,
        limit_is_pods: sample.limit_is_pods,
        swap_limit: sample.swap_limit.clone(),
        events: sample.events.clone(),
        room: Err(room),
        lru_lazy,
        locked_cache,
        inactive_file: stat.map_or(Figure::Absent, |s| Figure::exact(s.inactive_file)),
        active_file: stat.map_or(Figure::Absent, |s| Figure::exact(s.active_file)),
        ledger,
        kernel_of_processes,
        in_use,
        since_gc: sum.map_or(0, |sum| sum.since_gc),
        processes: sum.map(|sum| sum.processes),
        runtimes: sum.iter().flat_map(|sum| &sum.runtimes).cloned().collect(),
        unread: sum.iter().flat_map(|sum| &sum.unread).cloned().collect(),
        busiest_gc: sum.and_then(|sum| sum.busiest_gc.clone()),
        retained: sum.and_then(|sum| sum.retained.clone()),
        pinned: sum.and_then(|sum| sum.pinned.clone()),
        shmem_unmapped,
        elsewhere: stat.and_then(|stat| elsewhere::of(stat, behind, members)),
        churned: sample.churned,
        sockets: None,
        held: None,
        outlook: Outlook::default(),
        absent,
    }
}

impl CgroupLedger {
    /// How far the points can be from closing without anything being wrong, given
    /// how many cgroups stand below: 512 KiB a processor, measured, for a leaf.
    /// Charges that processors hold in stock for cgroups below count in the parent
    /// too: from Linux 6.16 up to seven of 64 pages each (`NR_MEMCG_STOCK`).
    pub fn residual_bound(cpus: u32, below: usize) -> u64 {
        const OWN: u64 = 512 << 10;
        const STOCK: u64 = 256 << 10;
        let stocks = below.min(7) as u64;
        u64::from(cpus) * (OWN + stocks * STOCK)
    }
}

fn lists(stat: &MemoryStat, sample: &CgroupSample, members: Sums<'_>) -> Lists {
    let sum = members.ok();
    let known = |figure: Figure| u64::try_from(figure.point().unwrap_or(0)).unwrap_or(0);
    Lists {
        file_lists: stat.inactive_file.saturating_add(stat.active_file),
        page_cache: stat.file.saturating_sub(stat.shmem),
        anon: stat.anon,
        unevictable: stat.unevictable,
        locked_file: sum.map_or(0, |sum| known(sum.locked_file)),
        locked_other: sum.map_or(0, |sum| known(sum.locked_other)),
        unmarked_at_most: [sample.unmarked_files, stat.file_mapped]
            .into_iter()
            .flatten()
            .fold(u64::MAX, u64::min),
        lazy_seen: sum.map_or(0, |sum| known(Figure::Exact(sum.lazy_now))),
        ever_lazy: stat.ever_lazily_freed,
        cpus: sample.cpus,
    }
}

fn book_lists(ledger: &mut Ledger, stat: &MemoryStat) {
    let lru = [
        stat.inactive_anon,
        stat.active_anon,
        stat.inactive_file,
        stat.active_file,
        stat.unevictable,
    ]
    .iter()
    .fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    let off = lru.saturating_sub(stat.anon).saturating_sub(stat.file);
    for (account, bytes) in [
        (Account::PageCache, stat.file.saturating_sub(stat.shmem)),
        (Account::Shmem, stat.shmem),
        (Account::OffLru, off),
    ] {
        ledger.book(account, Figure::exact(bytes), "memory.stat", Duration::ZERO);
    }
}

fn book_kernel(ledger: &mut Ledger, stat: &MemoryStat, sample: &CgroupSample) {
    let mut book = |account, figure: Option<Figure>, source| {
        ledger.book(account, figure.unwrap_or(Figure::Absent), source, Duration::ZERO);
    };
    let parts = kernel_parts(stat);
    for (account, bytes) in parts {
        book(account, bytes.map(Figure::exact), "memory.stat");
    }
    let (kernel, source) = match (sample.version, stat.kernel) {
        (CgroupVersion::V1, _) if sample.root => (None, ""),
        (CgroupVersion::V1, _) => {
            (sample.kmem.as_ref().ok().map(|k| Figure::exact(*k)), "memory.kmem.usage_in_bytes")
        }
        (CgroupVersion::V2, Some(kernel)) => {
            let slab = stat.slab_reclaimable.unwrap_or(0);
            let rest = kernel.saturating_sub(sum(parts)).saturating_sub(slab);
            (Some(Figure::exact(rest)), "memory.stat")
        }
        (CgroupVersion::V2, None) => (unnamed(parts, sample), "memory.stat"),
    };
    book(Account::Kernel, kernel, source);
    book(Account::SlabReclaimable, stat.slab_reclaimable.map(Figure::exact), "memory.stat");
    book(Account::Sock, stat.sock.map(Figure::exact), "memory.stat");
    book(Account::Hugetlb, stat.hugetlb.map(Figure::exact), "memory.stat");
}

/// Books what closes the sum on the usage, and tells how far `memory.stat` is behind it.
fn book_residual(ledger: &mut Ledger, sample: &CgroupSample) -> Behind {
    let usage = sample.usage.as_ref().ok();
    let residual = usage.map(|usage| signed(*usage).saturating_sub(ledger.total()));
    if let Some(residual) = residual.map(Figure::Exact) {
        ledger.book(Account::ChargeResidual, residual, usage_file(sample), Duration::ZERO);
    }
    let noise = signed(CgroupLedger::residual_bound(sample.cpus, 0));
    Behind::of(residual, ledger.figure(Account::Kernel), noise)
}

/// Parts of the kernel's memory that have accounts of their own.
type KernelParts = [(Account, Option<u64>); 6];

fn kernel_parts(stat: &MemoryStat) -> KernelParts {
    let page_tables =
        stat.pagetables.map(|own| own.saturating_add(stat.sec_pagetables.unwrap_or(0)));
    [
        (Account::SlabUnreclaimable, stat.slab_unreclaimable),
        (Account::KernelStack, stat.kernel_stack),
        (Account::PageTables, page_tables),
        (Account::Percpu, stat.percpu),
        (Account::Vmalloc, stat.vmalloc),
        (Account::Zswap, stat.zswap),
    ]
}

fn sum(parts: KernelParts) -> u64 {
    parts.iter().filter_map(|(_, bytes)| *bytes).fold(0, u64::saturating_add)
}

/// Before 5.18 the kernel names some parts only: of the rest nothing is known but that
/// it is within the usage.
fn unnamed(parts: KernelParts, sample: &CgroupSample) -> Option<Figure> {
    if parts.iter().all(|(_, bytes)| bytes.is_none()) {
        return None;
    }
    let high = sample.usage.as_ref().map_or(0, |usage| usage.saturating_sub(sum(parts)));
    Some(Figure::interval(0, 0, signed(high)))
}

fn usage_file(sample: &CgroupSample) -> &'static str {
    match sample.version {
        CgroupVersion::V1 => "memory.usage_in_bytes",
        CgroupVersion::V2 => "memory.current",
    }
}

fn absences(sample: &CgroupSample, ledger: &Ledger, members: Sums<'_>) -> Vec<Absence> {
    let mut absent = Vec::new();
    absence::note(&mut absent, "usage", &sample.usage);
    absence::note(&mut absent, "limit", &sample.limit);
    absence::note(&mut absent, "stat", &sample.stat);
    absence::note(&mut absent, "swap", &sample.events.swap);
    absence::note(&mut absent, "peak", &sample.events.peak);
    if let Err(missing) = members {
        absent.push(Absence::new("processes", missing));
    }
    if let Some(denied) = members.ok().and_then(|sum| sum.denied.as_ref()) {
        absent.push(Absence::new("walk", denied));
    }
    let unread =
        Missing::absent("no allocator's or runtime's heap statistics were read for its processes");
    if !members.is_ok_and(|sum| sum.is_read) {
        absent.push(Absence::new("in_use", &unread));
    }
    let silent = Missing::absent(match sample.version {
        CgroupVersion::V1 => "cgroup v1 does not report it",
        CgroupVersion::V2 => "this kernel's memory.stat does not report it",
    });
    absence::of_accounts(&mut absent, ledger, |account| match account {
        _ if sample.stat.is_err() => sample.stat.as_ref().err(),
        Account::Kernel if sample.version == CgroupVersion::V1 => {
            Some(sample.kmem.as_ref().err().unwrap_or(&silent))
        }
        Account::ChargeResidual => sample.usage.as_ref().err(),
        _ if account.is_from_statistics() => Some(&unread),
        _ if ANONYMOUS.contains(&account)
            || matches!(account, Account::Skew | Account::MovedCharges) =>
        {
            members.map_or_else(Some, |sum| sum.unreported(account))
        }
        _ => Some(&silent),
    });
    absent
}
