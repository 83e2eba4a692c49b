//! Anonymous memory that processes share since one was forked from another: RSS counts it in
//! each, and what one costs is less.

use super::{Finding, Severity, Subject, matters};
use crate::account::{ANONYMOUS, Account};
use crate::figure::{Figure, signed};
use crate::size::iec;
use crate::{ProcessLedger, finding::Confidence};

pub const ID: &str = "copy-on-write";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Process(process) = subject else { return None };
    let (rss, pss) = (process.headline.rss.point()?, process.headline.pss.point()?);
    let shared = shared(process)?;
    let uss = process.headline.uss.point()?;
    (matters(shared, rss) && shared >= rss / 4).then(|| Finding {
        id: ID,
        bytes: Figure::Exact(shared),
        severity: Severity::Info,
        confidence: Confidence::Likely,
        brief: format!(
            "it costs {}, not its RSS: other processes carry {} of its memory",
            iec(pss),
            iec(shared)
        ),
        summary: format!(
            "{} of its anonymous memory is carried by processes that share it since a fork: it costs {} (PSS), and {} of that are its own alone (USS)",
            iec(shared),
            iec(pss),
            iec(uss)
        ),
        evidence: vec![format!("RSS {}, PSS {}, USS {}", iec(rss), iec(pss), iec(uss))],
        is_not: "memory that the sum of RSS tells: that counts these pages once for each process",
        remedy: "add up PSS, or read the cgroup, to size several workers; what a worker writes becomes its own: load what all need before the fork".into(),
    })
}

/// Anonymous pages less the part of them that it is charged for. Pages that KSM merged are no
/// sign of a fork.
fn shared(process: &ProcessLedger) -> Option<i64> {
    let sharing = process.sharing?;
    if process.one_memory.is_some() {
        return None;
    }
    let held = ANONYMOUS
        .iter()
        .chain(&[Account::LazyFree])
        .fold(0i64, |sum, account| sum.saturating_add(process.ledger.booked(*account)));
    let charged = process.charged.iter().fold(0i64, |sum, (_, b)| sum.saturating_add(*b));
    Some(held.saturating_sub(charged).saturating_sub(signed(sharing.merged)))
}
