//! Coverage: how much of the anonymous memory of processes is explained, and by which allocators.

use std::collections::{BTreeMap, BTreeSet};

use crate::account::Account;
use crate::figure::signed;
use crate::process::ProcessLedger;

/// The accounts that stand for what is not explained, of one process each.
pub const RESIDUAL: [Account; 4] =
    [Account::HeapUnprobed, Account::Unexplained, Account::Unreadable, Account::Skew];

/// What is explained of the anonymous memory of some processes: bytes, pages that
/// several of them share divided among them (`Pss_Anon`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How many processes.
    pub processes: usize,
    /// The sum of their RSS.
    pub rss: i64,
    /// The sum of their anonymous memory.
    pub anonymous: i64,
    /// What of it the heap statistics of each runtime or allocator explain.
    pub owners: BTreeMap<String, i64>,
    /// Names of the runtimes and allocators that were not read.
    pub unread: BTreeSet<String>,
    /// What of it is lazily freed, by the kernel's word.
    pub lazy_free: i64,
    /// What nothing explains, by account; `skew` without regard to its sign, which
    /// is of the RSS.
    pub residual: BTreeMap<Account, i64>,
    /// What claims said twice or beyond the mappings.
    pub cut: i64,
}

impl Coverage {
    /// The coverage of processes.
    pub fn of<'p>(processes: impl IntoIterator<Item = &'p ProcessLedger>) -> Self {
        let mut coverage = Self::default();
        for process in processes {
            coverage.add(process);
        }
        coverage
    }

    /// Adds a process.
    pub fn add(&mut self, process: &ProcessLedger) {
        let grow = |sum: &mut i64, bytes: i64| *sum = sum.saturating_add(bytes);
        self.processes += 1;
        grow(&mut self.rss, process.headline.rss.point().unwrap_or(0));
        if process.is_counted_elsewhere() {
            return;
        }
        grow(&mut self.cut, signed(process.cut));
        for (owner, bytes) in &process.owners {
            grow(self.owners.entry(owner.clone()).or_default(), *bytes);
        }
        let named = process.unread.iter().filter(|unread| !unread.name.is_empty());
        self.unread.extend(named.map(|unread| unread.name.clone()));
        for &(account, bytes) in &process.charged {
            grow(&mut self.anonymous, bytes);
            if account == Account::LazyFree {
                grow(&mut self.lazy_free, bytes);
            } else if RESIDUAL.contains(&account) {
                grow(self.residual.entry(account).or_default(), bytes);
            }
        }
        let skew = process.ledger.booked(Account::Skew).saturating_abs();
        grow(self.residual.entry(Account::Skew).or_default(), skew);
    }

    /// What the kernel's mappings explain: stacks, and written data of programs and
    /// libraries.
    pub fn mappings(&self) -> i64 {
        let unknown = self.residual.iter().filter(|(account, _)| **account != Account::Skew);
        let others = self.owners.values().chain(unknown.map(|(_, bytes)| bytes));
        let others = others.fold(self.lazy_free, |sum, bytes| sum.saturating_add(*bytes));
        self.anonymous.saturating_sub(others)
    }

    /// Everything that speaks against the explanation: the residual accounts, and
    /// what was cut.
    pub fn unexplained(&self) -> i64 {
        self.residual.values().fold(self.cut, |sum, bytes| sum.saturating_add(*bytes))
    }
}

/// The coverage of each program by name, the least explained first.
pub fn by_program(processes: &[ProcessLedger]) -> Vec<(String, Coverage)> {
    let mut programs: BTreeMap<&str, Coverage> = BTreeMap::new();
    for process in processes {
        programs.entry(&process.name).or_default().add(process);
    }
    let mut programs: Vec<_> =
        programs.into_iter().map(|(name, coverage)| (name.to_owned(), coverage)).collect();
    programs.sort_by_key(|(_, coverage)| std::cmp::Reverse(coverage.unexplained()));
    programs
}

/// What explains it, by bytes: heap statistics by their owner, then what the kernel tells.
pub fn explained(of: &Coverage) -> Vec<(&str, i64)> {
    let mut rows: Vec<_> = of.owners.iter().map(|(owner, bytes)| (&**owner, *bytes)).collect();
    rows.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    rows.extend([("mappings", of.mappings()), ("lazy_free", of.lazy_free)]);
    rows
}

/// What nothing explains, by account, and what was cut.
pub fn residual(of: &Coverage) -> Vec<(&'static str, i64)> {
    let bytes = |account| of.residual.get(&account).copied().unwrap_or(0);
    let rows = RESIDUAL.iter().map(|account| (account.name(), bytes(*account)));
    rows.chain([("cut", of.cut)]).collect()
}

/// A part of a whole; none of a whole that is nothing.
pub fn share(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
