//! A process that collections know from the last time.

mod count_again;
mod forget;
mod made;
mod said;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use memgap_kernel::file::{Buf, missing};
use memgap_kernel::process::{Process, gone};
use memgap_kernel::source::{stat, statm, status};
use memgap_ledger::sample::{Counters, ProcessKind};
use memgap_ledger::{Fact, Figure, Missing, MissingKind};

use super::activity::Activity;
use super::back_off::BackOff;
use super::kept::{Cost, Kept};
use super::pace::Pace;
use super::probe_state::{Due, ProbeState};
use super::rest::Seen;
use crate::process::no_memory;
use crate::reader::Reader;
use said::Said;

/// Collections between two readings of the counters of a process that has not run, and the
/// least time.
const REREAD: u64 = 2;
const RECOUNT: Duration = Duration::from_secs(10);

/// Collections between two readings of a process's name and cgroup. A new process
/// is read again the next time, for it may just be starting: moved to its cgroup,
/// then turned into its program.
const REFRESH: u64 = 16;

/// And the least time between two readings of the cgroup of one that has not run.
const MOVES: Duration = Duration::from_mins(1);

/// And of one without memory, a zombie or a thread of the kernel: it turns into no other
/// program, and its handle tells when it is no more.
const REFRESH_EMPTY: u64 = 16 * REFRESH;

/// Threads that do not tell how many mappings a process has.
const FEW_THREADS: u64 = 50;

/// Mappings that one walk may meet: 2.3 MiB of them.
pub(super) const MAX_AREAS: usize = 1 << 14;

/// What is known of one process.
#[derive(Debug)]
pub(super) struct Tracked {
    pid: u32,
    identity: Identity,
    cgroup: Fact<String>,
    /// `statm`, kept open: a handle that never comes to mean another process.
    statm: Option<File>,
    pub counters: Counters,
    /// When they, and its cgroup, were read by turns.
    counted: Instant,
    placed: Instant,
    said: Said,
    activity: Activity,
    /// The last collection that read its name.
    named: u64,
    /// Its runtimes.
    pub probes: ProbeState,
    /// The last collection that met it.
    pub met: u64,
    /// The collection that reads its name and cgroup again.
    due: u64,
    pub walk: Option<Kept>,
    /// What the last walk showed a walk of this process to cost.
    pub cost: Cost,
    /// Why there is no walk, or no newer one.
    pub no_walk: Missing,
    /// What of a process that is too large to be walked is lazily freed, and when it was asked.
    pub lazily_freed: Option<(Fact<Figure>, Instant)>,
    /// The first collection that may try to walk it after a failure.
    pub retry: u64,
    /// When it may be asked again, where it did not answer in time.
    pub back_off: BackOff,
    /// The ledger that was made of it last.
    made: Option<made::Made>,
}

/// A process, told from those that had its pid before or will have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProcessId {
    pub pid: u32,
    /// Clock ticks since boot.
    pub start: u64,
}

/// What `stat` tells of a process.
#[derive(Debug)]
pub(super) struct Identity {
    /// Clock ticks since boot: with the pid it names the process.
    pub start: u64,
    pub name: String,
    pub kind: ProcessKind,
    threads: u64,
}

/// Where a collection reads, and how.
pub(super) struct Round<'c> {
    pub reader: &'c Reader,
    pub number: u64,
    /// When it began with some processes.
    pub now: Instant,
    pub page_size: u64,
    /// Whether pids are those of this program's own pid namespace.
    pub has_own_pids: bool,
    pub buf: &'c mut Buf,
}

impl Tracked {
    /// Reads a process for the first time; `room` is how many handles may stay open for
    /// it.
    pub fn new(pid: u32, room: usize, round: &mut Round<'_>) -> Fact<Self> {
        let (process, identity) = open(pid, round.reader.procfs(), round.buf)?;
        let cgroup = round.reader.cgroup_of(&process, round.buf);
        let statm = process.file(statm::NAME)?;
        let said = Said::read(&process, round.buf);
        let is_empty = identity.kind != ProcessKind::User;
        let mut activity = Activity::new(round.number);
        if room > 1 && !is_empty {
            activity.watch(&process, identity.threads, round.has_own_pids);
        }
        Ok(Self {
            pid,
            counters: count(&statm, pid, identity.kind, round.reader.procfs(), round.page_size)?,
            said,
            counted: round.now,
            placed: round.now,
            identity,
            cgroup,
            statm: (room > 0).then_some(statm),
            activity,
            named: round.number,
            probes: ProbeState::new(round.number),
            met: round.number,
            due: if is_empty { turn(pid, round.number, REFRESH_EMPTY) } else { round.number + 1 },
            walk: None,
            cost: Cost::default(),
            no_walk: Missing::new(MissingKind::Refused, "no walk is due: too little memory"),
            lazily_freed: None,
            retry: 0,
            back_off: BackOff::default(),
            made: None,
        })
    }

