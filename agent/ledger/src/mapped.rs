//! Files and shared memory in the mappings of a process.

use crate::sample::{Area, AreaKind, Walk};

/// What a walk saw beyond accounts: what a process maps, shared pages divided among their
/// mappers, and what is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mapped {
    /// Contents of files.
    pub file: u64,
    /// Shared memory.
    pub shmem: u64,
    /// Address space of shared memory, touched or not.
    pub shmem_space: u64,
    /// Address space of files and shared memory that this process has not touched: others
    /// may have.
    pub untouched: u64,
    /// Anonymous pages that nothing else maps: its end gives them back. What is private of
    /// files and shared memory stays with the file, which may be mapped or open elsewhere.
    pub own: u64,
}

impl Mapped {
    /// The sum of two.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            file: self.file.saturating_add(other.file),
            shmem: self.shmem.saturating_add(other.shmem),
            shmem_space: self.shmem_space.saturating_add(other.shmem_space),
            untouched: self.untouched.saturating_add(other.untouched),
            own: self.own.saturating_add(other.own),
        }
    }
}

/// What a walk saw; where another process has the same memory, nothing of it is its own.
pub(crate) fn mapped(walk: &Walk, is_shared: bool) -> Mapped {
    let sum = |kind: AreaKind| {
        let areas = walk.areas.iter().filter(|area| area.kind == kind);
        areas.fold(0u64, |sum, area| {
            sum.saturating_add(area.pss.saturating_sub(area.pss_anonymous()))
        })
    };
    let untouched = walk
        .areas
        .iter()
        .filter(|area| area.accessible && matches!(area.kind, AreaKind::File | AreaKind::Shmem));
    Mapped {
        file: sum(AreaKind::File),
        shmem: sum(AreaKind::Shmem),
        shmem_space: walk
            .areas
            .iter()
            .filter(|area| area.kind == AreaKind::Shmem)
            .fold(0, |sum, area| sum.saturating_add(area.size())),
        untouched: untouched.fold(0, |sum, area| {
            let away = area.size().saturating_sub(area.rss).saturating_sub(area.swap);
            sum.saturating_add(away.saturating_sub(area.hugetlb))
        }),
        own: if is_shared { 0 } else { walk.areas.iter().map(own).fold(0, u64::saturating_add) },
    }
}

/// `smaps` does not say which of the private pages are anonymous: at least what is more than
/// all pages of the file.
fn own(area: &Area) -> u64 {
    area.private.saturating_sub(area.rss.saturating_sub(area.anonymous))
}

/// Bytes in huge pages; not known where the kernel says so of no mapping.
pub(crate) fn huge(areas: &[Area]) -> Option<u64> {
    let known = areas.iter().filter_map(|area| area.huge);
    known.reduce(u64::saturating_add)
}

/// Locked pages that are page cache.
pub(crate) fn locked_file(areas: &[Area]) -> u64 {
    areas.iter().fold(0, |sum, a| sum.saturating_add(locked_cache(a)))
}

/// Locked pages that are not: anonymous and shared memory.
pub(crate) fn locked_other(areas: &[Area]) -> u64 {
    areas.iter().fold(0, |sum, a| sum.saturating_add(a.locked.saturating_sub(locked_cache(a))))
}

fn locked_cache(area: &Area) -> u64 {
    let cache = area.pss.saturating_sub(area.pss_anonymous());
    if area.kind == AreaKind::File { area.locked.min(cache) } else { 0 }
}
