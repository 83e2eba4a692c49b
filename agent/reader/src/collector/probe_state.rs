//! The runtimes of one process, and their heap statistics when they were last read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use memgap_kernel::memory::Live;
use memgap_ledger::runtime::RecentGc;
use memgap_ledger::sample::ProcessSample;
use memgap_ledger::{Fact, Missing, MissingKind, Runtime, Unread};
use memgap_probes::{Attached, Look, Read, Refused};

use super::CollectionStats;
use super::pace::{self, Pace};

/// Collections between two looks at a process: it may have loaded a library.
const AGAIN: u64 = 16;
/// And where its address space kept its size meanwhile: what it loaded may be just
/// as large as what it gave up.
pub(super) const SAME: u64 = 8 * AGAIN;
/// And after one in which a runtime did not show its heap statistics: it may be starting.
const SOON: u64 = 4;

/// Looks at a process that is new, each of which reads its heap statistics.
const FIRST_LOOKS: u64 = 2;

/// What a process costs that was never looked at.
const FIRST_GUESS: Duration = Duration::from_micros(100);

/// The runtimes of a process and their heap statistics when they were read last.
#[derive(Debug)]
pub(super) struct ProbeState {
    /// How often it was looked at, and the size of its address space then.
    looks: u64,
    vsz: u64,
    /// The collections that do so next: where that size has changed, and in any case.
    look: u64,
    pub look_anyway: u64,
    /// Where among its files the next look goes on: one look opens some only.
    rest: usize,
    /// The last collection that spent anything on it, and the CPU time that it took.
    served: u64,
    cost: Duration,
    /// Kept open where there is a runtime, and room.
    pub memory: Option<Live>,
    runtimes: Arc<[Attached]>,
    /// Those whose heap statistics were not found, and why.
    refused: Vec<Refused>,
    /// All of one time, so that no two claim a byte that went from one to the other.
    statistics: Vec<Read>,
    read: Instant,
    /// What was resident when they were asked for.
    rss: u64,
    /// How often they were read.
    reads: u64,
    /// How often what is said of them has changed.
    version: u64,
}

/// A process that waits to be looked at, or for its heap statistics to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub pid: u32,
    /// Collections that it waits for, this one counted.
    pub waits: u64,
    pub cost: Duration,
}

/// What is needed to look at a process, or to read the heap statistics of its runtimes.
#[derive(Debug)]
pub(super) struct Probing {
    /// Whether it is time to look for runtimes.
    pub look: bool,
    /// The size of its address space.
    pub vsz: u64,
    /// Where among its files a look goes on.
    pub from: usize,
    pub memory: Option<Live>,
    pub runtimes: Arc<[Attached]>,
}

/// What a look at a process found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub runtimes: Arc<[Attached]>,
    refused: Vec<Refused>,
    /// How many mappings the process has.
    pub mappings: usize,
    /// Whether its mount table is longer than may be read.
    pub are_mounts_unknown: bool,
    /// Where among its files the next look goes on.
    rest: Option<usize>,
}

impl Found {
    /// Whether some of its files are yet to be looked at.
    pub fn is_in_part(&self) -> bool {
        self.rest.is_some()
    }
}

impl From<Look> for Found {
    fn from(Look { found, mappings, are_mounts_unknown, rest }: Look) -> Self {
        let (mut runtimes, mut refused) = (Vec::new(), Vec::new());
        for one in found {
            match one {
                Ok(attached) => runtimes.push(attached),
                Err(lack) => refused.push(lack),
            }
        }
        Self { runtimes: runtimes.into(), refused, mappings, are_mounts_unknown, rest }
    }
}

/// Tells what a runtime's collector did since its heap statistics `before` were read.
pub(super) fn add_recent(runtime: &mut Runtime, before: &[Read], over: Duration) {
    let mut then = before.iter().flatten().map(|statistics| &statistics.runtime);
    let is_same = |then: &&Runtime| then.name == runtime.name && then.file == runtime.file;
    let then = then.find(is_same).and_then(|then| then.gc.as_ref()?.cycles);
    if let (Some(gc), Some(then)) = (&mut runtime.gc, then) {
        let cycles = gc.cycles.and_then(|now| now.checked_sub(then));
        gc.recent = cycles.map(|cycles| RecentGc { cycles, over });
    }
}

