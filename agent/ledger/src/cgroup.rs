//! Laws C1 to C3: the ledger of one cgroup, from in use to usage.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::account::{ANONYMOUS, Account, Scope};
use crate::fact::{Fact, Missing, MissingKind};
use crate::figure::{Figure, signed};
use crate::identity::Identity;
use crate::ledger::{Absence, Ledger};
use crate::lru::{self, Lists};
use crate::process::ProcessLedger;
use crate::sample::{CgroupSample, CgroupVersion, MemoryStat};

/// What one cgroup's memory is.
#[derive(Debug, Clone, PartialEq)]
pub struct CgroupLedger {
    /// Path below the memory hierarchy's mount.
    pub path: String,
    /// Which interface it was read through.
    pub version: CgroupVersion,
    /// What the path says that it is.
    pub identity: Identity,
    /// Whether no cgroup stands below it: only leaves may be summed over a node.
    pub leaf: bool,
    /// The figures that operators know, and ours.
    pub headline: CgroupHeadline,
    /// What was lazily freed at some time and is still on the file lists.
    pub lru_lazy: Figure,
    /// `inactive_file`: what the working set leaves out.
    pub inactive_file: Figure,
    /// The accounts, which sum to the usage.
    pub ledger: Ledger,
    /// How many processes it holds, where they could be listed.
    pub processes: Option<usize>,
    /// Whose books were read in its processes.
    pub runtimes: Vec<String>,
    /// What could not be read, and why.
    pub absent: Vec<Absence>,
}

/// The headline figures of a cgroup: cuts through one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CgroupHeadline {
    /// `memory.current`.
    pub usage: Figure,
    /// Law C2, as cAdvisor and the kubelet compute it.
    pub working_set: Figure,
    /// Live memory that the working set leaves out.
    pub working_set_hidden: Figure,
    /// Law C3: what a limit really has to hold.
    pub required: Figure,
    /// The limit; `None` where there is none or it was not read.
    pub limit: Option<u64>,
    /// In use by the books of its processes' allocators and runtimes.
    pub in_use: Figure,
    /// Share of the anonymous memory that such books claim, 0 to 1.
    pub in_use_coverage: Option<f64>,
}

