//! Findings: named diagnoses with bytes, evidence, confidence and remedy.
//!
//! One file below `finding/` is one diagnosis; [`ALL`] is the only list.

use std::borrow::Cow;
use std::cmp::Reverse;

use crate::{CgroupLedger, Figure, HostLedger, ProcessLedger};

mod address_space;
mod ancestor_limit;
mod ballast;
mod copy_on_write;
mod fragmentation;
mod gc_churn;
mod hidden_working_set;
mod kernel_memory;
mod lazy_free;
mod leak_suspected;
mod limit_near;
mod oom_kill;
mod reclaimable_working_set;
mod retention;
mod room_shrinking;
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

/// Every diagnosis.
pub const ALL: &[Diagnosis] = &[
    Diagnosis {
        id: lazy_free::ID,
        find: lazy_free::find,
        page: include_str!("../../../docs/findings/lazy-free.md"),
    },
    Diagnosis {
        id: retention::ID,
        find: retention::find,
        page: include_str!("../../../docs/findings/retention.md"),
    },
    Diagnosis {
        id: fragmentation::ID,
        find: fragmentation::find,
        page: include_str!("../../../docs/findings/fragmentation.md"),
    },
    Diagnosis {
        id: hidden_working_set::ID,
        find: hidden_working_set::find,
        page: include_str!("../../../docs/findings/hidden-working-set.md"),
    },
    Diagnosis {
        id: reclaimable_working_set::ID,
        find: reclaimable_working_set::find,
        page: include_str!("../../../docs/findings/reclaimable-working-set.md"),
    },
    Diagnosis {
        id: address_space::ID,
        find: address_space::find,
        page: include_str!("../../../docs/findings/address-space.md"),
    },
    Diagnosis {
        id: ballast::ID,
        find: ballast::find,
        page: include_str!("../../../docs/findings/ballast.md"),
    },
    Diagnosis {
        id: gc_churn::ID,
        find: gc_churn::find,
        page: include_str!("../../../docs/findings/gc-churn.md"),
    },
    Diagnosis {
        id: oom_kill::ID,
        find: oom_kill::find,
        page: include_str!("../../../docs/findings/oom-kill.md"),
    },
    Diagnosis {
        id: throttled::ID,
        find: throttled::find,
        page: include_str!("../../../docs/findings/throttled.md"),
    },
    Diagnosis {
        id: ancestor_limit::ID,
        find: ancestor_limit::find,
        page: include_str!("../../../docs/findings/ancestor-limit.md"),
    },
    Diagnosis {
        id: limit_near::ID,
        find: limit_near::find,
        page: include_str!("../../../docs/findings/limit-near.md"),
    },
    Diagnosis {
        id: tmpfs::ID,
        find: tmpfs::find,
        page: include_str!("../../../docs/findings/tmpfs.md"),
    },
    Diagnosis {
        id: copy_on_write::ID,
        find: copy_on_write::find,
        page: include_str!("../../../docs/findings/copy-on-write.md"),
    },
    Diagnosis {
        id: leak_suspected::ID,
        find: leak_suspected::find,
        page: include_str!("../../../docs/findings/leak-suspected.md"),
    },
    Diagnosis {
        id: room_shrinking::ID,
        find: room_shrinking::find,
        page: include_str!("../../../docs/findings/room-shrinking.md"),
    },
    Diagnosis {
        id: kernel_memory::ID,
        find: kernel_memory::find,
        page: include_str!("../../../docs/findings/kernel-memory.md"),
    },
];

/// What they are about takes no memory, or is no amount of it: the last of a severity.
const WEIGHTLESS: [&str; 3] = [address_space::ID, ballast::ID, gc_churn::ID];

/// Everything that is found: the most urgent first, and of those alike what is about most of
/// the memory.
pub fn findings(subject: Subject<'_>) -> Vec<Finding> {
    let mut found: Vec<_> = ALL.iter().filter_map(|d| (d.find)(subject)).collect();
    found.sort_by_key(|f| (Reverse(f.severity), Reverse(weight(f, subject)), f.id));
    found
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
