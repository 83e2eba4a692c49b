//! Collections, one after the other, each as cheap as it can be: tier 0 reads the
//! counters of every process through handles that stay open, and every cgroup's
//! `memory.stat`; tier 1 walks few processes, within a cap and a budget; tier 2 reads
//! the counters of runtimes, within a budget of its own. What may wait in the kernel on a
//! target's behalf is done by threads that can be given up: one that does not answer stops
//! no collection.

mod activity;
mod back_off;
mod churn;
mod costly;
mod degraded;
mod jobs;
mod kept;
mod ledgers;
#[cfg(test)]
mod limits;
mod pace;
#[cfg(test)]
mod paced;
mod patience;
mod pool;
mod probe_state;
mod probing;
mod rest;
mod spent;
mod stuck;
mod tenant;
#[cfg(test)]
mod tests;
mod tracked;
mod walks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use memgap_kernel::cgroups::{Cgroups, Pressure};
use memgap_kernel::file::Buf;
use memgap_kernel::pid_namespace;
use memgap_ledger::sample::{CgroupSample, HostSample, MachineSample};
use memgap_ledger::{Fact, Machines, Missing, MissingKind};
use memgap_probes::CacheUse;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::budget::Budget;
use crate::locked::{self, Locked};
use crate::reader::Reader;
use crate::walk::{Rate, WalkPolicy};
use churn::Unheld;
use costly::Costly;
pub use costly::{CostlyTarget, Unaffordable};
pub use degraded::Degraded;
use degraded::{OwnMemory, STRIDE};
use jobs::{Job, Source};
use pace::Pace;
use pool::Pool;
pub use probing::PROBE_SHARE;
use rest::Rest;
use spent::Clock;
pub use spent::Spent;
pub use stuck::StuckTarget;
use stuck::Waiting;
use tracked::{ProcessId, Round, Tracked};

/// Handles that are left to the rest of the program.
pub(crate) const RESERVED_HANDLES: u64 = 256;

/// Of the others, the part that files of cgroups may take, and how many at most: the kernel
/// keeps a page for each that was read (fs/seq_file.c), which is memory of this program's.
const CGROUPS_PART: usize = 4;
const MAX_OF_CGROUPS: usize = 1 << 10;

/// Reads one machine again and again.
#[derive(Debug)]
pub struct Collector {
    reader: Reader,
    source: Arc<Source>,
    policy: WalkPolicy,
    budget: Budget,
    probe_budget: Budget,
    probe_pace: Pace,
    rate: Rate,
    /// Handles that the limit of open files allows, those of cgroups among them.
    allowed_handles: usize,
    /// Those that its own memory allows too, and of them those for files of cgroups, and for
    /// all else.
    open_at_most: usize,
    of_cgroups: usize,
    max_handles: usize,
    own: OwnMemory,
    /// What was given up for want of memory since the last collection ended.
    given_up: Vec<(Degraded, Option<Pressure>)>,
    /// Mappings of all walks that are kept.
    max_kept: usize,
    /// Each by itself: nodes of a tree are half empty.
    tracked: BTreeMap<u32, Box<Tracked>>,
    pool: Pool<Job>,
    /// Whom workers of the pool still wait for.
    waiting: BTreeMap<ProcessId, Waiting>,
    costly: Costly,
    /// How long the first pause is after a target that did not answer.
    first_pause: Duration,
    /// What cgroups were charged for beyond what their processes held, when nothing changed
    /// while both were read.
    settled: Unheld,
    rest: Rest,
    /// The ledgers that were made last.
    machines: Machines,
    /// Counts collections, from 1.
    round: u64,
    last: Option<Instant>,
    begin: Instant,
    buf: Buf,
}

