//! Why a reader could not do what it was asked for.

use std::path::PathBuf;

use memgap_ledger::Missing;

/// Errors of the reader; each message names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no procfs where it was looked for.
    #[error("{0}: mount procfs there, or name the place with --path.procfs")]
    Procfs(Missing),
    /// Something that everything else depends on could not be read.
    #[error("{0}")]
    Missing(#[from] Missing),
    /// The word names no kind of target.
    #[error("`{word}` is no target: {remedy}")]
    Usage {
        /// What was given.
        word: String,
        /// What may be given instead.
        remedy: &'static str,
    },
    /// The word names no endpoint that may be asked.
    #[error("`{word}` is no endpoint: {remedy}")]
    Endpoint {
        /// What was given.
        word: String,
        /// What may be given instead.
        remedy: &'static str,
    },
    /// Nothing of that name is there.
    #[error("{target} was not found: {remedy}")]
    NotFound {
        /// What was looked for.
        target: String,
        /// Where to look.
        remedy: &'static str,
    },
    /// Several things have that name.
    #[error("{target} is ambiguous: name one of {}", listed(candidates))]
    Ambiguous {
        /// What was looked for.
        target: String,
        /// Targets that say which.
        candidates: Vec<String>,
    },
    /// A recording could not be read.
    #[error("failed to read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A file is no recording, or not in its form.
    #[error("{}: {why}", path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        why: String,
    },
    /// A capture or a recording could not be written.
    #[error("failed to write {}: {source}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
}

/// The first few; a message is not a list.
fn listed(candidates: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut words = candidates.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if candidates.len() > SHOWN {
        words += &format!(" and {} more", candidates.len() - SHOWN);
    }
    words
}
