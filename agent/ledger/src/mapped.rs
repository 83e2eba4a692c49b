//! Files and shared memory in the mappings of a process.

use crate::sample::{AreaKind, Walk};

/// What a process maps, shared pages divided among their mappers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mapped {
    /// Contents of files.
    pub file: u64,
    /// Shared memory.
    pub shmem: u64,
}

/// What a walk saw.
pub(crate) fn mapped(walk: &Walk) -> Mapped {
    let sum = |kind: AreaKind| {
        let areas = walk.areas.iter().filter(|area| area.kind == kind);
        areas.fold(0u64, |sum, area| {
            sum.saturating_add(area.pss.saturating_sub(area.pss_anonymous()))
        })
    };
    Mapped { file: sum(AreaKind::File), shmem: sum(AreaKind::Shmem) }
}
