//! Why a reader could not do what it was asked for.

use memgap_ledger::Missing;

/// Errors of the reader; each message names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no procfs where it was looked for.
    #[error("{0}: mount procfs there, or name the place with --path.procfs")]
    Procfs(Missing),
}