    /// Reads its counters again, and its name and cgroup when they are due; `room` is how
    /// many handles more may be kept open for it. An error means that this process is no
    /// more; another may have its pid.
    pub fn update(&mut self, room: usize, round: &mut Round<'_>) -> Fact<()> {
        let Some(statm) = &self.statm else {
            if self.has_memory() || round.number >= self.due {
                return self.refresh(room, round);
            }
            return self.is_still_empty(round);
        };
        if self.has_memory() {
            // One that has not run is as it was, but for what the kernel took or others cut.
            let has_run = self.activity.look();
            let age = round.now.saturating_duration_since(self.counted);
            let is_due = has_run || age >= RECOUNT && is_turn(self.pid, round.number, REREAD);
            let counters = if is_due { self.count(statm, round)? } else { self.counters };
            self.counted = if is_due { round.now } else { self.counted };
            let is_quiet = !has_run && counters == self.counters;
            self.counters = counters;
            self.activity.conclude(is_quiet, self.pid, round.reader.procfs(), round.number);
            if self.is_settled() && round.number >= self.probes.served() + REFRESH {
                // It is opened again where it runs.
                self.probes.memory = None;
            }
        } else {
            self.counters = self.count(statm, round)?;
        }
        self.met = round.number;
        if round.number < self.due {
            Ok(())
        } else if self.has_memory() && self.activity.is_quiet_since(self.named) {
            self.move_cgroup(round)
        } else {
            self.refresh(room, round)
        }
    }

    /// Reads its cgroup again: others move it there without its doing.
    fn move_cgroup(&mut self, round: &mut Round<'_>) -> Fact<()> {
        self.due = turn(self.pid, round.number, REFRESH);
        if round.now.saturating_duration_since(self.placed) < MOVES {
            return Ok(());
        }
        self.placed = round.now;
        let process = Process::open(round.reader.procfs(), self.pid)?;
        let cgroup = round.reader.cgroup_of(&process, round.buf);
        // As long as it answers nobody else has its pid.
        if let Some(statm) = &self.statm {
            self.count(statm, round)?;
        }
        if cgroup != self.cgroup {
            self.cgroup = cgroup;
            self.made = None;
        }
        Ok(())
    }

    /// Whether it, of which no handle is kept, is the same zombie or thread of the kernel.
    fn is_still_empty(&mut self, round: &mut Round<'_>) -> Fact<()> {
        let (_, identity) = open(self.pid, round.reader.procfs(), round.buf)?;
        if (identity.start, identity.kind) != (self.identity.start, self.identity.kind) {
            return Err(gone(self.pid));
        }
        self.met = round.number;
        Ok(())
    }

    fn refresh(&mut self, room: usize, round: &mut Round<'_>) -> Fact<()> {
        // One handle to watch it by, where there is room and none is open.
        let is_watched = self.activity.is_watched();
        let room = room + usize::from(self.statm.is_some());
        let mut fresh = Self::new(self.pid, if is_watched { 0 } else { room.min(2) }, round)?;
        if fresh.identity.start != self.identity.start {
            return Err(gone(self.pid));
        }
        if is_watched {
            std::mem::swap(&mut fresh.activity, &mut self.activity);
            fresh.activity.limit(fresh.identity.threads);
        }
        let is_named = fresh.identity.name == self.identity.name;
        let is_placed = fresh.cgroup == self.cgroup && fresh.identity.kind == self.identity.kind;
        // Another name may be another program's: its heap statistics are not these.
        let probes = if is_named {
            std::mem::replace(&mut self.probes, ProbeState::new(round.number))
        } else {
            ProbeState::new(round.number)
        };
        let due =
            if fresh.has_memory() { turn(self.pid, round.number, REFRESH) } else { fresh.due };
        *self = Self {
            statm: self.statm.take().or(fresh.statm),
            due,
            probes,
            walk: self.walk.take(),
            cost: self.cost,
            no_walk: self.no_walk.clone(),
            lazily_freed: self.lazily_freed.take(),
            retry: self.retry,
            back_off: self.back_off,
            made: self.made.take().filter(|_| is_named && is_placed),
            ..fresh
        };
        Ok(())
    }

