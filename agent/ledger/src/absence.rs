//! What is missing from an answer, and why: every absent figure has its reason.

use crate::{Account, Fact, Figure, Ledger, Missing};

/// Something that was not read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// The name of the figure, account or reading.
    pub what: &'static str,
    /// The reason.
    pub missing: Missing,
}

impl Absence {
    /// Records that `what` is missing.
    pub fn new(what: &'static str, missing: &Missing) -> Self {
        Self { what, missing: missing.clone() }
    }
}

/// Records a fact that is missing.
pub(crate) fn note<T>(absent: &mut Vec<Absence>, what: &'static str, fact: &Fact<T>) {
    if let Err(missing) = fact {
        absent.push(Absence::new(what, missing));
    }
}

/// Records every absent account with the reason that `why` gives for it.
pub(crate) fn of_accounts<'a>(
    absent: &mut Vec<Absence>,
    ledger: &Ledger,
    why: impl Fn(Account) -> Option<&'a Missing>,
) {
    let unknown = Missing::absent("not read");
    let unread = || ledger.entries().filter(|e| e.figure == Figure::Absent);
    absent.reserve(unread().count());
    for entry in unread() {
        let missing = why(entry.account).unwrap_or(&unknown);
        absent.push(Absence::new(entry.account.name(), missing));
    }
}
