//! Memory that the hypervisor took back from this machine.

use super::{Confidence, Finding, Severity, Subject};
use crate::Account;
use crate::figure::Figure;
use crate::size::iec;

pub const ID: &str = "balloon";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Host(host) = subject else { return None };
    let inside = host.ledger.booked(Account::Balloon);
    let outside = host.balloon_outside.point().unwrap_or(0);
    let (bytes, total) = (inside.saturating_add(outside), host.headline.total.point()?);
    (bytes >= 16 << 20 && bytes >= total / 50).then(|| Finding {
        id: ID,
        bytes: Figure::Exact(bytes),
        severity: if bytes >= total / 4 { Severity::Warning } else { Severity::Info },
        confidence: Confidence::Likely,
        brief: format!("the hypervisor's balloon holds {}", iec(bytes)),
        summary: format!(
            "the hypervisor's balloon holds {}, of which MemTotal of {} counts {}",
            iec(bytes),
            iec(total),
            iec(inside)
        ),
        evidence: vec![format!("in MemTotal {}, outside of it {}", iec(inside), iec(outside))],
        is_not: "memory of a program or of this machine's kernel: nothing that runs here gives it back",
        remedy: "give this machine more at the hypervisor (virsh setmem, the memory target or its reservation); where that is overcommitted, the machine's real size is what is left".into(),
    })
}
