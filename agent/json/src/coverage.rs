//! `memgap ps --coverage`: how much of anonymous memory is explained, and by which allocators.

use memgap_ledger::Coverage;
use memgap_ledger::coverage::{explained, residual, share};
use serde::Serialize;

/// The document.
#[derive(Debug, Serialize)]
pub struct CoverageDocument {
    coverage: CoverageJson,
    programs: Vec<Program>,
}

/// What is explained of some processes.
#[derive(Debug, Serialize)]
pub(super) struct CoverageJson {
    processes: usize,
    rss: i64,
    anonymous: i64,
    explained: Vec<Amount>,
    unread: Vec<String>,
    residual: Vec<Amount>,
    residual_bytes: i64,
    share_of_anonymous: Option<f64>,
    share_of_rss: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Program {
    name: String,
    #[serde(flatten)]
    coverage: CoverageJson,
}

#[derive(Debug, Serialize)]
struct Amount {
    name: String,
    bytes: i64,
}

/// The coverage of all processes, and of each program, in the order given.
pub fn coverage(all: &Coverage, programs: &[(String, Coverage)]) -> CoverageDocument {
    let program =
        |(name, one): &(String, Coverage)| Program { name: name.clone(), coverage: one.into() };
    CoverageDocument { coverage: all.into(), programs: programs.iter().map(program).collect() }
}

impl From<&Coverage> for CoverageJson {
    fn from(of: &Coverage) -> Self {
        let amounts = |rows: Vec<(&str, i64)>| {
            let amount = |(name, bytes): (&str, i64)| Amount { name: name.to_owned(), bytes };
            rows.into_iter().map(amount).collect()
        };
        Self {
            processes: of.processes,
            rss: of.rss,
            anonymous: of.anonymous,
            explained: amounts(explained(of)),
            unread: of.unread.iter().cloned().collect(),
            residual: amounts(residual(of)),
            residual_bytes: of.unexplained(),
            share_of_anonymous: share(of.unexplained(), of.anonymous),
            share_of_rss: share(of.unexplained(), of.rss),
        }
    }
}
