//! Of a cgroup: memory that is charged to one and used by another.

use crate::CgroupLedger;
use crate::Figure;
use crate::account::{ANONYMOUS, Account};
use crate::figure::signed;
use crate::size::iec;

/// What is less may be pages in the kernel's batches, or a walk's own time.
const MATTERS: i64 = 4 << 20;
/// Libraries that another cgroup read first are not worth a sentence.
const MUCH: i64 = 8 << 20;

/// The sentences; none where everything is where it is used.
pub(super) fn notes(cgroup: &CgroupLedger) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(anonymous(cgroup));
    let churned = signed(cgroup.churned);
    if churned >= MATTERS {
        notes.push(format!(
            "{} of its processes' memory came or went while it was read: how much of it is charged \
             elsewhere is known no better (moved_charges)",
            iec(churned)
        ));
    }
    if let Some(elsewhere) = &cgroup.elsewhere {
        if elsewhere.file >= MUCH {
            notes.push(format!(
                "at least {} of files that its processes map are charged to another cgroup, the \
                 one that read them first: required and room leave them out, and their pages go \
                 when that one is short",
                iec(elsewhere.file)
            ));
        }
        if elsewhere.shmem >= MATTERS {
            notes.push(format!(
                "at least {} of shared memory that its processes map are charged to another \
                 cgroup, the one that wrote them first",
                iec(elsewhere.shmem)
            ));
        }
    }
    notes.extend(dying(cgroup));
    notes
}

/// cgroup v2 counts those that were deleted and are still charged for something.
fn dying(cgroup: &CgroupLedger) -> Option<String> {
    let count = cgroup.events.dying.as_ref().ok().filter(|count| **count > 0)?;
    Some(format!(
        "{count} deleted cgroups below it still hold memory, which its usage counts: page cache, \
         shared memory or kernel objects"
    ))
}

fn anonymous(cgroup: &CgroupLedger) -> Option<String> {
    // All other cgroups are below the root.
    if cgroup.root {
        return None;
    }
    let moved = cgroup.ledger.figure(Account::MovedCharges);
    let (low, high) = moved.bounds()?;
    let held = cgroup.ledger.sum(ANONYMOUS);
    // A reading is not made at one moment.
    let noise = MATTERS.max(held.max(moved.point()?).saturating_abs() / 50);
    let words = |bytes| match moved {
        Figure::Exact(_) => iec(bytes),
        _ => format!("at least {}", iec(bytes)),
    };
    if high <= -noise {
        Some(format!(
            "{} of its processes' anonymous memory are not charged to it: they moved here \
             after they had written it, share it with a process that is elsewhere, or two of \
             them have one memory between them (vfork), which was not recognised and counts twice",
            words(high.saturating_neg())
        ))
    } else if low >= noise {
        Some(format!(
            "{} of anonymous memory are charged here and held by no process of the cgroup: who \
             wrote it has moved to another cgroup, whose limit does not count it",
            words(low)
        ))
    } else {
        None
    }
}
