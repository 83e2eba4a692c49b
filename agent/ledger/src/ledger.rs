//! A ledger: the fixed accounts of one scope, each with its figure.

use std::time::Duration;

use crate::account::{CGROUP, HOST, RSS, VSZ};
use crate::{Account, Class, Figure, Scope};

/// One line of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The account.
    pub account: Account,
    /// Its bytes and their quality.
    pub figure: Figure,
    /// The kernel file or runtime that the figure comes from.
    pub source: &'static str,
    /// How old the reading behind it was when the ledger was made.
    pub age: Duration,
}

/// Every account of a scope, in the order of the scope's axis. The set never
/// depends on what could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    scope: Scope,
    entries: Vec<Entry>,
}

impl Ledger {
    /// A ledger of absent figures.
    pub fn empty(scope: Scope) -> Self {
        let entries = scope
            .accounts()
            .map(|account| Entry {
                account,
                figure: Figure::Absent,
                source: "",
                age: Duration::ZERO,
            })
            .collect();
        Self { scope, entries }
    }

    /// What the ledger is about.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// All entries, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The figure of an account; absent for one that is not of this scope.
    pub fn figure(&self, account: Account) -> Figure {
        self.entries.get(self.scope.place(account)).map_or(Figure::Absent, |e| e.figure)
    }

    /// The bytes booked on an account: its point, 0 where nothing is booked.
    pub fn booked(&self, account: Account) -> i64 {
        self.figure(account).point().unwrap_or(0)
    }

    /// The sum of the points of the accounts named.
    pub fn sum(&self, accounts: &[Account]) -> i64 {
        accounts.iter().fold(0, |sum, a| sum.saturating_add(self.booked(*a)))
    }

    /// The sum of all points: what the scope's headline must equal.
    pub fn total(&self) -> i64 {
        self.entries.iter().fold(0, |sum, e| sum.saturating_add(e.figure.point().unwrap_or(0)))
    }

    /// The sum of the points of one class.
    pub fn class(&self, class: Class) -> i64 {
        self.entries
            .iter()
            .filter(|e| e.account.class() == class)
            .fold(0, |sum, e| sum.saturating_add(e.figure.point().unwrap_or(0)))
    }

    /// Books a figure. An account outside the scope is a programming error and
    /// is caught by the conservation tests; it changes nothing here.
    pub fn book(&mut self, account: Account, figure: Figure, source: &'static str, age: Duration) {
        if let Some(entry) = self.entries.get_mut(self.scope.place(account)) {
            *entry = Entry { account, figure, source, age };
        }
    }
}

/// How many accounts there are.
const ACCOUNTS: usize = Account::VszSkew as usize + 1;

/// The place of an account that is not of a scope.
const NOWHERE: u8 = u8::MAX;

/// Where each account stands in the ledgers of a scope. Ledgers are looked into so often that
/// a search tells.
static PLACES: [[u8; ACCOUNTS]; 3] = [places(RSS, VSZ), places(CGROUP, &[]), places(HOST, &[])];

const fn places(inner: &[Account], outer: &[Account]) -> [u8; ACCOUNTS] {
    let mut places = [NOWHERE; ACCOUNTS];
    let mut at = 0;
    while at < inner.len() + outer.len() {
        let account = if at < inner.len() { inner[at] } else { outer[at - inner.len()] };
        #[allow(clippy::cast_possible_truncation, reason = "there are fewer accounts")]
        {
            places[account as usize] = at as u8;
        }
        at += 1;
    }
    places
}

impl Scope {
    /// Where an account stands in the ledgers of the scope, beyond their end where it is not
    /// of it.
    fn place(self, account: Account) -> usize {
        usize::from(PLACES[self as usize][account as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_is_found_where_it_stands() {
        for scope in Scope::ALL {
            let ledger = Ledger::empty(scope);
            for (at, entry) in ledger.entries().iter().enumerate() {
                assert_eq!(scope.place(entry.account), at, "{scope:?} {:?}", entry.account);
            }
            let all = Scope::ALL.into_iter().flat_map(Scope::accounts);
            for other in all.filter(|account| scope.accounts().all(|own| own != *account)) {
                assert!(scope.place(other) >= ledger.entries().len(), "{scope:?} {other:?}");
            }
        }
    }
}
