//! A VSZ that means nothing: address space asked for and never written.

use super::{Finding, Severity, Subject, confidence};
use crate::Account;
use crate::size::iec;

pub const ID: &str = "address-space";

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Process(process) = subject else { return None };
    let ledger = &process.ledger;
    let figure = ledger.figure(Account::Untouched).plus(ledger.figure(Account::Reserved));
    let (bytes, rss) = (figure.point()?, process.headline.rss.point()?);
    // Every program reserves some: it is worth a word once it dwarfs the RSS.
    (bytes >= 512 << 20 && bytes >= rss.saturating_mul(2)).then(|| Finding {
        id: ID,
        bytes: figure,
        severity: Severity::Info,
        confidence: confidence(figure),
        summary: format!("{} of VSZ is address space without memory behind it", iec(bytes)),
        evidence: vec![
            format!("untouched {}", iec(ledger.booked(Account::Untouched))),
            format!("reserved {}", iec(ledger.booked(Account::Reserved))),
        ],
        remedy: "ignore VSZ: a ballast, an arena or a runtime's reservation costs nothing until it is written",
    })
}
