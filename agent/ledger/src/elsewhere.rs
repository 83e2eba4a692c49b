//! Pages that processes of a cgroup map and that another cgroup is charged for: the one
//! that touched them first.

use crate::behind::Behind;
use crate::figure::{difference, signed};
use crate::members::Sums;
use crate::sample::MemoryStat;

/// What the processes of a cgroup map of other cgroups' pages, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Elsewhere {
    /// Contents of files.
    pub file: i64,
    /// Shared memory.
    pub shmem: i64,
    /// The most that both can be: all that they map.
    pub most: i64,
}

/// The members map at least the sum of their parts; the cgroup is charged for no more than
/// all its pages of that kind, mapped or not, and those that `memory.stat` lacks yet. `None` where no member was walked.
pub(crate) fn of(stat: &MemoryStat, behind: Behind, members: Sums<'_>) -> Option<Elsewhere> {
    let all = members.ok()?.mapped?;
    let beyond = |mapped: u64, charged: u64| {
        difference(mapped, charged).saturating_sub(behind.lacks()).max(0)
    };
    Some(Elsewhere {
        file: beyond(all.file, stat.file.saturating_sub(stat.shmem)),
        shmem: beyond(all.shmem, stat.shmem),
        most: signed(all.file.saturating_add(all.shmem)),
    })
}
