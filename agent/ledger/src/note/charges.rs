//! Of a cgroup: how well it is known what is charged to one and used by another.

use crate::CgroupLedger;
use crate::figure::signed;
use crate::size::iec;

/// What is less may be pages in the kernel's batches, or a walk's own time.
const MATTERS: i64 = 4 << 20;

/// The sentences; none where everything is where it is used.
pub(super) fn notes(cgroup: &CgroupLedger) -> Vec<String> {
    let mut notes = Vec::new();
    let churned = signed(cgroup.churned);
    if churned >= MATTERS {
        notes.push(format!(
            "{} of its processes' memory came or went while it was read: how much of it is charged \
             elsewhere is known no better (moved_charges)",
            iec(churned)
        ));
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
