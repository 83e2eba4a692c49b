//! What this program takes itself, where its own cgroup is limited: near the limit it gives
//! up what it keeps, step by step, rather than to be killed.

use memgap_kernel::cgroups::{OwnCgroup, Pressure};
use memgap_ledger::{Missing, MissingKind};

use super::tracked::Tracked;
use super::{CGROUPS_PART, CollectionStats, Collector, MAX_OF_CGROUPS};

/// Hundredths of the limit beyond which a step is taken, and below which one is taken back.
const HIGH: u64 = 80;
const LOW: u64 = 60;

/// Collections far from the limit after which a step is taken back; twice as many each time
/// that it proves to have been too early.
const CALM: u32 = 32;
const MOST_CALM: u32 = 32 * CALM;

/// Of the limit, the part that handles may take. The kernel keeps a page for each that was
/// read (fs/seq_file.c), beside the file itself, its name and its inode, and charges it here.
const HANDLES_PART: u64 = 8;
const HANDLE: u64 = 5 << 10;

/// What else the kernel holds for this program and can not take back: stacks of threads,
/// page tables, sockets, pages of which one part is in use. Beside 3,000 processes some 6 MiB
/// were left where no file stayed open.
const KERNEL: u64 = 8 << 20;

/// Processes whose counters are read between two looks.
pub(super) const STRIDE: usize = 256;

/// What is given up for want of memory: each step what those before it do, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Degraded {
    /// Nothing.
    #[default]
    No,
    /// No file is kept open from one collection to the next, and nothing is made of ledgers
    /// beside metrics.
    Handles,
    /// No walk is made, and none is kept.
    Walks,
    /// No heap statistics are read, and none are kept.
    HeapStatistics,
    /// No ledger of a process is kept, and no group of processes is shown by its name.
    Groups,
}

impl Degraded {
    /// Every step, in order.
    pub const ALL: [Self; 5] =
        [Self::No, Self::Handles, Self::Walks, Self::HeapStatistics, Self::Groups];

    /// What it gives up, in words.
    pub const fn gives_up(self) -> &'static str {
        match self {
            Self::No => "nothing",
            Self::Handles => "files that are kept open and documents",
            Self::Walks => "walks",
            Self::HeapStatistics => "heap statistics",
            Self::Groups => "process groups",
        }
    }

    fn further(self) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step > self)
    }

    fn back(self) -> Self {
        Self::ALL.into_iter().rev().find(|step| *step < self).unwrap_or_default()
    }
}

/// The own cgroup, and how far it has come.
#[derive(Debug, Default)]
pub(super) struct OwnMemory {
    cgroup: Option<OwnCgroup>,
    pub step: Degraded,
    /// The most that was taken of the limit since the collection before last ended, as far as
    /// it was looked at; none without a limit.
    pub most: Option<Pressure>,
    is_limited: bool,
    /// The collections in a row that were far from the limit, and how many are waited for.
    calm: u32,
    patience: u32,
    /// Whether more than little of the limit was taken since the collection began.
    was_near: bool,
}

impl OwnMemory {
    pub fn of(cgroup: Option<OwnCgroup>) -> Self {
        Self { cgroup, patience: CALM, ..Self::default() }
    }

    /// How many handles may be open, of those that the limit of open files allows.
    fn handles(&mut self, allowed: usize) -> usize {
        let limit = self.cgroup.as_mut().and_then(OwnCgroup::limit);
        self.is_limited = limit.is_some();
        let Some(limit) = limit else { return allowed };
        if self.step >= Degraded::Handles {
            return 0;
        }
        allowed.min(usize::try_from(limit / HANDLES_PART / HANDLE).unwrap_or(usize::MAX))
    }

    /// Looks how near the limit is with so many handles open; whether a step further is taken.
    fn look(&mut self, handles: usize) -> bool {
        let Some(cgroup) = self.cgroup.as_mut().filter(|_| self.is_limited) else { return false };
        let kernel = KERNEL.saturating_add((handles as u64).saturating_mul(HANDLE));
        let Some(pressure) = cgroup.pressure(kernel) else { return false };
        self.was_near |= pressure.is_over(LOW);
        let before = self.most.filter(|most| most.used > pressure.used);
        self.most = before.or(Some(pressure));
        pressure.is_over(HIGH) && self.go_on()
    }

