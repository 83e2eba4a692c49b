//! A ledger: the fixed accounts of one scope, each with its figure.

use std::time::Duration;

use crate::account::{CGROUP, HOST, RSS, VSZ};
use crate::{Account, Class, Figure, Scope};

/// One line of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// A bit for each place whose figure is not absent. Of most processes few accounts are
    /// known, and there are many processes.
    known: u64,
    /// Their entries, in order.
    entries: Vec<Entry>,
}

impl Ledger {
    /// A ledger of absent figures.
    pub fn empty(scope: Scope) -> Self {
        Self { scope, known: 0, entries: Vec::new() }
    }

    /// What the ledger is about.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// All entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.scope.accounts().map(|account| self.entry(account))
    }

    /// The entry of an account; absent for one that is not of this scope.
    pub fn entry(&self, account: Account) -> Entry {
        let absent = Entry { account, figure: Figure::Absent, source: "", age: Duration::ZERO };
        self.place(account).and_then(Result::ok).map_or(absent, |at| self.entries[at])
    }

    /// The figure of an account; absent for one that is not of this scope.
    pub fn figure(&self, account: Account) -> Figure {
        self.place(account)
            .and_then(Result::ok)
            .map_or(Figure::Absent, |at| self.entries[at].figure)
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
        let is_absent = figure == Figure::Absent;
        let entry = Entry { account, figure, source, age };
        match self.place(account) {
            Some(Ok(at)) if is_absent => {
                self.entries.remove(at);
                self.known &= !self.scope.bit(account);
            }
            Some(Ok(at)) => self.entries[at] = entry,
            Some(Err(at)) if !is_absent => {
                self.entries.insert(at, entry);
                self.known |= self.scope.bit(account);
            }
            Some(Err(_)) | None => {}
        }
    }

    /// Gives back memory for entries that it does not have.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// Where the entry of an account stands or would stand; none of one of another scope.
    /// Ledgers are looked into so often that a search tells.
    fn place(&self, account: Account) -> Option<Result<usize, usize>> {
        let bit = self.scope.bit(account);
        let before = self.known & bit.checked_sub(1)?;
        let at = before.count_ones() as usize;
        Some(if self.known & bit == 0 { Err(at) } else { Ok(at) })
    }
}

/// How many accounts there are.
const ACCOUNTS: usize = Account::VszSkew as usize + 1;

/// The place of an account that is not of a scope.
const NOWHERE: u8 = u8::MAX;

/// Where each account stands in the ledgers of a scope.
static PLACES: [[u8; ACCOUNTS]; 3] = [places(RSS, VSZ), places(CGROUP, &[]), places(HOST, &[])];

const fn places(inner: &[Account], outer: &[Account]) -> [u8; ACCOUNTS] {
    assert!(inner.len() + outer.len() <= u64::BITS as usize, "there is a bit for each");
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
    /// One bit, higher for accounts further on; none for those of other scopes.
    fn bit(self, account: Account) -> u64 {
        1u64.checked_shl(PLACES[self as usize][account as usize].into()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_is_found_where_it_was_booked() {
        for scope in Scope::ALL {
            let accounts: Vec<Account> = scope.accounts().collect();
            let mut ledger = Ledger::empty(scope);
            // In another order than they stand in.
            for (nth, account) in (0i64..).zip(accounts.iter().rev()) {
                ledger.book(*account, Figure::Exact(nth), "a test", Duration::ZERO);
            }
            let found: Vec<Account> = ledger.entries().map(|entry| entry.account).collect();
            assert_eq!(found, accounts);
            for (nth, account) in (0i64..).zip(accounts.iter().rev()) {
                assert_eq!(ledger.figure(*account), Figure::Exact(nth), "{scope:?} {account:?}");
                ledger.book(*account, Figure::Absent, "a test", Duration::ZERO);
                assert_eq!(ledger.figure(*account), Figure::Absent);
            }
            let all = Scope::ALL.into_iter().flat_map(Scope::accounts);
            for other in all.filter(|account| !accounts.contains(account)) {
                ledger.book(other, Figure::Exact(1), "a test", Duration::ZERO);
                assert_eq!(ledger.figure(other), Figure::Absent, "{scope:?} {other:?}");
            }
            assert_eq!(ledger, Ledger::empty(scope));
        }
    }
}
