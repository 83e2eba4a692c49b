//! Sentences beside the ledger: who holds what, what it consists of, where to look next.

mod cgroup;
mod charges;
mod host;
mod sockets;

use crate::finding::Subject;

/// What is to be said of a subject that no account and no gap says.
pub fn notes(subject: Subject<'_>) -> Vec<String> {
    match subject {
        Subject::Process(process) => {
            sockets::of_process(process.sockets.as_ref()).into_iter().collect()
        }
        Subject::Cgroup(cgroup) => {
            let sockets = sockets::of_cgroup(cgroup.sockets.as_ref(), cgroup.version);
            cgroup::notes(cgroup).into_iter().chain(charges::notes(cgroup)).chain(sockets).collect()
        }
        Subject::Host(host) => host::notes(host),
    }
}
