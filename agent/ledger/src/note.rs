//! Sentences beside the ledger: who holds what, what it consists of, where to look next.

mod cgroup;
mod host;

use crate::finding::Subject;

/// What is to be said of a subject that no account and no gap says.
pub fn notes(subject: Subject<'_>) -> Vec<String> {
    match subject {
        Subject::Process(_) => Vec::new(),
        Subject::Cgroup(cgroup) => cgroup::notes(cgroup),
        Subject::Host(host) => host::notes(host),
    }
}
