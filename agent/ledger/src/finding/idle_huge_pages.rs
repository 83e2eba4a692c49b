//! Huge pages that are set aside for hugetlbfs and that no program uses.

use super::{Finding, Severity, Subject, confidence};
use crate::Account;
use crate::figure::Figure;
use crate::size::iec;

pub const ID: &str = "idle-huge-pages";

/// Less is not worth a look.
const LEAST: i64 = 16 << 20;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Host(host) = subject else { return None };
    let free = host.ledger.figure(Account::HugetlbFree);
    // What is promised and not known could be all of it.
    let (_, promised) = host.hugetlb_promised.bounds()?;
    let less = |bytes: i64| bytes.saturating_sub(promised).max(0);
    let (point, (low, high)) = (less(free.point()?), free.bounds()?);
    let total = host.headline.total.point()?;
    let bytes = match free {
        Figure::Exact(_) => Figure::Exact(point),
        _ => Figure::interval(less(low), point, less(high)),
    };
    (point >= LEAST && point >= total / 100).then(|| Finding {
        id: ID,
        bytes,
        severity: if point >= total / 10 { Severity::Warning } else { Severity::Info },
        confidence: confidence(bytes),
        brief: format!("{} are set aside as huge pages that nobody uses", bytes.words()),
        summary: format!(
            "{} of {} are set aside as huge pages of hugetlbfs, used by nobody and promised to nobody",
            bytes.words(),
            iec(total)
        ),
        evidence: vec![format!(
            "free huge pages {}, of them promised {}",
            free.words(),
            iec(promised)
        )],
        is_not: "free memory, nor transparent huge pages: nothing but hugetlbfs can use it",
        remedy: "a smaller vm.nr_hugepages gives them back at once (other sizes: /sys/kernel/mm/hugepages/*/nr_hugepages); hugepages= on the kernel's command line and in /etc/sysctl.d set them aside again at the next start".into(),
    })
}
