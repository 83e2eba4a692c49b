//! Whether a process may have changed since an earlier collection. One that has not run has
//! written nothing, so that what was read of it is what would be read again.
//!
//! The kernel tells of one thread at a time, so this is known of processes with one thread
//! only. Who shares a process's memory without being a thread of it (`CLONE_VM`), or writes
//! into it from outside, is not seen: what is said of a process is read anew once in a while,
//! be it quiet or not.

use std::fs::File;
use std::path::Path;

use memgap_kernel::file::Dir;
use memgap_kernel::process::Process;
use memgap_kernel::source::schedstat::{self, Turns};

/// What tells of one process whether it runs.
#[derive(Debug)]
pub(super) struct Activity {
    /// Of its first thread, kept open as long as that is its only one.
    schedstat: Option<File>,
    turns: Option<Turns>,
    /// The last collection before which it may have changed.
    changed: u64,
    /// The last collection that saw it have no other thread.
    alone: u64,
}

impl Activity {
    /// Of a process that a collection meets for the first time.
    pub fn new(round: u64) -> Self {
        Self { schedstat: None, turns: None, changed: round, alone: 0 }
    }

    /// Begins to watch a process that is said to have so many threads.
    pub fn watch(&mut self, process: &Process, threads: u64) {
        if self.schedstat.is_none() && threads == 1 {
            self.schedstat = process.file(schedstat::NAME).ok();
            self.turns = None;
        }
    }

    /// Looks whether it has run since the collection before, or its counters changed, as
    /// they do where the kernel takes memory back.
    pub fn look(&mut self, is_same: bool, pid: u32, procfs: &Path, round: u64) {
        let Some(schedstat) = &self.schedstat else {
            self.changed = round;
            return;
        };
        // Before its threads are counted: those that it starts later it starts in a turn.
        let turns = schedstat::read_again(schedstat).ok().flatten();
        let is_quiet = is_same && turns.is_some() && turns == self.turns;
        self.turns = turns;
        if is_quiet && self.alone >= self.changed {
            return;
        }
        self.changed = round;
        if is_quiet {
            if is_alone(pid, procfs) {
                self.alone = round;
            } else {
                self.schedstat = None;
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

    /// How many files are kept open for it.
    pub fn handles(&self) -> usize {
        usize::from(self.schedstat.is_some())
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

    /// Looks until that holds, from a collection on; the collection in which it does.
    fn until(
        activity: &mut Activity,
        pid: u32,
        mut round: u64,
        holds: impl Fn(&Activity, u64) -> bool,
    ) -> u64 {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            activity.look(true, pid, Path::new(PROCFS), round);
            if holds(activity, round) {
                return round;
            }
            assert!(Instant::now() < end, "it never came about: {activity:?}");
            std::thread::yield_now();
            round += 1;
        }
    }

    #[test]
    fn who_sleeps_is_quiet_until_it_runs() {
        let mut kid = Kid(Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cat runs"));
        let pid = kid.0.id();
        let mut activity = Activity::new(1);
        activity.watch(&Process::open(Path::new(PROCFS), pid).expect("it runs"), 1);
        let is_quiet = |activity: &Activity, round| activity.is_quiet_since(round - 1);
        let round = until(&mut activity, pid, 2, is_quiet);
        assert!(activity.was_quiet_in(round) && activity.handles() == 1);

        // It takes and gives a byte, and its counters are as they were.
        kid.0.stdin.as_mut().expect("a pipe").write_all(b"x").expect("it reads");
        kid.0.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("it writes");
        activity.look(true, pid, Path::new(PROCFS), round + 1);
        assert!(!activity.is_quiet_since(round));
        let round = until(&mut activity, pid, round + 2, is_quiet);

        // Memory that the kernel takes back is a change, too.
        activity.look(false, pid, Path::new(PROCFS), round + 1);
        assert!(!activity.is_quiet_since(round) && activity.is_quiet_since(round + 1));
    }

    #[test]
    fn of_two_threads_nothing_is_known() {
        let (_end, waits) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || waits.recv());
        let pid = std::process::id();
        let mut activity = Activity::new(1);
        activity.watch(&Process::open(Path::new(PROCFS), pid).expect("it runs"), 1);
        let round = until(&mut activity, pid, 2, |activity, _| activity.handles() == 0);
        activity.look(true, pid, Path::new(PROCFS), round + 1);
        assert!(!activity.is_quiet_since(round));
        drop(other);
    }
}