/// The ledgers of the processes in a cgroup and below it, or why there are none.
pub type Members<'a> = Result<&'a [&'a ProcessLedger], &'a Missing>;

/// Makes the ledger of a cgroup from its sample and its processes' ledgers.
pub fn ledger(sample: &CgroupSample, members: Members<'_>) -> CgroupLedger {
    let mut ledger = Ledger::empty(Scope::Cgroup);
    let stat = sample.stat.as_ref().ok();
    let lru_lazy = stat.map_or(Figure::Absent, |s| lru::lazy(&lists(s, sample.cpus)));
    let lazy = stat.map_or(Figure::Absent, |s| lazy_free(s, lru_lazy, members));

    if let Some(stat) = stat {
        book_anonymous(&mut ledger, stat, lazy, members);
        book_lists(&mut ledger, stat);
        book_kernel(&mut ledger, stat, sample);
    }
    let headline = headline(sample, &ledger, lru_lazy, members);
    if let Some(usage) = headline.usage.point() {
        let residual = usage.saturating_sub(ledger.total());
        ledger.book(
            Account::ChargeResidual,
            Figure::Exact(residual),
            usage_file(sample),
            Duration::ZERO,
        );
    }
    let mut runtimes: Vec<String> =
        members.iter().flat_map(|m| m.iter()).flat_map(|p| p.runtimes.iter().cloned()).collect();
    runtimes.sort_unstable();
    runtimes.dedup();
    CgroupLedger {
        path: sample.path.clone(),
        version: sample.version,
        identity: Identity::of_path(&sample.path, sample.names.clone()),
        leaf: sample.leaf,
        headline,
        lru_lazy,
        inactive_file: stat.map_or(Figure::Absent, |s| Figure::exact(s.inactive_file)),
        ledger,
        processes: members.ok().map(<[_]>::len),
        runtimes,
        absent: absences(sample, members),
    }
}

impl CgroupLedger {
    /// How far the points can be from closing without anything being wrong:
    /// 512 KiB a processor, measured.
    pub fn residual_bound(cpus: u32) -> u64 {
        u64::from(cpus) * (512 << 10)
    }
}

fn lists(stat: &MemoryStat, cpus: u32) -> Lists {
    Lists {
        file_lists: stat.inactive_file.saturating_add(stat.active_file),
        page_cache: stat.file.saturating_sub(stat.shmem),
        anon: stat.anon,
        unevictable: stat.unevictable,
        cpus,
    }
}

/// What is lazily freed now: what walks saw where they saw every process, else
/// at most what the lists hold.
fn lazy_free(stat: &MemoryStat, lru_lazy: Figure, members: Members<'_>) -> Figure {
    let Some((_, high)) = lru_lazy.bounds() else { return Figure::Absent };
    let anon = signed(stat.anon);
    let Ok(members) = members else {
        return Figure::interval(0, lru_lazy.point().unwrap_or(0), high);
    };
    let walked = members
        .iter()
        .fold(0i64, |sum, p| sum.saturating_add(p.ledger.booked(Account::LazyFree)))
        .clamp(0, anon);
    let fresh = members.iter().all(|p| {
        let entry = p.ledger.entries().iter().find(|e| e.account == Account::LazyFree);
        entry.is_some_and(|e| e.figure != Figure::Absent && e.age == Duration::ZERO)
    });
    if fresh && !members.is_empty() {
        return Figure::Exact(walked);
    }
    let high = high.max(0).min(anon);
    Figure::interval(0, lru_lazy.point().unwrap_or(0).min(high), high)
}

/// The bracket of C1: anonymous memory less what is lazily freed, split by the
/// processes' ledgers; what no process holds are moved charges.
fn book_anonymous(ledger: &mut Ledger, stat: &MemoryStat, lazy: Figure, members: Members<'_>) {
    let bracket = signed(stat.anon).saturating_sub(lazy.point().unwrap_or(0));
    ledger.book(Account::LazyFree, lazy, "memory.stat", Duration::ZERO);
    let members = match members {
        Ok(members) => members,
        Err(missing) => {
            let denied = missing.kind == MissingKind::Denied;
            let account = if denied { Account::Unreadable } else { Account::HeapUnprobed };
            ledger.book(account, Figure::Exact(bracket), "memory.stat", Duration::ZERO);
            return;
        }
    };
    let mut sums: BTreeMap<Account, (i64, bool)> = BTreeMap::new();
    let mut age = Duration::ZERO;
    for member in members {
        for (account, charged) in &member.charged {
            let exact = matches!(member.ledger.figure(*account), Figure::Exact(_));
            let sum = sums.entry(*account).or_insert((0, true));
            *sum = (sum.0.saturating_add(*charged), sum.1 && exact);
        }
        age = member.ledger.entries().iter().fold(age, |age, e| age.max(e.age));
    }
    let mut held = 0i64;
    for account in ANONYMOUS {
        if let Some((sum, exact)) = sums.get(account) {
            held = held.saturating_add(*sum);
            let bound = signed(stat.anon).max(*sum);
            let figure =
                if *exact { Figure::Exact(*sum) } else { Figure::interval(0, *sum, bound) };
            ledger.book(*account, figure, "smaps", age);
        }
    }
    let moved = Figure::Exact(bracket.saturating_sub(held));
    ledger.book(Account::MovedCharges, moved, "memory.stat", age);
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
    let (kernel, source) = match (sample.version, stat.kernel) {
        (CgroupVersion::V1, _) if sample.root => (None, ""),
        (CgroupVersion::V1, _) => {
            (sample.kmem.as_ref().ok().map(|k| Figure::exact(*k)), "memory.kmem.usage_in_bytes")
        }
        (CgroupVersion::V2, Some(kernel)) => {
            let rest = kernel.saturating_sub(stat.slab_reclaimable.unwrap_or(0));
            (Some(Figure::exact(rest)), "memory.stat")
        }
        (CgroupVersion::V2, None) => (kernel_parts(stat, sample), "memory.stat"),
    };
    book(Account::Kernel, kernel, source);
    book(Account::SlabReclaimable, stat.slab_reclaimable.map(Figure::exact), "memory.stat");
    book(Account::Sock, stat.sock.map(Figure::exact), "memory.stat");
    book(Account::Hugetlb, stat.hugetlb.map(Figure::exact), "memory.stat");
}

/// Before 5.18 the kernel names some parts only: a lower bound.
fn kernel_parts(stat: &MemoryStat, sample: &CgroupSample) -> Option<Figure> {
    let parts = [stat.slab_unreclaimable, stat.kernel_stack, stat.percpu, stat.pagetables];
    if parts.iter().all(Option::is_none) {
        return None;
    }
    let sum = parts.iter().flatten().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    let high = sample.usage.as_ref().map_or(sum, |usage| sum.max(*usage));
    Some(Figure::interval(signed(sum), signed(sum), signed(high)))
}

fn headline(
    sample: &CgroupSample,
    ledger: &Ledger,
    lru_lazy: Figure,
    members: Members<'_>,
) -> CgroupHeadline {
    let usage = sample.usage.as_ref().ok().copied();
    let stat = sample.stat.as_ref().ok();
    let members = members.unwrap_or_default();
    let in_use = members.iter().fold(Figure::Absent, |sum, p| sum.plus(p.headline.in_use));
    CgroupHeadline {
        usage: usage.map_or(Figure::Absent, Figure::exact),
        working_set: match (usage, stat) {
            (Some(usage), Some(stat)) => Figure::exact(usage.saturating_sub(stat.inactive_file)),
            _ => Figure::Absent,
        },
        working_set_hidden: hidden(lru_lazy, ledger.figure(Account::LazyFree)),
        required: match (usage, stat) {
            (Some(usage), Some(stat)) => required(usage, stat, sample, ledger, members),
            _ => Figure::Absent,
        },
        limit: sample.limit.as_ref().ok().copied().flatten(),
        in_use,
        in_use_coverage: (in_use != Figure::Absent).then(|| coverage(ledger)),
    }
}

/// `lru_lazy - lazy_free`: pages on the file lists that were written again.
fn hidden(lru_lazy: Figure, lazy: Figure) -> Figure {
    let (Some(point), Some(lazy_point)) = (lru_lazy.point(), lazy.point()) else {
        return Figure::Absent;
    };
    let (Some((low, high)), Some((lazy_low, lazy_high))) = (lru_lazy.bounds(), lazy.bounds())
    else {
        return Figure::Absent;
    };
    let at_least_0 = |bytes: i64| bytes.max(0);
    Figure::interval(
        at_least_0(low.saturating_sub(lazy_high)),
        at_least_0(point.saturating_sub(lazy_point)),
        at_least_0(high.saturating_sub(lazy_low)),
    )
}

/// Law C3. Locked page cache can not be taken back; without a walk it is known
/// to lie between nothing and all that is unevictable.
fn required(
    usage: u64,
    stat: &MemoryStat,
    sample: &CgroupSample,
    ledger: &Ledger,
    members: &[&ProcessLedger],
) -> Figure {
    let cache = ledger.booked(Account::PageCache);
    let lazy = ledger.figure(Account::LazyFree);
    let (lazy_low, lazy_high) = lazy.bounds().unwrap_or((0, 0));
    let locked_high = signed(stat.unevictable).min(cache);
    let walked = members.iter().fold(Figure::Absent, |sum, p| sum.plus(p.locked_file));
    let locked = walked.point().unwrap_or(0).min(locked_high);
    let slab = ledger.booked(Account::SlabReclaimable);
    let base = signed(usage).saturating_sub(cache).saturating_sub(slab);
    // v1 does not say how much of the kernel's memory can be dropped.
    let unsplit = stat.slab_reclaimable.is_none();
    let slab_high = if unsplit { ledger.booked(Account::Kernel).max(0) } else { 0 };
    // Pages that are also in the swap area go without being written.
    let swaps = !matches!(sample.swap_limit, Ok(Some(0)));
    let swapcache = if swaps { signed(stat.swapcached.unwrap_or(0)) } else { 0 };
    let low = base.saturating_sub(lazy_high).saturating_sub(slab_high).saturating_sub(swapcache);
    let point = base.saturating_sub(lazy.point().unwrap_or(0)).saturating_add(locked);
    let high = base.saturating_sub(lazy_low).saturating_add(locked_high);
    Figure::interval(low.max(0), point.max(0), high.max(0))
}

/// The share of the anonymous memory, lazily freed left out, that books claim.
fn coverage(ledger: &Ledger) -> f64 {
    let all = ledger.sum(ANONYMOUS).max(1);
    let unknown = ledger.sum(&[Account::HeapUnprobed, Account::Unexplained, Account::Unreadable]);
    ((all.saturating_sub(unknown)) as f64 / all as f64).clamp(0.0, 1.0)
}

fn usage_file(sample: &CgroupSample) -> &'static str {
    match sample.version {
        CgroupVersion::V1 => "memory.usage_in_bytes",
        CgroupVersion::V2 => "memory.current",
    }
}

fn absences(sample: &CgroupSample, members: Members<'_>) -> Vec<Absence> {
    fn note<T>(absent: &mut Vec<Absence>, what: &'static str, fact: &Fact<T>) {
        if let Err(missing) = fact {
            absent.push(Absence::new(what, missing));
        }
    }
    let mut absent = Vec::new();
    note(&mut absent, "usage", &sample.usage);
    note(&mut absent, "limit", &sample.limit);
    note(&mut absent, "stat", &sample.stat);
    if let Err(missing) = members {
        absent.push(Absence::new("processes", missing));
    }
    if sample.version == CgroupVersion::V1 && !sample.root {
        note(&mut absent, "kernel", &sample.kmem);
        let missing = Missing::absent(
            "cgroup v1 does not say which kernel memory can be dropped, nor what sockets hold",
        );
        absent.push(Absence::new("slab_reclaimable", &missing));
        absent.push(Absence::new("sock", &missing));
    }
    if !members.is_ok_and(|m| m.iter().any(|p| !p.runtimes.is_empty())) {
        let missing =
            Missing::absent("no allocator's or runtime's books were read for its processes");
        absent.push(Absence::new("in_use", &missing));
    }
    absent
}