impl ProbeState {
    /// Of a process that is met in a collection for the first time.
    pub fn new(round: u64) -> Self {
        Self {
            looks: 0,
            vsz: 0,
            look: round,
            look_anyway: round,
            rest: 0,
            served: round,
            cost: FIRST_GUESS,
            memory: None,
            runtimes: Arc::default(),
            refused: Vec::new(),
            statistics: Vec::new(),
            read: Instant::now(),
            rss: 0,
            reads: 0,
            version: 0,
        }
    }

    pub fn due(&self, pid: u32, round: u64, vsz: u64) -> Option<Due> {
        let since = if self.has_runtimes() { self.served + 1 } else { self.next_look(vsz) };
        let waits = (round + 1).checked_sub(since).filter(|waits| *waits > 0)?;
        Some(Due { pid, waits, cost: self.cost })
    }

    /// Whether it is time to look for runtimes.
    pub fn wants_look(&self, round: u64, vsz: u64) -> bool {
        self.next_look(vsz) <= round
    }

    fn next_look(&self, vsz: u64) -> u64 {
        if vsz == self.vsz { self.look_anyway } else { self.look.min(self.look_anyway) }
    }

    pub fn has_runtimes(&self) -> bool {
        !self.runtimes.is_empty()
    }

    /// What a job needs. The memory goes with it, and comes back with what it read.
    pub fn asks(&mut self, round: u64, vsz: u64) -> Probing {
        Probing {
            look: self.wants_look(round, vsz),
            vsz,
            from: self.rest,
            memory: self.memory.take(),
            runtimes: Arc::clone(&self.runtimes),
        }
    }

    /// Takes what a look at a process found.
    pub fn turn(&mut self, found: Fact<Found>, vsz: u64, round: u64) -> Fact<()> {
        // A new process may just be turning into its program.
        let before = (std::mem::take(&mut self.statistics), self.read, self.rss);
        let (wait, wait_anyway) = if self.looks == 0 { (1, 1) } else { (AGAIN, SAME) };
        *self = Self {
            looks: self.looks + 1,
            vsz,
            look: round + wait,
            look_anyway: round + wait_anyway,
            reads: self.reads,
            version: self.version + 1,
            ..Self::new(round)
        };
        let found = found.inspect_err(|lack| {
            if lack.kind != MissingKind::Gone {
                self.statistics = vec![Err(Unread::process(lack.clone()))];
            }
        })?;
        (self.runtimes, self.refused) = (found.runtimes, found.refused);
        if self.refused.iter().any(|refused| refused.probe.is_some()) {
            self.look_anyway = round + wait.min(SOON);
        }
        if let Some(rest) = found.rest {
            (self.rest, self.look_anyway) = (rest, round + 1);
        }
        if self.has_runtimes() {
            (self.statistics, self.read, self.rss) = before;
        } else {
            self.statistics =
                self.refused.iter().map(|refused| Err(refused.unread.clone())).collect();
        }
        Ok(())
    }

    pub fn handles(&self) -> usize {
        if self.memory.is_some() { Live::HANDLES } else { 0 }
    }

    /// Takes heap statistics whose reading began at a time, with so much memory resident.
    pub fn take(&mut self, read: Vec<Read>, (began, rss): (Instant, u64), round: u64) {
        let over = began.saturating_duration_since(self.read);
        let refused = self.refused.iter().map(|refused| Err(refused.unread.clone()));
        let mut statistics: Vec<_> = refused.chain(read).collect();
        for statistics in statistics.iter_mut().flatten() {
            add_recent(&mut statistics.runtime, &self.statistics, over);
        }
        (self.statistics, self.read, self.rss) = (statistics, began, rss);
        (self.reads, self.version) = (self.reads + 1, self.version + 1);
        if self.statistics[self.refused.len()..].iter().any(Result::is_err) {
            // Another program may run in the process by now.
            self.look_anyway = round + 1;
        }
    }

    /// Says of a process that was never looked at why it was not.
    pub fn wait(&mut self) {
        let why = "it waits to be looked at for runtimes: the budget of probes goes to others";
        self.wait_for(&Missing::new(MissingKind::Refused, why));
    }

    /// The same where there is another reason.
    pub fn wait_for(&mut self, why: &Missing) {
        let said = vec![Err(Unread::process(why.clone()))];
        if self.looks == 0 && self.statistics != said {
            self.statistics = said;
            self.version += 1;
        }
    }

