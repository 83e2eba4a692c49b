//! Memory that the kernel holds for programs, where it is much: by its greatest part, and what
//! makes it grow. No RSS shows any of it.

use super::{Confidence, Finding, Severity, Subject, confidence};
use crate::account::{Account, KERNEL};
use crate::figure::{Figure, signed};
use crate::kernel_memory::OfProcesses;
use crate::sample::CgroupVersion;
use crate::size::iec;
use crate::{CgroupLedger, ProcessLedger};

pub const ID: &str = "kernel-memory";

/// Every process has some: less is not worth a look.
const LEAST: i64 = 16 << 20;

/// Parts below this are not listed.
const LISTED: i64 = 1 << 20;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    match subject {
        Subject::Process(process) => of_process(process),
        Subject::Cgroup(cgroup) => of_cgroup(cgroup),
        Subject::Host(_) => None,
    }
}

/// Whether it is a quarter of what other figures show, or more.
fn is_much(bytes: i64, whole: i64) -> bool {
    bytes >= LEAST && bytes >= whole / 4
}

/// Page tables and the stacks of its threads in the kernel, which are in no RSS.
fn of_process(process: &ProcessLedger) -> Option<Finding> {
    let of = OfProcesses::of(process)?;
    let (tables, stacks) = (signed(of.page_tables), signed(of.stacks()));
    let (bytes, rss) = (tables.saturating_add(stacks), process.headline.rss.point()?);
    is_much(bytes, rss).then(|| {
        let cause = if tables >= stacks { &TABLES } else { &STACKS };
        let evidence = vec![
            format!("page tables {} (VmPTE)", iec(tables)),
            format!("{} threads with stacks of {} in the kernel", of.threads, iec(stacks)),
            format!("RSS {}", iec(rss)),
        ];
        Finding {
            id: ID,
            bytes: Figure::Exact(bytes),
            severity: Severity::Info,
            confidence: Confidence::Likely,
            brief: format!("it costs {} of kernel memory beside its RSS", iec(bytes)),
            summary: format!(
                "{} of kernel memory are held for it, beside an RSS of {}: mostly {}, {}",
                iec(bytes),
                iec(rss),
                cause.what,
                cause.driver
            ),
            evidence,
            is_not: "part of its RSS, PSS or USS: the kernel counts it apart from a program's memory",
            remedy: cause.remedy.into(),
        }
    })
}

fn of_cgroup(cgroup: &CgroupLedger) -> Option<Finding> {
    let (ledger, usage) = (&cgroup.ledger, cgroup.headline.usage.point()?);
    // What was swapped out is memory of programs, compressed.
    let accounts = || {
        let kernel = KERNEL.iter().filter(|account| **account != Account::Zswap);
        [Account::SlabReclaimable].into_iter().chain(kernel.copied())
    };
    let point = accounts().fold(0i64, |sum, a| sum.saturating_add(ledger.booked(a)));
    if !is_much(point, usage) {
        return None;
    }
    let bytes = accounts().fold(Figure::Absent, |sum, a| sum.plus(ledger.figure(a)));
    let (cause, evidence) = match cgroup.version {
        CgroupVersion::V1 => of_sum(point, cgroup.kernel_of_processes),
        CgroupVersion::V2 => {
            let mut parts: Vec<_> = accounts().map(|a| (ledger.booked(a), a)).collect();
            parts.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
            let listed = parts.iter().filter(|(bytes, _)| *bytes >= LISTED);
            let evidence = listed.map(|(b, a)| format!("{} {}", a.name(), iec(*b))).collect();
            (parts.first().map_or(&OTHER, |(_, account)| cause(*account)), evidence)
        }
    };
    Some(Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: confidence(bytes),
        brief: format!("{} of usage are the kernel's for it, mostly {}", iec(point), cause.what),
        summary: format!(
            "{} of {} usage are kernel memory, mostly {}, {}",
            iec(point),
            iec(usage),
            cause.what,
            cause.driver
        ),
        evidence,
        is_not: cause.is_not,
        remedy: cause.remedy.into(),
    })
}

