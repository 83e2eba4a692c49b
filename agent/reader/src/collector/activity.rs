//! Whether a process may have changed since an earlier collection. One that has not run has
//! written nothing, so that what was read of it is what would be read again.
//!
//! Where pids of the procfs are those of this program's own pid namespace, the CPU clock of a
//! process tells of all its threads. Elsewhere the kernel tells of one thread at a time, so
//! that this is known of processes with one thread only. Who shares a process's memory without
//! being a thread of it (`CLONE_VM`), or writes into it from outside, is not seen: what is said
//! of a process is read anew once in a while, be it quiet or not.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use memgap_kernel::file::Dir;
use memgap_kernel::process::Process;
use memgap_kernel::source::cpu_clock::CpuClock;
use memgap_kernel::source::schedstat::{self, Turns};

/// Threads beyond which the CPU clock of a process is not read: the kernel adds up what each
/// has run, 1 to 7 us for a hundred.
const MANY_THREADS: u64 = 256;

/// What tells of one process whether it runs.
#[derive(Debug)]
pub(super) struct Activity {
    watch: Option<Watch>,
    ran: Option<Ran>,
    /// The last collection before which it may have changed.
    changed: u64,
    /// The last collection that saw its first thread watched and no other there.
    alone: u64,
}

#[derive(Debug)]
enum Watch {
    Clock(CpuClock),
    /// `schedstat`, kept open as long as this is its only thread.
    FirstThread(File),
}

/// What has been run.
#[derive(Debug, PartialEq)]
enum Ran {
    Clock(Duration),
    FirstThread(Turns),
}

impl Activity {
    /// Of a process that a collection meets for the first time.
    pub fn new(round: u64) -> Self {
        Self { watch: None, ran: None, changed: round, alone: 0 }
    }

    /// Begins to watch a process that is said to have so many threads; `has_own_pids` tells
    /// whether its pid is one of this program's own pid namespace.
    pub fn watch(&mut self, process: &Process, threads: u64, has_own_pids: bool) {
        let clock = CpuClock::of(process.pid()).filter(|_| has_own_pids);
        self.watch = match clock {
            Some(clock) if threads <= MANY_THREADS => Some(Watch::Clock(clock)),
            None if threads == 1 => process.file(schedstat::NAME).ok().map(Watch::FirstThread),
            _ => None,
        };
        self.ran = None;
    }

    /// Takes note of how many threads it has now.
    pub fn limit(&mut self, threads: u64) {
        if matches!(self.watch, Some(Watch::Clock(_))) && threads > MANY_THREADS {
            self.watch = None;
        }
    }

    /// Looks whether it has run since the collection before: it may have where that is not
    /// known.
    pub fn look(&mut self) -> bool {
        let ran = match &self.watch {
            Some(Watch::Clock(clock)) => clock.read().ok().map(Ran::Clock),
            // Before its threads are counted: those that it starts later it starts in a turn.
            Some(Watch::FirstThread(schedstat)) => {
                schedstat::read_again(schedstat).ok().flatten().map(Ran::FirstThread)
            }
            None => None,
        };
        let has_run = ran.is_none() || ran != self.ran;
        self.ran = ran;
        has_run
    }

    /// Ends a look: one is quiet that has not run, and whose counters are as they were, which
    /// they are not where the kernel takes memory back.
    pub fn conclude(&mut self, is_quiet: bool, pid: u32, procfs: &Path, round: u64) {
        if is_quiet && (matches!(self.watch, Some(Watch::Clock(_))) || self.alone >= self.changed) {
            return;
        }
        self.changed = round;
        if is_quiet {
            if is_alone(pid, procfs) {
                self.alone = round;
            } else {
                self.watch = None;
            }
        }
    }

    /// Takes note of a change that was seen in a collection after it looked.
    pub fn note_change(&mut self, round: u64) {
        self.changed = round;
    }

    /// Whether nothing has changed since what was read in that collection, after it looked.
    pub fn is_quiet_since(&self, round: u64) -> bool {
        self.changed <= round
    }

    /// Whether it was quiet already in that collection, and has been since.
    pub fn was_quiet_in(&self, round: u64) -> bool {
        self.changed < round
    }

    /// Whether it is known when it runs.
    pub fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    /// How many files are kept open for it.
    pub fn handles(&self) -> usize {
        usize::from(matches!(self.watch, Some(Watch::FirstThread(_))))
    }
}

