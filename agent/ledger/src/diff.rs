//! Two ledgers of one scope beside each other, account by account: two things, or one at two
//! times, and what explains how they differ.

mod sentence;

use std::time::Duration;

use crate::account::{Account, RSS, Scope};
use crate::figure::Figure;
use crate::finding::Subject;
use crate::{headlines, reason};

/// What is compared of one thing at one time, be it read now or saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// What people call it.
    pub name: String,
    /// What its accounts are of.
    pub scope: Scope,
    /// The headline figures, by their stable names.
    pub headline: Vec<(String, Figure)>,
    /// Every account of the scope, in order.
    pub accounts: Vec<(Account, Figure)>,
    /// The names of the runtimes and allocators whose heap statistics were read.
    pub runtimes: Vec<String>,
}

/// How the two sides belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// One thing, so long after.
    Times(Duration),
    /// Two things.
    Things,
}

/// One figure of both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The first side's.
    pub from: Figure,
    /// The second side's.
    pub to: Figure,
    /// The second less the first; absent where one of them is not known.
    pub by: Figure,
}

/// What differs between two sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// What both are.
    pub scope: Scope,
    /// What people call them.
    pub names: (String, String),
    /// How they belong together.
    pub between: Between,
    /// The headline figures, by their stable names.
    pub headline: Vec<(String, Change)>,
    /// Every account, in order.
    pub accounts: Vec<(Account, Change)>,
    /// What explains the difference.
    pub sentence: String,
}

impl Side {
    /// What is compared of a subject.
    pub fn of(subject: Subject<'_>) -> Self {
        let ledger = reason::ledger(subject);
        let (name, runtimes) = match subject {
            Subject::Process(p) => (
                format!("{} {}", p.name, p.pid),
                p.runtimes.iter().map(|runtime| runtime.name.clone()).collect(),
            ),
            Subject::Cgroup(c) => {
                (headlines::cgroup_name(&c.path, &c.identity), c.runtimes.clone())
            }
            Subject::Host(_) => ("host".to_owned(), Vec::new()),
        };
        let headline = headlines::figures(subject).into_iter();
        Self {
            name,
            scope: ledger.scope(),
            headline: headline.map(|line| (line.name.to_owned(), line.figure)).collect(),
            accounts: ledger.entries().map(|entry| (entry.account, entry.figure)).collect(),
            runtimes,
        }
    }

    fn figure(&self, account: Account) -> Figure {
        let found = self.accounts.iter().find(|(one, _)| *one == account);
        found.map_or(Figure::Absent, |(_, figure)| *figure)
    }

    fn headline(&self, name: &str) -> Figure {
        let found = self.headline.iter().find(|(one, _)| one == name);
        found.map_or(Figure::Absent, |(_, figure)| *figure)
    }
}

impl Change {
    fn of(from: Figure, to: Figure) -> Self {
        let by = match (from.point(), to.point(), from.bounds(), to.bounds()) {
            (Some(from), Some(to), Some((low, high)), Some((to_low, to_high))) => Figure::interval(
                to_low.saturating_sub(high),
                to.saturating_sub(from),
                to_high.saturating_sub(low),
            ),
            _ => Figure::Absent,
        };
        Self { from, to, by }
    }

    /// Whether one of the two is known, and the other is not.
    pub fn is_of_one(&self) -> bool {
        (self.from == Figure::Absent) != (self.to == Figure::Absent)
    }

    /// The second point less the first, where what is not known counts nothing: its bytes
    /// stand on another account.
    fn of_points(&self) -> i64 {
        self.to.point().unwrap_or(0).saturating_sub(self.from.point().unwrap_or(0))
    }
}

/// Compares two sides; none where they are of two scopes, whose accounts are not the same.
pub fn diff(from: &Side, to: &Side, between: Between) -> Option<Diff> {
    if from.scope != to.scope {
        return None;
    }
    let headline = from.headline.iter().map(|(name, figure)| {
        let change = Change::of(*figure, to.headline(name));
        (name.clone(), change)
    });
    let accounts = from.scope.accounts();
    let accounts =
        accounts.map(|account| (account, Change::of(from.figure(account), to.figure(account))));
    let mut diff = Diff {
        scope: from.scope,
        names: (from.name.clone(), to.name.clone()),
        between,
        headline: headline.collect(),
        accounts: accounts.collect(),
        sentence: String::new(),
    };
    let runtime = (from.runtimes == to.runtimes).then_some(from.runtimes.as_slice());
    let runtime = match runtime {
        Some([only]) => Some(only.as_str()),
        _ => None,
    };
    diff.sentence = sentence::sentence(&diff, runtime);
    Some(diff)
}

/// The headline figure that is explained.
fn whole(scope: Scope) -> &'static str {
    match scope {
        Scope::Process => "rss",
        Scope::Cgroup | Scope::Host => "usage",
    }
}

/// Whether an account is part of what is explained.
fn is_part(scope: Scope, account: Account) -> bool {
    match scope {
        Scope::Process => RSS.contains(&account),
        Scope::Cgroup => true,
        // Usage is what is not free.
        Scope::Host => account != Account::MemFree,
    }
}

#[cfg(test)]
mod tests;