/// What a collection cost and what it left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CollectionStats {
    /// Processes in the sample.
    pub processes: usize,
    /// Handles that are kept open for them.
    pub handles: usize,
    /// Tier 0: every process's counters.
    pub tier0: Spent,
    /// Tier 0c: every cgroup, and the host's figures.
    pub cgroups: Spent,
    /// Tier 1: the walks.
    pub tier1: Spent,
    /// Tier 2: the heap statistics of runtimes and allocators.
    pub tier2: Spent,
    /// Making ledgers, where those were asked for.
    pub ledgers: Spent,
    /// How what is known of mapped files served the search for runtimes.
    pub files: CacheUse,
    /// How long each walk took.
    pub walks: Vec<Duration>,
    /// Walks that were due, but whose predicted cost is over the cap.
    pub refused: u64,
    /// Walks that were due, but of whose mappings one would keep its target waiting too long.
    pub over_hold: u64,
    /// Walks that were due, but for which the budget did not suffice.
    pub skipped: u64,
    /// Walks that were kept until now, dropped to make room for newer ones.
    pub dropped: u64,
    /// Processes whose heap statistics, or a look for them, were due and not covered by the
    /// budget of probes. Those that have heap statistics keep them.
    pub probes_skipped: u64,
    /// Processes whose memory was opened anew for their heap statistics, for want of handles.
    pub reopened: u64,
    /// Age of the oldest heap statistics in the sample; those of a process that has not run
    /// since are as good as new.
    pub oldest_statistics: Duration,
    /// Targets that did not answer in time, and that this collection gave up.
    pub timeouts: u64,
    /// Targets that a worker still waits for.
    pub stuck: Vec<StuckTarget>,
    /// Targets of which something is not read, for it would cost too much.
    pub costly: Vec<CostlyTarget>,
    /// Workers that wait, some for targets that have ended meanwhile.
    pub workers_stuck: usize,
    /// Whether walks or heap statistics were left out for want of workers that do not wait.
    pub is_blind: bool,
    /// What is given up for want of memory, and what was since the collection before, each with
    /// what was used then.
    pub degraded: Degraded,
    /// See above.
    pub given_up: Vec<(Degraded, Option<Pressure>)>,
    /// What there is memory for again.
    pub taken_back: Option<Degraded>,
    /// Of the limit that binds this program's own memory, the most that was used since the
    /// collection before; none without a limit.
    pub own_memory: Option<Pressure>,
    /// Readings that failed, by file and kind.
    pub errors: BTreeMap<(&'static str, MissingKind), u64>,
    /// Heap statistics that could not be read, by probe and kind.
    pub probe_errors: BTreeMap<(&'static str, MissingKind), u64>,
}

/// What a collection read beside the processes, and when it ended: ages are of then.
struct Reading {
    host: HostSample,
    cgroups: Fact<Vec<CgroupSample>>,
    ended: Instant,
    stats: CollectionStats,
}

impl CollectionStats {
    fn note(&mut self, source: &'static str, lack: &Missing) {
        *self.errors.entry((source, lack.kind)).or_default() += 1;
    }
}

/// One that begins now.
fn round<'c>(reader: &'c Reader, source: &Source, number: u64, buf: &'c mut Buf) -> Round<'c> {
    let (page_size, has_own_pids) = (source.page_size, source.has_own_pids);
    Round { reader, number, now: Instant::now(), page_size, has_own_pids, buf }
}

impl Collector {
    /// A collector of the reader's machine. It raises the process's limit of open files to
    /// what it may be, for it keeps some for each process and cgroup it watches; those
    /// beyond the limit are opened anew each time.
    pub fn new(mut reader: Reader, policy: WalkPolicy) -> Self {
        let limit = raise_open_files().saturating_sub(RESERVED_HANDLES);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let of_cgroups = (limit / CGROUPS_PART).min(MAX_OF_CGROUPS);
        reader.keep_cgroups_open(of_cgroups);
        let own = reader.hierarchy().ok().and_then(Cgroups::own);
        let mut buf = Buf::default();
        let source = Source {
            procfs: reader.procfs().to_owned(),
            page_size: rustix::param::page_size() as u64,
            has_own_pids: pid_namespace::is_own(reader.procfs(), &mut buf),
            own_pid: churn::own_pid(reader.procfs()),
            probes: Arc::clone(reader.probes()),
        };
        Self {
            source: Arc::new(source),
            reader,
            policy,
            budget: Budget::new(policy.budget_share, policy.cap),
            probe_budget: Budget::new(PROBE_SHARE, Duration::ZERO),
            probe_pace: Pace::default(),
            rate: Rate::default(),
            allowed_handles: limit,
            open_at_most: limit,
            of_cgroups,
            max_handles: limit - of_cgroups,
            own: OwnMemory::of(own),
            given_up: Vec::new(),
            max_kept: walks::MAX_KEPT,
            tracked: BTreeMap::new(),
            pool: Pool::default(),
            waiting: BTreeMap::new(),
            costly: Costly::default(),
            first_pause: back_off::FIRST,
            settled: Unheld::new(),
            rest: Rest::default(),
            machines: Machines::default(),
            round: 0,
            last: None,
            begin: Instant::now(),
            buf,
        }
    }

    /// The reader, for what is asked between collections.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Reads everything once. A process that ended is not in the sample; a walk of
    /// an earlier collection is, with its age.
    pub fn collect(&mut self) -> Result<(MachineSample, CollectionStats), Missing> {
        let Reading { host, cgroups, ended, stats } = self.read()?;
        let processes = self.tracked.values().map(|tracked| tracked.sample(ended)).collect();
        Ok((MachineSample { host, cgroups, processes }, stats))
    }

    /// Brings all that is known of the machine up to date.
    fn read(&mut self) -> Result<Reading, Missing> {
        let mut stats = CollectionStats::default();
        let now = Instant::now();
        self.round += 1;
        let elapsed = self.last.map_or(Duration::ZERO, |last| now - last);
        self.budget.earn(elapsed);
        self.probe_budget.earn(elapsed);
        self.probe_pace.begin(now, elapsed);
        self.last = Some(now);

        self.returned(&mut stats);
        self.begin_within_limits(&mut stats);

        let clock = Clock::start();
        self.count(&mut stats)?;
        stats.tier0 = clock.spent();

        let clock = Clock::start();
        let (host, mut cgroups) = self.host_and_cgroups();
        stats.cgroups = clock.spent();
        self.keep_within_limit();

        let clock = Clock::start();
        let lazy = cgroups.as_ref().map_or_else(|_| BTreeSet::new(), |all| self.lazy(all));
        self.walk(&lazy, &mut stats);
        stats.tier1.add(clock.spent());

        let clock = Clock::start();
        self.probes(&mut stats);
        stats.tier2.add(clock.spent());
        self.keep_within_limit();

        let clock = Clock::start();
        self.reread_churning(cgroups.as_deref_mut().unwrap_or_default(), &mut stats);
        stats.cgroups.add(clock.spent());

        let ended = Instant::now();
        let ages = self.tracked.values().filter_map(|tracked| tracked.oldest_statistics(ended));
        stats.oldest_statistics = ages.max().unwrap_or_default();
        stats.processes = self.tracked.len();
        stats.handles = self.handles();
        stats.workers_stuck = self.pool.stuck();
        stats.stuck = self.stuck(ended);
        stats.costly = self.costly.running(&self.tracked);
        stats.own_memory = self.own.most.take();
        stats.given_up = std::mem::take(&mut self.given_up);
        stats.degraded = self.degraded();
        Ok(Reading { host, cgroups, ended, stats })
    }

    fn handles(&self) -> usize {
        self.tracked.values().map(|tracked| tracked.handles()).sum()
    }

    /// Tier 0: brings every process's counters up to date.
    fn count(&mut self, stats: &mut CollectionStats) -> Result<(), Missing> {
        let pids = self.reader.pids()?;
        for some in pids.chunks(STRIDE) {
            self.count_some(some, stats);
            self.keep_within_limit();
        }
        let round = self.round;
        self.tracked.retain(|_, tracked| tracked.met == round);
        Ok(())
    }

    fn count_some(&mut self, pids: &[u32], stats: &mut CollectionStats) {
        let mut handles = self.handles();
        let mut round = round(&self.reader, &self.source, self.round, &mut self.buf);
        for &pid in pids {
            if let Some(tracked) = self.tracked.get_mut(&pid) {
                handles = handles.saturating_sub(tracked.handles());
                let room = self.max_handles.saturating_sub(handles + tracked.handles());
                match tracked.update(room, &mut round) {
                    Ok(()) => {
                        handles += tracked.handles();
                        continue;
                    }
                    Err(lack) => stats.note("statm", &lack),
                }
                self.tracked.remove(&pid);
            }
            // New, or a new process of an old pid.
            let room = self.max_handles.saturating_sub(handles);
            match Tracked::new(pid, room, &mut round) {
                Ok(tracked) => {
                    handles += tracked.handles();
                    self.tracked.insert(pid, Box::new(tracked));
                }
                Err(lack) => stats.note("stat", &lack),
            }
        }
    }

    /// The host, and every cgroup with what the processes that were just counted lock.
    fn host_and_cgroups(&mut self) -> (HostSample, Fact<Vec<CgroupSample>>) {
        let host = self.reader.host();
        self.rest.look(self.tracked.values().map(|tracked| tracked.seen(self.round)));
        self.count_own();
        let is_at_rest = |path: &str| self.rest.is_at_rest(path);
        let hierarchy = self.reader.hierarchy();
        let mut cgroups = hierarchy.and_then(|all| all.all_but_at_rest(&is_at_rest));
        let locked = Locked::sum(self.tracked.values().map(|tracked| tracked.locked()));
        locked::note(cgroups.as_deref_mut().unwrap_or_default(), locked, &host);
        (host, cgroups)
    }

    /// The cgroups whose file lists hold lazily freed memory worth a look.
    fn lazy<'c>(&self, cgroups: &'c [CgroupSample]) -> BTreeSet<&'c str> {
        let is_lazy = |cgroup: &&CgroupSample| {
            cgroup.stat.as_ref().is_ok_and(|stat| {
                let lists = stat.inactive_file.saturating_add(stat.active_file);
                let page_cache = stat.file.saturating_sub(stat.shmem);
                lists.saturating_sub(page_cache) >= self.policy.min_bytes
            })
        };
        cgroups.iter().filter(is_lazy).map(|cgroup| cgroup.path.as_str()).collect()
    }
}

/// The process of that pid, where it still is the same one.
fn of(tracked: &mut BTreeMap<u32, Box<Tracked>>, id: ProcessId) -> Option<&mut Tracked> {
    tracked.get_mut(&id.pid).map(|tracked| &mut **tracked).filter(|tracked| tracked.id() == id)
}

/// Raises the soft limit of open files to the hard one; what it is then.
fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // No limit at all reads as none.
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    now.current.unwrap_or(u64::MAX)
}
