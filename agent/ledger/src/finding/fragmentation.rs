//! Free memory that lies in pages with memory in use, so that it can not be given back.

use super::kept::Kept;
use super::{Finding, Severity, Subject, confidence, matters};
use crate::size::iec;

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
        summary: format!(
            "{} of RSS are free, but share their pages with memory in use: {} can not give them back",
            iec(pinned),
            kept.most.name
        ),
        evidence: kept.evidence,
        remedy: "no leak: it serves what is allocated next in the same sizes; what lives long apart from what lives briefly, in arenas, pools or processes of its own, leaves fewer holes",
    })
}
