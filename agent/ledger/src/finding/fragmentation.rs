//! Free memory that lies in pages with memory in use, so that it can not be given back.

use super::{Finding, Severity, Subject, confidence, matters};
use crate::kept::Kept;

pub const ID: &str = "fragmentation";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Process(process) = subject else { return None };
    let kept = Kept::of(process)?;
    let bytes = kept.pinned()?;
    let (pinned, rss) = (bytes.point()?, process.headline.rss.point()?);
    matters(pinned, rss).then(|| Finding {
        id: ID,
        bytes,
        severity: Severity::Info,
        confidence: confidence(bytes),
        brief: format!("{} are free and can not be given back, for they share pages with memory in use", bytes.words()),
        summary: format!(
            "{} of RSS are free, but share their pages with memory in use: {} can not give them back",
            bytes.words(),
            kept.most.name
        ),
        evidence: kept.evidence,
        is_not: "a leak, nor anything that a trim or a purge gives back",
        remedy: "nothing, where as much is needed again: it serves what is allocated next in the same sizes; what lives long apart from what lives briefly, in arenas, pools or processes of its own, leaves fewer holes".into(),
    })
}