    fn go_on(&mut self) -> bool {
        let Some(further) = self.step.further() else { return false };
        self.step = further;
        self.calm = 0;
        true
    }

    /// Takes a step back where all was well for long enough, and tells which.
    fn begin(&mut self) -> Option<Degraded> {
        if std::mem::take(&mut self.was_near) || self.step == Degraded::No {
            self.calm = 0;
            return None;
        }
        self.calm += 1;
        if self.calm < self.patience {
            return None;
        }
        let step = self.step;
        self.step = step.back();
        self.calm = 0;
        self.patience = self.patience.saturating_mul(2).min(MOST_CALM);
        Some(step)
    }
}

impl Collector {
    /// What is given up for want of memory.
    pub fn degraded(&self) -> Degraded {
        self.own.step
    }

    /// Begins a collection: how many files may be open in it.
    pub(super) fn begin_within_limits(&mut self, stats: &mut CollectionStats) {
        stats.taken_back = self.own.begin();
        self.limit_handles();
        self.keep_within_limit();
    }

    fn limit_handles(&mut self) {
        let handles = self.own.handles(self.allowed_handles);
        if self.open_at_most == handles {
            return;
        }
        let of_cgroups = (handles / CGROUPS_PART).min(MAX_OF_CGROUPS);
        if self.of_cgroups != of_cgroups {
            self.reader.keep_cgroups_open(of_cgroups);
        }
        (self.open_at_most, self.of_cgroups) = (handles, of_cgroups);
        self.max_handles = handles - of_cgroups;
    }

    /// Looks how much of the limit is taken, and gives something up where it is too much.
    /// To be called at any time between two readings.
    pub fn keep_within_limit(&mut self) {
        while self.own.is_limited && self.own.look(self.handles() + self.of_cgroups) {
            let (step, pressure) = (self.own.step, self.own.most);
            for tracked in self.tracked.values_mut() {
                give_up(tracked, step, self.round);
            }
            self.limit_handles();
            if step >= Degraded::HeapStatistics {
                self.reader.probes().forget_unused(0);
            }
            self.given_up.push((step, pressure));
        }
    }

    /// Why something is left out that a step gives up.
    pub fn lacks_memory(&self, step: Degraded) -> Option<Missing> {
        (self.own.step >= step).then(why)
    }
}

fn give_up(tracked: &mut Tracked, step: Degraded, round: u64) {
    match step {
        Degraded::No => {}
        Degraded::Handles => tracked.close(round),
        Degraded::Walks => tracked.forget_walk(&why()),
        Degraded::HeapStatistics => tracked.forget_statistics(&why(), round),
        Degraded::Groups => tracked.forget_ledger(),
    }
}

fn why() -> Missing {
    let why = "memgap itself has too little memory: raise the limit of its cgroup";
    Missing::new(MissingKind::Refused, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_in_order_and_back_after_a_while() {
        let mut own = OwnMemory::of(None);
        assert!(!own.look(usize::MAX), "without a limit there is none to be near");
        for step in &Degraded::ALL[1..] {
            assert!(own.go_on());
            assert_eq!(own.step, *step);
        }
        assert!(!own.go_on());
        // Near the limit nothing is taken back, however long.
        for _ in 0..2 * CALM {
            own.was_near = true;
            own.begin();
        }
        assert_eq!(own.step, Degraded::Groups);
        for _ in 0..CALM {
            assert_eq!(own.step, Degraded::Groups);
            own.begin();
        }
        assert_eq!(own.step, Degraded::HeapStatistics);
        // The next one takes longer.
        for _ in 0..2 * CALM - 1 {
            own.begin();
        }
        assert_eq!(own.step, Degraded::HeapStatistics);
        own.begin();
        assert_eq!(own.step, Degraded::Walks);
    }
}
