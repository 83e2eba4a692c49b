//! Anonymous memory that is charged to one cgroup and held by processes of another.

use super::{Finding, Severity, Subject, confidence};
use crate::CgroupLedger;
use crate::Figure;
use crate::account::{ANONYMOUS, Account};
use crate::size::iec;

pub const ID: &str = "moved-charges";

/// What is less may be pages in the kernel's batches, or a walk's own time.
const LEAST: i64 = 4 << 20;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    // All other cgroups are below the root.
    if cgroup.root {
        return None;
    }
    let moved = cgroup.ledger.figure(Account::MovedCharges);
    let (low, high) = moved.bounds()?;
    let held = cgroup.ledger.sum(ANONYMOUS);
    // A reading is not made at one moment.
    let noise = LEAST.max(held.max(moved.point()?).saturating_abs() / 50);
    if high <= -noise {
        Some(charged_elsewhere(cgroup, moved))
    } else if low >= noise {
        Some(held_elsewhere(cgroup, moved))
    } else {
        None
    }
}

fn charged_elsewhere(cgroup: &CgroupLedger, moved: Figure) -> Finding {
    let (low, high) = moved.bounds().unwrap_or_default();
    let bytes = turned(moved);
    Finding {
        id: ID,
        bytes,
        severity: severity(cgroup, high.saturating_neg()),
        confidence: confidence(moved),
        brief: format!("{} of its processes' memory are not charged to it", words(bytes)),
        summary: format!(
            "{} of its processes' anonymous memory are not charged to it: they moved here after they had written it, share it with a process that is elsewhere, or two of them have one memory between them (vfork), which was not recognised and counts twice",
            words(bytes)
        ),
        evidence: evidence(cgroup, low, high),
        is_not: "memory that this cgroup's limit bounds: the cgroup that is charged for it has to hold it",
        remedy: MOVED.into(),
    }
}

fn held_elsewhere(cgroup: &CgroupLedger, moved: Figure) -> Finding {
    let (low, high) = moved.bounds().unwrap_or_default();
    Finding {
        id: ID,
        bytes: moved,
        severity: severity(cgroup, low),
        confidence: confidence(moved),
        brief: format!("{} are charged to it that none of its processes holds", words(moved)),
        summary: format!(
            "{} of anonymous memory are charged here and held by no process of the cgroup: who wrote it has moved to another cgroup, whose limit does not count it",
            words(moved)
        ),
        evidence: evidence(cgroup, low, high),
        is_not: "a leak of one of its processes, nor anything that ending them frees",
        remedy: MOVED.into(),
    }
}

const MOVED: &str = "put a program into its cgroup before it allocates (systemd-run, clone3 with CLONE_INTO_CGROUP, or a small process that moves itself and then executes it): a charge stays where a page was first written, and goes with the page";

/// Where it is much, decisions by usage are wrong.
fn severity(cgroup: &CgroupLedger, bytes: i64) -> Severity {
    let usage = cgroup.headline.usage.point().unwrap_or(0);
    if bytes >= usage / 4 { Severity::Warning } else { Severity::Info }
}

fn evidence(cgroup: &CgroupLedger, low: i64, high: i64) -> Vec<String> {
    vec![
        format!("moved_charges {} .. {}", iec(low), iec(high)),
        format!("anonymous memory that its processes hold {}", iec(cgroup.ledger.sum(ANONYMOUS))),
    ]
}

/// With the other sign.
fn turned(figure: Figure) -> Figure {
    match (figure, figure.point(), figure.bounds()) {
        (Figure::Exact(bytes), ..) => Figure::Exact(bytes.saturating_neg()),
        (_, Some(point), Some((low, high))) => {
            Figure::interval(high.saturating_neg(), point.saturating_neg(), low.saturating_neg())
        }
        _ => Figure::Absent,
    }
}

fn words(figure: Figure) -> String {
    match figure {
        Figure::Exact(bytes) => iec(bytes),
        _ => format!("at least {}", iec(figure.bounds().map_or(0, |(low, _)| low))),
    }
}