/// Whether a process has one thread. Its handle answers before and afterwards, or its pid
/// is not asked for again.
fn is_alone(pid: u32, procfs: &Path) -> bool {
    Dir::open(&procfs.join(pid.to_string())).is_ok_and(|dir| dir.holds_one("task"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    const PROCFS: &str = "/proc";

    /// A child that is ended with the test, be it a failure.
    struct Kid(Child);

    impl Drop for Kid {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn look(activity: &mut Activity, is_same: bool, pid: u32, round: u64) {
        let has_run = activity.look();
        activity.conclude(is_same && !has_run, pid, Path::new(PROCFS), round);
    }

    fn watched(pid: u32, threads: u64, has_own_pids: bool) -> Activity {
        let mut activity = Activity::new(1);
        let process = Process::open(Path::new(PROCFS), pid).expect("it runs");
        activity.watch(&process, threads, has_own_pids);
        activity
    }

    /// Looks until that holds, from a collection on; the collection in which it does.
    fn until(
        activity: &mut Activity,
        pid: u32,
        mut round: u64,
        holds: impl Fn(&Activity, u64) -> bool,
    ) -> u64 {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            look(activity, true, pid, round);
            if holds(activity, round) {
                return round;
            }
            assert!(Instant::now() < end, "it never came about: {activity:?}");
            std::thread::yield_now();
            round += 1;
        }
    }

    fn is_quiet(activity: &Activity, round: u64) -> bool {
        activity.is_quiet_since(round - 1)
    }

    /// Watches a process that waits for a byte and then writes it, its counters unchanged.
    fn sleeps_until_it_runs(mut kid: Kid, threads: u64, has_own_pids: bool) {
        let pid = kid.0.id();
        let mut activity = watched(pid, threads, has_own_pids);
        let round = until(&mut activity, pid, 2, is_quiet);
        assert!(activity.was_quiet_in(round) && activity.is_watched());

        kid.0.stdin.as_mut().expect("a pipe").write_all(b"x").expect("it reads");
        kid.0.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("it writes");
        // Until it waits again it may be on a processor, uncounted.
        let changed = |activity: &Activity, round| !activity.is_quiet_since(round - 1);
        let round = until(&mut activity, pid, round + 1, changed);
        let round = until(&mut activity, pid, round + 1, is_quiet);

        // Memory that the kernel takes back is a change, too.
        look(&mut activity, false, pid, round + 1);
        assert!(!activity.is_quiet_since(round) && activity.is_quiet_since(round + 1));
    }

    fn kid(program: &str, args: &[&str]) -> Kid {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        Kid(command.spawn().expect("it starts"))
    }

    #[test]
    fn who_sleeps_is_quiet_until_it_runs() {
        sleeps_until_it_runs(kid("cat", &[]), 1, true);
    }

    #[test]
    fn so_it_is_in_a_container() {
        sleeps_until_it_runs(kid("cat", &[]), 1, false);
    }

    #[test]
    fn with_its_clock_it_is_known_of_all_threads() {
        const SECOND_THREAD_COPIES: &str = "import os, threading\n\
            def copy():\n    while byte := os.read(0, 1): os.write(1, byte)\n\
            thread = threading.Thread(target=copy)\nthread.start()\nthread.join()";
        sleeps_until_it_runs(kid("python3", &["-c", SECOND_THREAD_COPIES]), 2, true);
    }

    #[test]
    fn of_two_threads_nothing_is_known_in_a_container() {
        let (_end, waits) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || waits.recv());
        let pid = std::process::id();
        let mut activity = watched(pid, 1, false);
        let round = until(&mut activity, pid, 2, |activity, _| !activity.is_watched());
        look(&mut activity, true, pid, round + 1);
        assert!(!activity.is_quiet_since(round));
        drop(other);
    }

    #[test]
    fn the_clock_of_many_threads_is_not_read() {
        let pid = std::process::id();
        assert!(!watched(pid, MANY_THREADS + 1, true).is_watched());
        let mut activity = watched(pid, MANY_THREADS, true);
        assert!(activity.is_watched() && activity.handles() == 0);
        activity.limit(MANY_THREADS + 1);
        assert!(!activity.is_watched());
    }
}
