//! Free memory that lies in pages with memory in use, so that it can not be given back.

use super::{Finding, Severity, Subject, confidence, matters};
use crate::kept::Kept;
use crate::{CgroupLedger, ProcessLedger};

pub const ID: &str = "fragmentation";

const IS_NOT: &str = "a leak, nor anything that a trim or a purge gives back";

const REMEDY: &str = "nothing, where as much is needed again: it serves what is allocated next in the same sizes; what lives long apart from what lives briefly, in arenas, pools or processes of its own, leaves fewer holes";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    match subject {
        Subject::Process(process) => of_process(process),
        Subject::Cgroup(cgroup) => of_cgroup(cgroup),
        Subject::Host(_) => None,
    }
}

fn of_process(process: &ProcessLedger) -> Option<Finding> {
    let kept = Kept::of(process)?;
    let bytes = kept.pinned()?;
    let (pinned, rss) = (bytes.point()?, process.headline.rss.point()?);
    matters(pinned, rss).then(|| Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: confidence(bytes),
        brief: format!("{} are free and can not be given back", bytes.words()),
        summary: format!(
            "{} of RSS are free, but share their pages with memory in use or wait in caches of threads: {} can not give them back",
            bytes.words(),
            kept.most.name
        ),
        evidence: kept.evidence(),
        is_not: IS_NOT,
        remedy: REMEDY.into(),
    })
}

/// Of those of its processes who tell.
fn of_cgroup(cgroup: &CgroupLedger) -> Option<Finding> {
    let pinned = cgroup.pinned.as_ref()?;
    let bytes = pinned.charged_to(&cgroup.ledger)?;
    matters(bytes.point()?, cgroup.headline.usage.point()?).then(|| Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: confidence(bytes),
        brief: format!("{} are free and can not be given back", bytes.words()),
        summary: format!(
            "{} of usage are free, but share their pages with memory in use or wait in caches of threads: allocators of its processes can not give them back",
            bytes.words()
        ),
        evidence: vec![pinned.evidence()],
        is_not: IS_NOT,
        remedy: REMEDY.into(),
    })
}
