//! What allocators and runtimes of several processes keep free: what they could give back, and what
//! lies in pages with memory in use.

use std::cmp::Reverse;

use crate::account::Account;
use crate::figure::Figure;
use crate::kept::Kept;
use crate::ledger::Ledger;
use crate::process::ProcessLedger;
use crate::size::iec;

/// Free memory of one of these sorts, of those who tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// Of all of them. Memory that several of them share counts for each.
    pub total: Figure,
    /// How many there are.
    pub processes: usize,
    /// Who keeps most: the process, its name, the allocator or runtime, and how much.
    pub pid: u32,
    /// Its name.
    pub process: String,
    /// Its allocator or runtime.
    pub runtime: String,
    /// How much.
    pub most: i64,
}

impl Retained {
    /// What one process could give back now; none where nobody tells.
    pub(crate) fn returnable(process: &ProcessLedger, kept: &Kept<'_>) -> Option<Self> {
        Self::of(process, kept, kept.returnable?)
    }

    /// What one process keeps free in pages with memory in use.
    pub(crate) fn pinned(process: &ProcessLedger, kept: &Kept<'_>) -> Option<Self> {
        Self::of(process, kept, kept.pinned()?)
    }

    fn of(process: &ProcessLedger, kept: &Kept<'_>, total: Figure) -> Option<Self> {
        Some(Self {
            total,
            processes: 1,
            pid: process.pid,
            process: process.name.clone(),
            runtime: kept.most.name.clone(),
            most: total.point()?,
        })
    }

    /// What of it a cgroup is charged for: pages that several share are charged once.
    pub(crate) fn charged_to(&self, ledger: &Ledger) -> Option<Figure> {
        let charged = ledger.figure(Account::AllocatorFree).bounds()?.1;
        let (low, high) = self.total.bounds()?;
        let point = self.total.point()?.min(charged);
        Some(Figure::interval(low.min(point), point, high.min(charged)))
    }

    /// Who keeps most, as `name (pid 1)`.
    pub(crate) fn whose(&self) -> String {
        format!("{} (pid {})", self.process, self.pid)
    }

    /// Who keeps most, how much, and how many keep some.
    pub(crate) fn evidence(&self) -> String {
        let (name, whose, most) = (&self.runtime, self.whose(), iec(self.most));
        match self.processes {
            1 => format!("{name} of {whose}: {most}"),
            n => format!("{name} of {whose}: {most}; {n} processes keep some"),
        }
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
