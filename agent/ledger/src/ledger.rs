//! A ledger: the fixed accounts of one scope, each with its figure.

use std::time::Duration;

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
        self.entries.iter().find(|e| e.account == account).map_or(Figure::Absent, |e| e.figure)
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
        if let Some(entry) = self.entries.iter_mut().find(|e| e.account == account) {
            *entry = Entry { account, figure, source, age };
        }
    }
}
