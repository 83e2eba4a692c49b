//! Memory in transparent huge pages, each of which is in memory whole once a byte of it is written.

use super::{Confidence, Finding, Severity, Subject};
use crate::figure::{Figure, signed};
use crate::size::iec;

pub const ID: &str = "huge-pages";

/// Less is not worth a look.
const LEAST: i64 = 32 << 20;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Process(process) = subject else { return None };
    let (huge, rss) = (signed(process.huge?), process.headline.rss.point()?);
    (huge >= LEAST && huge >= rss / 2).then(|| Finding {
        id: ID,
        bytes: Figure::Exact(huge),
        severity: Severity::Info,
        confidence: Confidence::Likely,
        brief: format!("{} of it lies in huge pages, used or not", iec(huge)),
        summary: format!(
            "{} of {} RSS lies in huge pages, each in memory whole once a byte of it is written: how much of them is used is not known",
            iec(huge),
            iec(rss)
        ),
        evidence: vec![format!("AnonHugePages {}, RSS {}", iec(huge), iec(rss))],
        is_not: "waste for certain: a program that uses what it has asked for is faster with them, and no larger",
        remedy: "start it once with prctl(PR_SET_THP_DISABLE), or with transparent_hugepage/enabled at madvise where it is always, and compare the RSS under the same load: the difference is what the huge pages cost. madvise(MADV_NOHUGEPAGE) does so for one area".into(),
    })
}
