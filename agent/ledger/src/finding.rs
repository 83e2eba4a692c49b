//! Findings: named diagnoses with bytes, evidence, confidence and remedy.
//!
//! One file below `finding/` is one diagnosis; [`ALL`] is the only list.

use std::borrow::Cow;
use std::cmp::Reverse;

use crate::{CgroupLedger, Figure, HostLedger, ProcessLedger};

mod address_space;
mod ancestor_limit;
mod ballast;
mod balloon;
mod charged_elsewhere;
mod compressed_swap;
mod copy_on_write;
mod fragmentation;
mod gc_churn;
mod hidden_working_set;
mod huge_pages;
mod idle_huge_pages;
mod kernel_memory;
mod lazy_free;
mod leak_suspected;
mod limit_near;
mod locked_cache;
mod moved_charges;
mod no_leak;
mod off_heap;
mod oom_kill;
mod reclaimable_working_set;
mod retention;
mod room_shrinking;
mod several_allocators;
mod sockets;
mod stacks;
mod swapped;
mod throttled;
mod tmpfs;

/// A diagnosis that applies to one process, cgroup or host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Stable kebab-case id, as in JSON, labels and `docs/findings/`.
    pub id: &'static str,
    /// How much memory it is about.
    pub bytes: Figure,
    /// How urgent it is.
    pub severity: Severity,
    /// How sure we are.
    pub confidence: Confidence,
    /// What is going on, in a few words with its number: the end of the verdict.
    pub brief: String,
    /// What is going on, as a sentence.
    pub summary: String,
    /// The figures that it rests on.
    pub evidence: Vec<String>,
    /// What it is easily taken for and is not: "it is not ...".
    pub is_not: &'static str,
    /// What to do, as a sentence.
    pub remedy: Cow<'static, str>,
}

/// How urgent a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Explains a figure; nothing needs doing.
    Info,
    /// A figure misleads; decisions based on it will be wrong.
    Warning,
    /// The limit is near, whatever other figures say.
    Critical,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Rests on bounds or heuristics.
    Likely,
    /// Rests on exact figures.
    Certain,
}

/// What a finding is looked for in.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A process.
    Process(&'a ProcessLedger),
    /// A cgroup.
    Cgroup(&'a CgroupLedger),
    /// The machine.
    Host(&'a HostLedger),
}

/// A diagnosis: its id and how it is made.
#[derive(Debug, Clone, Copy)]
pub struct Diagnosis {
    /// Stable id.
    pub id: &'static str,
    /// Looks for it.
    pub find: fn(Subject<'_>) -> Option<Finding>,
    /// Its page: what it means, and what to do.
    pub page: &'static str,
}

/// A module below this one, and the name of its page.
macro_rules! diagnosis {
    ($module:ident, $page:literal) => {
        Diagnosis {
            id: $module::ID,
            find: $module::find,
            page: include_str!(concat!("../../../docs/findings/", $page, ".md")),
        }
    };
}

/// Every diagnosis.
pub const ALL: &[Diagnosis] = &[
    diagnosis!(lazy_free, "lazy-free"),
    diagnosis!(retention, "retention"),
    diagnosis!(fragmentation, "fragmentation"),
    diagnosis!(hidden_working_set, "hidden-working-set"),
    diagnosis!(reclaimable_working_set, "reclaimable-working-set"),
    diagnosis!(address_space, "address-space"),
    diagnosis!(ballast, "ballast"),
    diagnosis!(gc_churn, "gc-churn"),
    diagnosis!(oom_kill, "oom-kill"),
    diagnosis!(throttled, "throttled"),
    diagnosis!(ancestor_limit, "ancestor-limit"),
    diagnosis!(limit_near, "limit-near"),
    diagnosis!(tmpfs, "tmpfs"),
    diagnosis!(copy_on_write, "copy-on-write"),
    diagnosis!(leak_suspected, "leak-suspected"),
    diagnosis!(room_shrinking, "room-shrinking"),
    diagnosis!(kernel_memory, "kernel-memory"),
    diagnosis!(off_heap, "off-heap"),
    diagnosis!(several_allocators, "several-allocators"),
    diagnosis!(stacks, "stacks"),
    diagnosis!(huge_pages, "huge-pages"),
    diagnosis!(swapped, "swapped"),
    diagnosis!(compressed_swap, "compressed-swap"),
    diagnosis!(sockets, "sockets"),
    diagnosis!(locked_cache, "locked-cache"),
    diagnosis!(moved_charges, "moved-charges"),
    diagnosis!(charged_elsewhere, "charged-elsewhere"),
    diagnosis!(no_leak, "no-leak"),
    diagnosis!(idle_huge_pages, "idle-huge-pages"),
    diagnosis!(balloon, "balloon"),
];

/// What they are about takes no memory, or is no amount of it: the last of a severity.
const WEIGHTLESS: [&str; 6] = [
    address_space::ID,
    ballast::ID,
    gc_churn::ID,
    huge_pages::ID,
    no_leak::ID,
    several_allocators::ID,
];

/// Everything that is found: the most urgent first, and of those alike what is about most of
/// the memory.
pub fn findings(subject: Subject<'_>) -> Vec<Finding> {
    let mut found: Vec<_> = ALL.iter().filter_map(|d| (d.find)(subject)).collect();
    found.sort_by_key(|f| (Reverse(f.severity), Reverse(weight(f, subject)), f.id));
    found
}

/// Whether one of them is: for who would say the same.
pub(crate) fn is_found(id: &str, subject: Subject<'_>) -> bool {
    let known = ALL.iter().find(|diagnosis| diagnosis.id == id);
    known.is_some_and(|diagnosis| (diagnosis.find)(subject).is_some())
}

/// The share of the whole that it is about, in thousandths: what differs by less is alike.
fn weight(finding: &Finding, subject: Subject<'_>) -> i64 {
    let whole = match subject {
        Subject::Process(p) => p.headline.rss,
        Subject::Cgroup(c) => c.headline.usage,
        Subject::Host(h) => h.headline.total,
    };
    let whole = whole.point().unwrap_or(0).max(1);
    let bytes = finding.bytes.point().unwrap_or(0).clamp(0, whole);
    let share = i128::from(bytes) * 1000 / i128::from(whole);
    if WEIGHTLESS.contains(&finding.id) { 0 } else { i64::try_from(share).unwrap_or(0) }
}

impl Severity {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl Confidence {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

/// Below this a gap is noise: 4 MiB, and a twentieth of the whole.
fn matters(bytes: i64, whole: i64) -> bool {
    bytes >= 4 << 20 && bytes >= whole / 20
}

fn confidence(figure: Figure) -> Confidence {
    if matches!(figure, Figure::Exact(_)) { Confidence::Certain } else { Confidence::Likely }
}
