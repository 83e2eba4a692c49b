//! Why a figure is not there: an absent figure is never shown without it.

use crate::finding::Subject;
use crate::headlines;
use crate::{Absence, Figure, Ledger, MissingKind};

/// Something that is not known, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The figure, account or reading.
    pub what: &'static str,
    /// The reason, as a sentence.
    pub why: String,
    /// What kind of lack it is.
    pub kind: MissingKind,
}

/// What was not read, which accounts have no figure, and what of the headline.
pub fn reasons(subject: Subject<'_>) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = absences(subject).iter().map(Reason::of).collect();
    let figures = headlines::figures(subject).into_iter().map(|h| (h.name, h.figure));
    for (name, figure) in figures.chain(headlines::details(subject)) {
        if figure == Figure::Absent && !reasons.iter().any(|r| r.what == name) {
            reasons.push(of_headline(subject, name));
        }
    }
    reasons
}

/// The reasons that are not about single accounts.
pub fn broad(subject: Subject<'_>) -> Vec<Reason> {
    let is_account =
        |what: &str| ledger(subject).scope().accounts().any(|account| account.name() == what);
    let mut reasons = reasons(subject);
    reasons.retain(|r| !is_account(r.what));
    reasons
}

/// The ledger of a subject.
pub fn ledger(subject: Subject<'_>) -> &Ledger {
    match subject {
        Subject::Process(p) => &p.ledger,
        Subject::Cgroup(c) => &c.ledger,
        Subject::Host(h) => &h.ledger,
    }
}

/// Whether part of the answer was kept from us.
pub fn is_denied(subject: Subject<'_>) -> bool {
    reasons(subject).iter().any(|r| r.kind == MissingKind::Denied)
}

fn absences(subject: Subject<'_>) -> &[Absence] {
    match subject {
        Subject::Process(p) => &p.absent,
        Subject::Cgroup(c) => &c.absent,
        Subject::Host(h) => &h.absent,
    }
}

impl Reason {
    fn of(absence: &Absence) -> Self {
        Self {
            what: absence.what,
            why: absence.missing.why.to_string(),
            kind: absence.missing.kind,
        }
    }

    fn absent(what: &'static str, why: &str) -> Self {
        Self { what, why: why.to_owned(), kind: MissingKind::Absent }
    }
}

/// A headline figure falls with the reading that it is made of.
fn of_headline(subject: Subject<'_>, name: &'static str) -> Reason {
    let readings: &[&str] = match (subject, name) {
        (Subject::Process(_), "pss") => &["walk"],
        (Subject::Process(_), _) => &["counters", "walk"],
        (Subject::Cgroup(_), "limit") => return Reason::absent(name, "no limit is set"),
        (Subject::Cgroup(_), _) => &["stat", "usage"],
        (Subject::Host(_), _) => &["meminfo"],
    };
    let absences = absences(subject);
    match readings.iter().find_map(|what| absences.iter().find(|a| a.what == *what)) {
        Some(absence) => Reason { what: name, ..Reason::of(absence) },
        None => Reason::absent(name, "this kernel does not report it"),
    }
}