    /// Whether heap statistics of a runtime or allocator were given up for a bound of theirs.
    pub fn are_beyond_bounds(&self) -> bool {
        let is_refused = |lack: &Unread| lack.why.kind == MissingKind::Refused;
        self.statistics
            .iter()
            .skip(self.refused.len())
            .any(|one| one.as_ref().is_err_and(is_refused))
    }

    /// Whether its heap statistics are young enough to be shown again with what is resident
    /// now: they were read since `walked`, and it has not grown or shrunk since by much.
    pub fn are_young(&self, pid: u32, rss: u64, walked: Option<Instant>, pace: &Pace) -> bool {
        // A new process may just be turning into its program: after the second look they are
        // its own.
        let first = (self.reads <= FIRST_LOOKS).then_some(pid);
        self.reads >= FIRST_LOOKS
            && pace.is_young(self.read, first)
            && pace::is_about_as_large(self.rss, rss)
            && walked.is_none_or(|walked| walked <= self.read)
    }

    /// The last collection that spent anything on it.
    pub fn served(&self) -> u64 {
        self.served
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    /// How old the oldest heap statistics are at `now`, where there are any.
    pub fn oldest(&self, now: Instant) -> Option<Duration> {
        // A page that the program wrote may be older than the look at it.
        let before = self.statistics.iter().flatten().map(|one| one.runtime.age).max()?;
        Some(now.saturating_duration_since(self.read).saturating_add(before))
    }

    pub fn serve(&mut self, round: u64, cost: Duration) {
        (self.served, self.cost) = (round, cost);
    }

    /// Counts the heap statistics that could not be read.
    pub fn count(&self, stats: &mut CollectionStats) {
        let refused = self.refused.iter().map(|refused| refused.probe);
        let probes = refused.chain(self.runtimes.iter().map(|runtime| Some(runtime.probe())));
        for (probe, statistics) in probes.zip(&self.statistics) {
            if let (Some(probe), Err(unread)) = (probe, statistics) {
                *stats.probe_errors.entry((probe, unread.why.kind)).or_default() += 1;
            }
        }
    }

    /// Adds the heap statistics to a sample that is taken at `now`.
    pub fn add_to(&self, sample: &mut ProcessSample, now: Instant) {
        memgap_probes::add(sample, &self.statistics, now.saturating_duration_since(self.read));
    }
}

#[cfg(test)]
mod tests {
    use memgap_ledger::runtime::Gc;

    use super::*;

    #[test]
    fn what_a_collector_did_is_reported_between_two_readings() {
        let said = |file: &str, cycles| Runtime {
            file: file.to_owned(),
            gc: Some(Gc { cycles: Some(cycles), ..Gc::default() }),
            ..Runtime::named("go")
        };
        let before =
            [Ok(memgap_probes::HeapStatistics { runtime: said("/a", 5), claims: Vec::new() })];
        let over = Duration::from_secs(10);
        for (mut now, cycles) in
            [(said("/a", 8), Some(3)), (said("/b", 8), None), (said("/a", 1), None)]
        {
            add_recent(&mut now, &before, over);
            let recent = now.gc.and_then(|gc| gc.recent);
            assert_eq!(recent, cycles.map(|cycles| RecentGc { cycles, over }));
        }
    }

    /// The rounds that look at a process without a runtime, of such a size in each.
    fn looks(vsz: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut probes = ProbeState::new(1);
        let mut look = |round: &u64| {
            let is_due = probes.due(1, *round, vsz(*round)).is_some();
            assert_eq!(is_due, probes.wants_look(*round, vsz(*round)));
            if is_due {
                probes
                    .turn(Ok(Found::default()), vsz(*round), *round)
                    .expect("nothing was refused");
            }
            is_due
        };
        (1..=300).filter(|round| look(round)).collect()
    }

    #[test]
    fn a_process_is_looked_at_again_when_its_size_has_changed() {
        assert_eq!(looks(|_| 1 << 20), [1, 2, 130, 258]);
        assert_eq!(looks(|round| u64::from(round >= 100) << 20), [1, 2, 100, 228]);
        let growing = looks(|round| round << 20);
        assert!(growing[1..].windows(2).all(|two| two[1] - two[0] == AGAIN), "{growing:?}");
    }
}
