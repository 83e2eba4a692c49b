//! What allocators and runtimes of several processes could give back.

use std::cmp::Reverse;

use crate::figure::Figure;
use crate::kept::Kept;
use crate::process::ProcessLedger;

/// Free memory that could be given back now, of those who tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// Of all of them. Memory that several of them share counts for each.
    pub total: Figure,
    /// How many there are.
    pub processes: usize,
    /// Who could give back most: the process, its name, the allocator or runtime, and how much.
    pub pid: u32,
    /// Its name.
    pub process: String,
    /// Its allocator or runtime.
    pub runtime: String,
    /// How much.
    pub most: i64,
}

impl Retained {
    /// What one process could; none where nobody tells.
    pub fn of(process: &ProcessLedger) -> Option<Self> {
        let kept = Kept::of(process)?;
        let total = kept.returnable?;
        Some(Self {
            total,
            processes: 1,
            pid: process.pid,
            process: process.name.clone(),
            runtime: kept.most.name.clone(),
            most: total.point()?,
        })
    }

    /// With others.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let total = self.total.plus(other.total);
        let processes = self.processes + other.processes;
        let rank = |one: &Self| (one.most, Reverse(one.pid));
        let larger = if rank(&other) > rank(&self) { other } else { self };
        Self { total, processes, ..larger }
    }
}
