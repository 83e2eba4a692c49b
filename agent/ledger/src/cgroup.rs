//! Laws C1 to C3: the ledger of one cgroup, from in use to usage.

use std::time::Duration;

use crate::absence::{self, Absence};
use crate::account::{ANONYMOUS, Account, Scope};
use crate::cuts::{self, CgroupHeadline};
use crate::fact::{Missing, MissingKind};
use crate::figure::{Figure, signed};
use crate::identity::Identity;
use crate::ledger::Ledger;
use crate::lru::{self, Lists};
use crate::process::ProcessLedger;
use crate::sample::{CgroupSample, CgroupVersion, MemoryStat, ProcessKind};

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
    let headline = cuts::headline(sample, &ledger, lru_lazy, members);
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
    let absent = absences(sample, &ledger, members);
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
    let age = members.iter().flat_map(|m| m.ledger.entries()).map(|e| e.age).max();
    let age = age.unwrap_or(Duration::ZERO);
    let mut held = 0i64;
    for account in ANONYMOUS {
        let figure = held_by(members, *account, stat);
        held = held.saturating_add(figure.point().unwrap_or(0));
        ledger.book(*account, figure, "smaps", age);
    }
    let moved = Figure::Exact(bracket.saturating_sub(held));
    ledger.book(Account::MovedCharges, moved, "memory.stat", age);
}

/// What the members are charged on one account. Where only some tell, what they
/// tell is the least; where none does, a residual account holds nothing and any
/// other is absent.
fn held_by(members: &[&ProcessLedger], account: Account, stat: &MemoryStat) -> Figure {
    let mut sum = 0i64;
    let (mut told, mut exact) = (0, true);
    // Kernel threads and zombies hold nothing.
    let users = members.iter().filter(|m| m.kind == ProcessKind::User);
    let count = users.clone().count();
    for member in users {
        if let Some((_, charged)) = member.charged.iter().find(|(a, _)| *a == account) {
            sum = sum.saturating_add(*charged);
            told += 1;
            exact &= matches!(member.ledger.figure(account), Figure::Exact(_));
        }
    }
    match told {
        0 if account.is_residual() || (count == 0 && !account.is_from_books()) => Figure::Exact(0),
        0 => Figure::Absent,
        n if n == count && exact => Figure::Exact(sum),
        _ => Figure::interval(0, sum, signed(stat.anon)),
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

fn usage_file(sample: &CgroupSample) -> &'static str {
    match sample.version {
        CgroupVersion::V1 => "memory.usage_in_bytes",
        CgroupVersion::V2 => "memory.current",
    }
}

/// Why no member tells an account: one reason stands for all.
fn untold<'a>(members: &[&'a ProcessLedger], account: Account) -> Option<&'a Missing> {
    let reasons = members.iter().flat_map(|m| &m.absent).filter(|a| a.what == account.name());
    reasons.map(|a| &a.missing).min_by_key(|m| (m.kind, &m.why))
}

fn absences(sample: &CgroupSample, ledger: &Ledger, members: Members<'_>) -> Vec<Absence> {
    let mut absent = Vec::new();
    absence::note(&mut absent, "usage", &sample.usage);
    absence::note(&mut absent, "limit", &sample.limit);
    absence::note(&mut absent, "stat", &sample.stat);
    if let Err(missing) = members {
        absent.push(Absence::new("processes", missing));
    }
    let unread = Missing::absent("no allocator's or runtime's books were read for its processes");
    if members.is_ok_and(|m| m.iter().all(|p| p.in_use.is_none())) || members.is_err() {
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
        _ if account.is_from_books() => Some(&unread),
        _ if ANONYMOUS.contains(&account) || account == Account::MovedCharges => {
            members.map_or_else(Some, |m| untold(m, account))
        }
        _ => Some(&silent),
    });
    absent
}
