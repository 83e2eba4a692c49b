//! Pages that processes of a cgroup map and that another cgroup is charged for: the one
//! that touched them first.

use crate::behind::Behind;
use crate::figure::difference;
use crate::mapped::Mapped;
use crate::members::Members;
use crate::sample::MemoryStat;

/// What the processes of a cgroup map of other cgroups' pages, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Elsewhere {
    /// Contents of files.
    pub file: i64,
    /// Shared memory.
    pub shmem: i64,
}

/// The members map at least the sum of their parts; the cgroup is charged for no more than
/// all its pages of that kind, mapped or not, and those that `memory.stat` lacks yet. `None` where no member was walked.
pub(crate) fn of(stat: &MemoryStat, behind: Behind, members: Members<'_>) -> Option<Elsewhere> {
    let mut all: Option<Mapped> = None;
    for mapped in members.ok()?.iter().filter_map(|member| member.mapped) {
        let sum = all.get_or_insert_default();
        sum.file = sum.file.saturating_add(mapped.file);
        sum.shmem = sum.shmem.saturating_add(mapped.shmem);
    }
    let beyond = |mapped: u64, charged: u64| {
        difference(mapped, charged).saturating_sub(behind.lacks()).max(0)
    };
    all.map(|all| Elsewhere {
        file: beyond(all.file, stat.file.saturating_sub(stat.shmem)),
        shmem: beyond(all.shmem, stat.shmem),
    })
}