/// v1 tells one sum. What it mostly is, is known where processes' counters explain half of it.
fn of_sum(kernel: i64, known: Option<OfProcesses>) -> (&'static Cause, Vec<String>) {
    let mut evidence = vec![format!("memory.kmem.usage_in_bytes {}", iec(kernel))];
    let Some(known) = known else { return (&UNTOLD, evidence) };
    let (tables, stacks) = (signed(known.page_tables), signed(known.stacks()));
    evidence.push(format!(
        "by its processes' counters {} page tables and {} stacks of {} threads",
        iec(tables),
        iec(stacks),
        known.threads
    ));
    let cause = if tables.max(stacks) < kernel / 2 {
        &UNTOLD
    } else if tables >= stacks {
        &TABLES
    } else {
        &STACKS
    };
    (cause, evidence)
}

/// What a part of the kernel's memory is.
struct Cause {
    what: &'static str,
    /// What makes it grow.
    driver: &'static str,
    is_not: &'static str,
    remedy: &'static str,
}

const NEEDED: &str = "memory of a program, so no RSS shows it; nor a cache: a limit has to hold it";

const DROPPED: &str = "memory.reclaim (v2 from Linux 5.19) or memory.force_empty (v1) of the cgroup has the kernel drop at once what it can, page cache among it, and swap out where there is swap";

const DENTRIES: Cause = Cause {
    what: "caches that it can drop",
    driver: "directory entries and inodes of files that were looked up, be they there or not",
    is_not: "memory that a limit has to hold: of it the kernel drops what nobody uses before it kills",
    remedy: DROPPED,
};

const OBJECTS: Cause = Cause {
    what: "objects that it can not drop",
    driver: "which open files and sockets, mappings, threads and processes have",
    is_not: NEEDED,
    remedy: "close what is open, or have fewer processes, threads and mappings: it is freed with them",
};

const STACKS: Cause = Cause {
    what: "stacks of threads in the kernel",
    driver: "of one size for each thread, whatever it does",
    is_not: NEEDED,
    remedy: "have fewer threads: it is freed when they end",
};

const TABLES: Cause = Cause {
    what: "page tables",
    driver: "as of memory that is touched far apart, only read, or mapped by each of many processes",
    is_not: NEEDED,
    remedy: "unmap (munmap) what is not needed, or have fewer processes that map the same: it is freed with the mapping",
};

const PERCPU: Cause = Cause {
    what: "per-CPU allocations",
    driver: "such as of cgroups and BPF maps, in as many copies as there can be processors",
    is_not: NEEDED,
    remedy: "have fewer of what it is of: it is freed with them",
};

const VMALLOC: Cause = Cause {
    what: "vmalloc areas",
    driver: "large tables of the kernel, such as BPF programs and packet filters",
    is_not: NEEDED,
    remedy: "have less of what it is of: it is freed with it",
};

const OTHER: Cause = Cause {
    what: "kernel memory that memory.stat does not name",
    driver: "such as what waits in pipes",
    is_not: NEEDED,
    remedy: "where it is pipes, read or close them",
};

const UNTOLD: Cause = Cause {
    what: "of a kind that cgroup v1 does not tell",
    driver: "often directory entries and inodes of files that were looked up, which the kernel drops when it needs to",
    is_not: "memory of a program, so no RSS shows it; how much of it a limit has to hold is not known",
    remedy: DROPPED,
};

fn cause(account: Account) -> &'static Cause {
    match account {
        Account::SlabReclaimable => &DENTRIES,
        Account::SlabUnreclaimable => &OBJECTS,
        Account::KernelStack => &STACKS,
        Account::PageTables => &TABLES,
        Account::Percpu => &PERCPU,
        Account::Vmalloc => &VMALLOC,
        _ => &OTHER,
    }
}
