//! Freed memory that still counts: `MADV_FREE` leaves pages resident.

use super::{Finding, Severity, Subject, confidence, matters};
use crate::Account;
use crate::size::iec;

pub const ID: &str = "lazy-free";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let (ledger, whole, counted) = match subject {
        Subject::Process(p) => (&p.ledger, p.headline.rss, "RSS"),
        Subject::Cgroup(c) => (&c.ledger, c.headline.usage, "usage"),
        Subject::Host(h) => (&h.ledger, h.headline.usage, "used memory"),
    };
    let figure = ledger.figure(Account::LazyFree);
    let (bytes, whole) = (figure.point()?, whole.point()?);
    matters(bytes, whole).then(|| Finding {
        id: ID,
        bytes: figure,
        severity: Severity::Info,
        confidence: confidence(figure),
        summary: format!("{} of {counted} is already freed (MADV_FREE) and comes back under pressure", iec(bytes)),
        evidence: vec![format!("LazyFree {} of {counted} {}", iec(bytes), iec(whole))],
        remedy: "nothing is leaking: subtract it, or alert on required; Go: GODEBUG=madvdontneed=1, jemalloc: muzzy_decay_ms:0 give it back at once",
    })
}
