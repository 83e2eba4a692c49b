//! What is done on behalf of one target in a thread of its own: a walk over its mappings, or
//! a look for runtimes and a reading of their heap statistics. A job owns what it needs, for
//! nobody waits for one whose target does not answer.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memgap_kernel::file::Buf;
use memgap_kernel::lazily_freed;
use memgap_kernel::memory::{Bounds, Live, Space};
use memgap_kernel::process::{Process, gone};
use memgap_kernel::source::{maps, mountinfo, smaps, statm};
use memgap_kernel::stacks;
use memgap_kernel::turns::Part;
use memgap_ledger::sample::{Area, Counters, ProcessKind, Stacks};
use memgap_ledger::{Fact, Figure, Missing};
use memgap_probes::{Attached, Detail, Probes, Read, Share};

use super::kept::Cost;
use super::patience;
use super::pool::Task;
use super::probe_state::{Found, Probing};
use super::tracked::{self, MAX_AREAS, ProcessId};
use super::{Clock, Spent};
use crate::budget::Budget;
use crate::walk::Rate;

/// Threads that are asked for their stack pointers after a walk: 5 ms.
const MAX_THREADS: usize = 256;

/// A walk that takes so many times the cap is ended between two mappings.
const LATE: u32 = 2;

/// What is done for a target.
#[derive(Debug)]
pub(super) struct Job {
    pub id: ProcessId,
    pub source: Arc<Source>,
    pub work: Work,
}

/// Where jobs read.
#[derive(Debug)]
pub(super) struct Source {
    pub procfs: PathBuf,
    pub page_size: u64,
    /// Whether its pids are those of this program's own pid namespace.
    pub has_own_pids: bool,
    /// This program's own there, where it is seen there.
    pub own_pid: Option<u32>,
    pub probes: Arc<Probes>,
}

#[derive(Debug)]
pub(super) enum Work {
    /// A walk, with what is known of its cost, and the resident memory that it goes over.
    Walk(Cost, u64),
    Probe(Probing),
}

/// What jobs of one kind may spend, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budgets {
    pub budget: Budget,
    /// What targets may keep a collection waiting, by the clock.
    pub patience: Duration,
    /// What a walk costs in general, and what one may cost.
    pub rate: Rate,
    pub cap: Duration,
    /// What one mapping may.
    pub max_hold: Duration,
    /// Whether a walk could not be paid for: the budget is saved for it.
    pub is_saved: bool,
    /// When looks for runtimes end.
    pub end: Instant,
    /// Handles that are open, and how many may be.
    pub handles: usize,
    pub max_handles: usize,
}

/// What came of a job.
#[derive(Debug)]
pub(super) enum Outcome {
    Walked(ProcessId, Walked),
    Probed(ProcessId, Probed),
}

#[derive(Debug)]
pub(super) enum Walked {
    /// It would take too long; what is lazily freed by a sample of pages, if there was time.
    TooLarge(TooLarge, Option<Fact<Figure>>),
    OverBudget,
    /// Others kept the collection waiting.
    TooLate,
    Done(Fact<Box<Walk>>, Spent),
}

/// Why a walk would take too long.
#[derive(Debug)]
pub(super) enum TooLarge {
    /// By its CPU time, which would be so much.
    Cost(Duration),
    /// By the time for which it would hold the target's `mmap_lock` for the largest mapping, of
    /// that size.
    Hold(Duration, u64),
}

/// A walk as it was made.
#[derive(Debug)]
pub(super) struct Walk {
    /// Read directly before it.
    pub counters: Counters,
    pub areas: Arc<[Area]>,
    pub stacks: Fact<Stacks>,
    pub made: Instant,
    /// What it cost by resident memory.
    pub rate: Option<Rate>,
    /// What it cost by what of that lay in small pages.
    pub small_pages: Option<Rate>,
    /// What of it lay in huge ones.
    pub huge: u64,
}

#[derive(Debug)]
pub(super) enum Probed {
    /// There was no time or no budget left: its memory as it was.
    LeftOut(Option<Live>),
    /// Also how long it kept others waiting.
    Done(Fact<Box<Answer>>, Spent, Duration),
}

