//! `memgap diff`: two ledgers beside each other.

use memgap_ledger::Figure;
use memgap_ledger::diff::{Between, Change, Diff};
use serde::Serialize;

use crate::explanation::axis;

/// The document.
#[derive(Debug, Serialize)]
pub struct DiffDocument {
    diff: DiffJson,
}

#[derive(Debug, Serialize)]
struct DiffJson {
    scope: &'static str,
    from: String,
    to: String,
    /// What passed between two readings of one thing; `null` for two things.
    seconds: Option<f64>,
    sentence: String,
    headline: Vec<Headline>,
    accounts: Vec<Account>,
}

#[derive(Debug, Serialize)]
struct Headline {
    name: String,
    #[serde(flatten)]
    change: ChangeJson,
}

#[derive(Debug, Serialize)]
struct Account {
    name: &'static str,
    class: &'static str,
    axis: &'static str,
    #[serde(flatten)]
    change: ChangeJson,
}

/// The second less the first; `null` where one of them is not known.
#[derive(Debug, Serialize)]
struct ChangeJson {
    from: Option<i64>,
    to: Option<i64>,
    by: Option<i64>,
    low: Option<i64>,
    high: Option<i64>,
}

/// What differs between two ledgers, in the order of their accounts.
pub fn diff(diff: &Diff) -> DiffDocument {
    let headline = diff.headline.iter();
    let accounts = diff.accounts.iter();
    DiffDocument {
        diff: DiffJson {
            scope: diff.scope.name(),
            from: diff.names.0.clone(),
            to: diff.names.1.clone(),
            seconds: match diff.between {
                Between::Times(time) => Some(time.as_secs_f64()),
                Between::Things => None,
            },
            sentence: diff.sentence.clone(),
            headline: headline
                .map(|(name, change)| Headline { name: name.clone(), change: change.into() })
                .collect(),
            accounts: accounts
                .map(|(account, change)| Account {
                    name: account.name(),
                    class: account.class().name(),
                    axis: axis(diff.scope, *account),
                    change: change.into(),
                })
                .collect(),
        },
    }
}

impl From<&Change> for ChangeJson {
    fn from(change: &Change) -> Self {
        let (low, high) = Figure::bounds(change.by).unzip();
        let point = Figure::point;
        Self { from: point(change.from), to: point(change.to), by: point(change.by), low, high }
    }
}