    /// How many files are kept open for it.
    pub fn handles(&self) -> usize {
        usize::from(self.statm.is_some()) + self.activity.handles() + self.probes.handles()
    }

    /// Whether its heap statistics are what would be read again: they were read when it had
    /// been quiet for a while, and it has been since.
    fn is_settled(&self) -> bool {
        self.probes.has_runtimes() && self.activity.was_quiet_in(self.probes.served())
    }

    /// Whether it waits to be looked at, or for its heap statistics to be read.
    pub fn probes_due(&self, round: u64, pace: &Pace) -> Option<Due> {
        let Counters { vsz, rss, .. } = self.counters;
        let walked = self.walk.as_ref().map(|kept| kept.made);
        let is_fresh = self.is_settled() || self.probes.are_young(self.pid, rss, walked, pace);
        let is_due = !is_fresh || self.probes.wants_look(round, vsz);
        is_due.then(|| self.probes.due(self.pid, round, vsz))?
    }

    /// How old the oldest of its heap statistics are at `now`; what would be read again is
    /// as good as new.
    pub fn oldest_statistics(&self, now: Instant) -> Option<Duration> {
        self.probes.oldest(now).map(|age| if self.is_settled() { Duration::ZERO } else { age })
    }

    /// What a walk is likely to cost. One that was neither walked nor looked at has a stack
    /// and its guard for each of its threads.
    pub fn likely_cost(&self) -> Cost {
        let stacks = (self.identity.threads > FEW_THREADS).then(|| 2 * self.identity.threads);
        let areas = stacks.map(|stacks| usize::try_from(stacks).unwrap_or(usize::MAX));
        Cost { areas: self.cost.areas.or(areas), ..self.cost }
    }

    pub fn has_memory(&self) -> bool {
        self.identity.kind == ProcessKind::User
    }

    pub fn id(&self) -> ProcessId {
        ProcessId { pid: self.pid, start: self.identity.start }
    }

    pub fn name(&self) -> &str {
        &self.identity.name
    }

    fn count(&self, statm: &File, round: &Round<'_>) -> Fact<Counters> {
        count(statm, self.pid, self.identity.kind, round.reader.procfs(), round.page_size)
    }

    pub fn is_in(&self, cgroups: &BTreeSet<&str>) -> bool {
        self.cgroup().is_some_and(|path| cgroups.contains(path))
    }

    /// What is seen of it in a collection, after it looked.
    pub fn seen(&self, round: u64) -> Seen<'_> {
        let has_run = !self.activity.is_quiet_since(round - 1);
        Seen { id: (self.pid, self.identity.start), cgroup: self.cgroup(), has_run }
    }

    /// Where it is, as far as that is known.
    pub fn cgroup(&self) -> Option<&str> {
        self.cgroup.as_deref().ok()
    }
}

/// The next collection whose turn a process is, where `every` collections share all out.
fn turn(pid: u32, now: u64, every: u64) -> u64 {
    let next = now + 1;
    next + u64::from(pid).wrapping_sub(next) % every
}

/// Whether it is one's turn now, where `every` collections share all out.
fn is_turn(pid: u32, now: u64, every: u64) -> bool {
    u64::from(pid) % every == now % every
}

/// Opens a process, or a thread of it that has its memory, and tells who it is.
pub(super) fn open(pid: u32, procfs: &Path, buf: &mut Buf) -> Fact<(Process, Identity)> {
    let process = Process::open(procfs, pid)?;
    let stat = stat::read(&process, buf)?;
    let identity =
        Identity { start: stat.start, threads: stat.threads, name: stat.name(), kind: stat.kind() };
    let process =
        if stat.is_leaderless() { status::living_thread(&process, buf)? } else { process };
    Ok((process, identity))
}

/// Reads the counters through a handle. A program without memory is ending.
pub(super) fn count(
    statm: &File,
    pid: u32,
    kind: ProcessKind,
    procfs: &Path,
    page_size: u64,
) -> Fact<Counters> {
    let counters = statm::read_again(statm, page_size).map_err(|error| {
        let path = procfs.join(pid.to_string()).join(statm::NAME);
        missing(&path, &error)
    })?;
    match no_memory(kind) {
        Some((nothing, _)) => Ok(nothing),
        None if counters.vsz == 0 => Err(gone(pid)),
        None => Ok(counters),
    }
}