/// What a process showed of its runtimes.
#[derive(Debug)]
pub(super) struct Answer {
    /// Of a look, where one was made.
    pub found: Option<Fact<Found>>,
    /// The size of its address space when it was asked for.
    pub vsz: u64,
    /// The heap statistics, and when their reading began; none where there is no runtime.
    pub read: Option<(Vec<Read>, Instant)>,
    /// Kept open where there is room.
    pub memory: Option<Live>,
    /// Whether there was none.
    pub is_reopened: bool,
}

impl Task for Job {
    type Target = ProcessId;
    type Budgets = Budgets;
    type Outcome = Outcome;

    fn target(&self) -> ProcessId {
        self.id
    }

    fn run(self, budgets: &mut Budgets, buf: &mut Buf) -> Outcome {
        let Self { id, source, work } = self;
        let target = Target { id, source: &source };
        match work {
            Work::Walk(cost, rss) => Outcome::Walked(id, target.walked(cost, rss, budgets, buf)),
            Work::Probe(asked) => Outcome::Probed(id, target.probed(asked, budgets, buf)),
        }
    }

    fn room(outcome: &Outcome) -> usize {
        match outcome {
            Outcome::Walked(_, Walked::Done(Ok(walk), _)) => walk.areas.len(),
            _ => 0,
        }
    }
}

impl Budgets {
    /// What of it was waited.
    fn spend(&mut self, took: Spent) -> Duration {
        self.budget.spend(took.cpu);
        let waited = patience::waited(took.wall.saturating_sub(took.cpu));
        self.patience = self.patience.saturating_sub(waited);
        waited
    }
}

/// The process that something is done for.
struct Target<'s> {
    id: ProcessId,
    source: &'s Source,
}

