//! Freed memory that still counts: `MADV_FREE` leaves pages resident.

use super::{Finding, Severity, Subject, confidence, matters};
use crate::figure::signed;
use crate::size::iec;
use crate::{Account, Runtime};

pub const ID: &str = "lazy-free";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let (ledger, whole, counted) = match subject {
        Subject::Process(p) => (&p.ledger, p.headline.rss, "RSS"),
        Subject::Cgroup(c) => (&c.ledger, c.headline.usage, "usage"),
        Subject::Host(h) => (&h.ledger, h.headline.usage, "used memory"),
    };
    let figure = ledger.figure(Account::LazyFree);
    let (bytes, whole) = (figure.point()?, whole.point()?);
    if !matters(bytes, whole) {
        return None;
    }
    let mut evidence = vec![format!("LazyFree {} of {counted} {}", figure.words(), iec(whole))];
    if let Subject::Process(process) = subject {
        evidence.extend(process.runtimes.iter().filter_map(|r| given_back(r, bytes)));
    }
    Some(Finding {
        id: ID,
        bytes: figure,
        severity: Severity::Info,
        confidence: confidence(figure),
        brief: format!("{} are freed already and come back under pressure", figure.words()),
        summary: format!("{} of {counted} are freed already (MADV_FREE) and come back under pressure", figure.words()),
        evidence,
        is_not: "a leak, nor memory that the program needs",
        remedy: "subtract it, or alert on required; Go: GODEBUG=madvdontneed=1, jemalloc: muzzy_decay_ms:0 give it back at once".into(),
    })
}

/// What became of the pages that a runtime gave back lazily, by its heap statistics and the
/// kernel's `lazy` bytes of the process.
fn given_back(runtime: &Runtime, lazy: i64) -> Option<String> {
    let given = runtime.lazily_freed.filter(|bytes| *bytes > 0).map(signed)?;
    let name = &runtime.name;
    let Some(resident) = runtime.lazily_freed_resident.map(signed) else {
        let still = given.min(lazy);
        return Some(format!(
            "{name} gave {} back lazily: at most {} of it are resident and free, at least {} are gone, written again or were never touched",
            iec(given),
            iec(still),
            iec(given - still)
        ));
    };
    let still = resident.min(lazy);
    Some(format!(
        "{name} gave {} back lazily: {} of it are resident and free, {} written again, {} gone or never touched",
        iec(given),
        iec(still),
        iec(resident - still),
        iec(given.saturating_sub(resident))
    ))
}
