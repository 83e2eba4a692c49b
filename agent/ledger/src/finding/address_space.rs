//! A VSZ that means nothing: address space asked for and never written.

use super::{Finding, Severity, Subject, confidence};
use crate::Account;
use crate::figure::{Figure, signed};
use crate::size::iec;

pub const ID: &str = "address-space";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Process(process) = subject else { return None };
    let ledger = &process.ledger;
    let figure = ledger.figure(Account::Untouched).plus(ledger.figure(Account::Reserved));
    // Of files and shared memory others may have written what this process did not touch.
    let others = signed(process.mapped.map_or(0, |mapped| mapped.untouched));
    let figure = less(figure, others);
    let (bytes, rss) = (figure.point()?, process.headline.rss.point()?);
    // Every program reserves some: it is worth a word once it dwarfs the RSS.
    (bytes >= 512 << 20 && bytes >= rss.saturating_mul(2)).then(|| Finding {
        id: ID,
        bytes: figure,
        severity: Severity::Info,
        confidence: confidence(figure),
        brief: format!("most of its VSZ, {}, has no memory behind it", iec(bytes)),
        summary: format!("{} of VSZ is address space without memory behind it", iec(bytes)),
        evidence: vec![
            format!("untouched {}", iec(ledger.booked(Account::Untouched).saturating_sub(others))),
            format!("reserved {}", iec(ledger.booked(Account::Reserved))),
        ],
        is_not: "memory: no page stands behind it, and nothing but a limit on VSZ (ulimit -v) counts it",
        remedy: "ignore VSZ: a ballast, an arena or a runtime's reservation costs nothing until it is written".into(),
    })
}

fn less(figure: Figure, bytes: i64) -> Figure {
    let minus = |part: i64| part.saturating_sub(bytes).max(0);
    match (figure.point(), figure.bounds()) {
        (Some(point), Some((low, high))) => Figure::interval(minus(low), minus(point), minus(high)),
        _ => Figure::Absent,
    }
}