impl Target<'_> {
    /// Opens it; an error where another process has its pid by now.
    fn open(&self, buf: &mut Buf) -> Fact<(Process, ProcessKind)> {
        let (process, identity) = tracked::open(self.id.pid, &self.source.procfs, buf)?;
        if identity.start == self.id.start {
            Ok((process, identity.kind))
        } else {
            Err(gone(self.id.pid))
        }
    }

    fn walked(&self, cost: Cost, rss: u64, budgets: &mut Budgets, buf: &mut Buf) -> Walked {
        let predicted = cost.rate.unwrap_or(budgets.rate).predict(rss, cost.areas);
        if predicted > budgets.cap {
            return self.sampled(TooLarge::Cost(predicted), budgets, buf);
        }
        budgets.is_saved = budgets.is_saved || !budgets.budget.affords(predicted);
        if budgets.is_saved {
            return Walked::OverBudget;
        }
        if budgets.patience.is_zero() {
            return Walked::TooLate;
        }
        let clock = Clock::start();
        let small = rss.saturating_sub(cost.huge);
        let mut part = Part::Some;
        if budgets.rate.pages(small) > budgets.max_hold {
            part = Part::One;
            let size = match self.largest(buf) {
                Ok(size) => size,
                Err(lack) => {
                    let took = clock.spent();
                    budgets.spend(took);
                    return Walked::Done(Err(lack), took);
                }
            };
            let hold = budgets.rate.pages(small.min(size));
            if hold > budgets.max_hold {
                budgets.spend(clock.spent());
                return self.sampled(TooLarge::Hold(hold, size), budgets, buf);
            }
        }
        let walk = self.walk(budgets.cap.saturating_mul(LATE), part, buf);
        let took = clock.spent();
        budgets.spend(took);
        if let Some(rate) = walk.as_ref().ok().and_then(|walk| walk.small_pages) {
            budgets.rate.learn(rate);
        }
        Walked::Done(walk.map(Box::new), took)
    }

    /// Instead of a walk.
    fn sampled(&self, why: TooLarge, budgets: &mut Budgets, buf: &mut Buf) -> Walked {
        if budgets.patience.is_zero() || !budgets.budget.has_any() {
            return Walked::TooLarge(why, None);
        }
        let clock = Clock::start();
        let procfs = &self.source.procfs;
        let process = self.open(buf);
        let sampled =
            process.and_then(|(process, _)| lazily_freed::estimate(&process, procfs, buf));
        budgets.spend(clock.spent());
        Walked::TooLarge(why, Some(sampled))
    }

    /// The size of its largest mapping that it may use at all. What is resident of one that
    /// it may not is seldom more than nothing.
    fn largest(&self, buf: &mut Buf) -> Fact<u64> {
        let (process, _) = self.open(buf)?;
        let mut largest = 0;
        maps::read(&process, maps::SHARE, buf, |mapping| {
            if mapping.access[..3] != *b"---" {
                largest = largest.max(mapping.end - mapping.start);
            }
            ControlFlow::Continue(())
        })?;
        Ok(largest)
    }

    /// Walks its mappings, directly after its counters are read once more. One that
    /// has more than [`MAX_AREAS`] is not walked to its end, nor one that takes more than
    /// that CPU time.
    fn walk(&self, cpu: Duration, part: Part, buf: &mut Buf) -> Fact<Walk> {
        let (process, kind) = self.open(buf)?;
        let statm = process.file(statm::NAME)?;
        let Source { procfs, page_size, .. } = self.source;
        let counters = tracked::count(&statm, self.id.pid, kind, procfs, *page_size)?;
        let clock = Clock::start();
        // What is shown of many processes has no room for the names of mappings.
        let (areas, mounts) = (MAX_AREAS, mountinfo::SHARE);
        let bounds = smaps::Bounds { areas, cpu, mounts, names: 0, part };
        let areas: Arc<[Area]> = smaps::walk(&process, bounds, buf)?.areas.into();
        let cpu = clock.spent().cpu;
        let rate = Rate::of(counters.rss, areas.len(), cpu);
        let huge = areas.iter().fold(0u64, |sum, a| sum.saturating_add(a.huge.unwrap_or(0)));
        let small_pages = Rate::of(counters.rss.saturating_sub(huge), areas.len(), cpu);
        let stacks = stacks::read(&process, &areas, MAX_THREADS, buf);
        Ok(Walk { counters, areas, stacks, made: Instant::now(), rate, small_pages, huge })
    }

    fn probed(&self, asked: Probing, budgets: &mut Budgets, buf: &mut Buf) -> Probed {
        let is_late = asked.runtimes.is_empty() && Instant::now() >= budgets.end;
        if is_late || budgets.patience.is_zero() || !budgets.budget.has_any() {
            return Probed::LeftOut(asked.memory);
        }
        let clock = Clock::start();
        budgets.handles = budgets.handles.saturating_sub(handles(asked.memory.as_ref()));
        let keep = budgets.handles.saturating_add(Live::HANDLES) <= budgets.max_handles;
        let look = asked.look && Instant::now() < budgets.end;
        let answer = self.probe(asked, look, keep, buf);
        budgets.handles += answer.as_ref().map_or(0, |answer| handles(answer.memory.as_ref()));
        let took = clock.spent();
        let waited = budgets.spend(took);
        Probed::Done(answer.map(Box::new), took, waited)
    }

    /// Looks for its runtimes where that may be, and reads their heap statistics; `keep`
    /// tells whether its memory may stay open.
    fn probe(&self, asked: Probing, look: bool, keep: bool, buf: &mut Buf) -> Fact<Answer> {
        let Probing { vsz, from, memory, mut runtimes, .. } = asked;
        let mut found = None;
        let memory = match memory {
            Some(memory) if !look => Ok(memory),
            _ => {
                let (process, _) = self.open(buf)?;
                if look {
                    let looked = self.source.probes.look(&process, Share::OF_MANY, from, buf);
                    let looked = looked.map(Found::from);
                    runtimes =
                        looked.as_ref().map(|one| Arc::clone(&one.runtimes)).unwrap_or_default();
                    found = Some(looked);
                }
                if runtimes.is_empty() {
                    let (read, memory, is_reopened) = (None, None, false);
                    return Ok(Answer { found, vsz, read, memory, is_reopened });
                }
                Live::open(&process)
            }
        };
        let began = Instant::now();
        let read = runtimes.iter().map(|runtime| read(runtime, &memory)).collect();
        let memory = memory.ok().filter(|_| keep);
        Ok(Answer { found, vsz, read: Some((read, began)), memory, is_reopened: !keep })
    }
}

/// Reads heap statistics, where the memory could be opened.
fn read(runtime: &Attached, memory: &Result<Live, Missing>) -> Read {
    match memory {
        Ok(memory) => runtime.read(&Space::new(memory, Bounds::COUNTERS), Detail::Counters),
        Err(lack) => Err(runtime.unread(lack.clone())),
    }
}

fn handles(memory: Option<&Live>) -> usize {
    if memory.is_some() { Live::HANDLES } else { 0 }
}
