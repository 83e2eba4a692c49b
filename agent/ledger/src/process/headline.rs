//! The figures of a process that operators know.

use crate::figure::Figure;
use crate::sample::{Area, ProcessKind, ProcessSample};

/// The figures that other tools show for a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessHeadline {
    /// `VmSize`.
    pub vsz: Figure,
    /// `VmRSS`.
    pub rss: Figure,
    /// Sum of the mappings' `Pss`: 0 where the same memory counts for another process.
    pub pss: Figure,
    /// Sum of the mappings' private pages, of files and shared memory too: 0 where another
    /// process has the same memory.
    pub uss: Figure,
    /// In use by the program's allocators' and runtimes' own statistics; the high bound
    /// includes what none were read of.
    pub in_use: Figure,
}

pub(super) fn headline(sample: &ProcessSample, in_use: Figure) -> ProcessHeadline {
    let walk = sample.walk.as_ref().ok();
    let sum = |field: fn(&Area) -> u64| {
        walk.map(|w| w.areas.iter().fold(0u64, |sum, a| sum.saturating_add(field(a))))
    };
    let of = |counter: Option<u64>, walked: Option<u64>| {
        counter.or(walked).map_or(Figure::Absent, Figure::exact)
    };
    let zero = (sample.kind != ProcessKind::User).then_some(0);
    let counters = sample.counters.as_ref().ok();
    // What the kernel shows for each of them as its own is not.
    let shared = sample.one_memory.as_ref();
    ProcessHeadline {
        vsz: of(zero.or(counters.map(|c| c.vsz)), sum(Area::size)),
        rss: of(zero.or(counters.map(|c| c.rss)), sum(|a| a.rss)),
        pss: of(zero.or(is_elsewhere(sample).then_some(0)), sum(|a| a.pss)),
        uss: of(zero.or(shared.map(|_| 0)), sum(|a| a.private)),
        in_use,
    }
}

/// Whether its memory counts for another process, which has the same.
pub(super) fn is_elsewhere(sample: &ProcessSample) -> bool {
    sample.one_memory.as_ref().is_some_and(|one| one.counted_at != sample.pid)
}
