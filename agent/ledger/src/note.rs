//! Sentences beside the ledger: who holds what, what it consists of, where to look next.

mod cgroup;
mod charges;
mod held;
mod host;
mod process;
mod sockets;

use process::notes as process_notes;

use crate::finding::{self, Subject};

/// What is to be said of a subject that no account and no gap says.
pub fn notes(subject: Subject<'_>) -> Vec<String> {
    match subject {
        Subject::Process(process) => {
            let sockets = sockets::of_process(process.sockets.as_ref());
            let sockets = sockets.filter(|_| !finding::is_found("sockets", subject));
            process_notes(process).into_iter().chain(sockets).collect()
        }
        Subject::Cgroup(cgroup) => {
            let sockets = sockets::of_cgroup(cgroup.sockets.as_ref(), cgroup.version);
            let sockets = sockets.filter(|_| !finding::is_found("sockets", subject));
            let notes = cgroup::notes(cgroup).into_iter().chain(charges::notes(cgroup));
            notes
                .chain(held::notes(cgroup.held.as_ref(), cgroup.shmem_unmapped))
                .chain(sockets)
                .collect()
        }
        Subject::Host(host) => host::notes(host),
    }
}
