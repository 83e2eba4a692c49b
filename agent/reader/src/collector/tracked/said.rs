//! What a process's `status` said when its name was read last.

use memgap_kernel::file::Buf;
use memgap_kernel::process::Process;
use memgap_kernel::source::status;

use super::Tracked;
use crate::collector::tenant::Tenant;
use crate::locked::Locked;

#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    /// What it locks.
    locked: Option<Locked>,
    /// The user that it runs as.
    user: Option<u32>,
}

impl Said {
    pub fn read(process: &Process, buf: &mut Buf) -> Self {
        let (counters, user) = match status::read_with_user(process, buf) {
            Ok((counters, user)) => (Ok(counters), user),
            Err(lack) => (Err(lack), None),
        };
        Self { locked: Locked::of_status(counters), user }
    }
}

impl Tracked {
    pub fn locked(&self) -> Option<Locked> {
        self.said.locked
    }

    /// Whose it is.
    pub fn tenant(&self) -> Tenant {
        Tenant::of(self.cgroup(), self.said.user)
    }
}
