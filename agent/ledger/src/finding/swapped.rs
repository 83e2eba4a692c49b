//! Memory in the swap area: in use, and in none of the figures that one looks at.

use super::{Confidence, Finding, Severity, Subject};
use crate::figure::{Figure, signed};
use crate::size::iec;
use crate::{Account, CgroupLedger, HostLedger, ProcessLedger};

pub const ID: &str = "swapped";

/// Most programs have pages that they never look at again: less is not worth a look.
const LEAST: i64 = 16 << 20;

const IS_NOT: &str = "given back: it is in use, and takes memory again once it is touched";

const REMEDY: &str = "nothing, where it is not touched again; what is touched comes back page by page and slows the program. memory.swap.max=0 (v2) or memory.swappiness=0 (v1) of the cgroup keeps further pages in memory, and swapoff brings all back that fit";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    match subject {
        Subject::Process(process) => of_process(process),
        Subject::Cgroup(cgroup) => of_cgroup(cgroup),
        Subject::Host(host) => of_host(host),
    }
}

/// Whether it is a fifth of what would be in memory without swap, or more.
fn is_much(swapped: i64, in_memory: i64) -> bool {
    swapped >= LEAST && swapped >= in_memory.saturating_add(swapped) / 5
}

fn of_process(process: &ProcessLedger) -> Option<Finding> {
    let bytes = process.ledger.figure(Account::Swapped);
    let (swapped, rss) = (bytes.point()?, process.headline.rss.point()?);
    is_much(swapped, rss).then(|| Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: super::confidence(bytes),
        brief: format!("{} more of it are in the swap area", iec(swapped)),
        summary: format!(
            "{} of its memory are in the swap area, beside {} of RSS: RSS, PSS and USS leave them out",
            iec(swapped),
            iec(rss)
        ),
        evidence: vec![format!("swapped {}, RSS {}", iec(swapped), iec(rss))],
        is_not: IS_NOT,
        remedy: REMEDY.into(),
    })
}

fn of_cgroup(cgroup: &CgroupLedger) -> Option<Finding> {
    let bytes = cgroup.headline.swap;
    let (swapped, usage) = (bytes.point()?, cgroup.headline.usage.point()?);
    if !is_much(swapped, usage) {
        return None;
    }
    let limit = cgroup.swap_limit.as_ref().ok().copied().flatten();
    let mut evidence = vec![format!("swap {}, usage {}", iec(swapped), iec(usage))];
    evidence.extend(limit.map(|limit| format!("{} may be swapped out", iec(signed(limit)))));
    Some(Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: super::confidence(bytes),
        brief: format!("{} more of its memory are in the swap area", iec(swapped)),
        summary: format!(
            "{} of its memory are in the swap area, beside {} of usage: usage, working set and required leave them out",
            iec(swapped),
            iec(usage)
        ),
        evidence,
        is_not: IS_NOT,
        remedy: REMEDY.into(),
    })
}

/// Of all programs; which they are, `memgap ps` tells.
fn of_host(host: &HostLedger) -> Option<Finding> {
    let (swapped, usage) = (host.headline.swap_used.point()?, host.headline.usage.point()?);
    is_much(swapped, usage).then(|| Finding {
        id: ID,
        bytes: Figure::Exact(swapped),
        severity: Severity::Info,
        confidence: Confidence::Certain,
        brief: format!("{} more are in the swap area", iec(swapped)),
        summary: format!(
            "{} of programs' memory and of tmpfs are in the swap area, beside {} that are not free",
            iec(swapped),
            iec(usage)
        ),
        evidence: vec![format!("SwapTotal - SwapFree {}", iec(swapped))],
        is_not: IS_NOT,
        remedy: REMEDY.into(),
    })
}
