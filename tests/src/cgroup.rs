//! A memory cgroup of a test's own, on whichever version of the interface this
//! machine has: v1, v1 beside v2, or v2.

mod place;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cgroups_rs::fs::hierarchies::{V1, V2};
use cgroups_rs::fs::memory::MemController;
use rustix::process::{Pid, Signal, kill_process};

pub use self::place::Version;
use self::place::{MEMORY, Place};

const PROCS: &str = "cgroup.procs";

/// How long processes that were killed may take to leave.
const LEAVE: Duration = Duration::from_secs(10);

/// A cgroup that ends with the value, and so does every process in it.
#[derive(Debug)]
pub struct Cgroup {
    group: cgroups_rs::fs::Cgroup,
    place: Place,
}

/// What the kernel has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Events {
    /// Processes of this cgroup, on v2 of those below it too, that were killed for want
    /// of memory, whichever limit was met.
    pub oom_kills: u64,
    /// How often the limit was met: `memory.failcnt`, or `max` of `memory.events`. On v1
    /// it was not, where the limit of memory and swap is met first.
    pub limit_met: u64,
}

impl Cgroup {
    /// Makes a cgroup: on v1 below the one that the test runs in, on v2 below the
    /// nearest one that hands the memory controller on.
    pub fn new(name: &str) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (pid, nth) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let home = Place::own()?.delegating()?;
        Self::make(home.below(&format!("memgap-test-{name}-{pid}-{nth}")))
    }

    /// Makes a cgroup below this one, which on v2 may hold no processes of its own then.
    /// The child must be dropped first.
    pub fn child(&self, name: &str) -> Result<Self> {
        Self::make(self.place.below(name))
    }

    /// The interface that it has.
    pub fn version(&self) -> Version {
        self.place.version
    }

    /// Its path below the hierarchy's mount.
    pub fn path(&self) -> &str {
        &self.place.path
    }

    /// Its directory.
    pub fn directory(&self) -> PathBuf {
        self.place.directory()
    }

    /// Limits its memory, and lifts what limits its swap; `None` lifts both limits.
    pub fn limit(&self, bytes: Option<u64>) -> Result<()> {
        // On v1 it stands above the limit of memory: it goes first. Kernels without swap
        // have neither file.
        match self.version() {
            Version::V1 => drop(self.set("memory.memsw.limit_in_bytes", &-1)),
            Version::V2 => drop(self.set("memory.swap.max", &"max")),
        }
        let memory: &MemController =
            self.group.controller_of().context("the cgroup has no memory controller")?;
        let bytes = bytes.map(i64::try_from).transpose()?.unwrap_or(-1);
        memory.set_limit(bytes).with_context(|| format!("failed to limit {}", self.path()))
    }

    /// Limits what it may swap out beside its memory, whose limit is set before. A kernel
    /// that does not account for swap has nothing to limit.
    pub fn swap_limit(&self, bytes: u64) -> Result<()> {
        let file = self.either("memory.memsw.limit_in_bytes", "memory.swap.max");
        if !self.directory().join(file).exists() {
            return Ok(());
        }
        match self.version() {
            Version::V2 => self.set(file, &bytes),
            // The limit of the sum of both.
            Version::V1 => {
                let limit = self.number("memory.limit_in_bytes")?;
                self.set(file, &limit.saturating_add(bytes))
            }
        }
    }

    /// The command that runs a program in here: it enters before the program is
    /// executed, so that all of its memory is charged here.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.procs()).arg(program);
        command
    }

    /// Moves a process here; what it has touched before stays charged where it was.
    pub fn admit(&self, pid: u32) -> Result<()> {
        self.set(PROCS, &pid)
    }

    /// Moves the test itself here, until the value is dropped.
    pub fn enter(&self) -> Result<Inside> {
        let home = Place::own()?.directory().join(PROCS);
        self.admit(std::process::id())?;
        Ok(Inside { home })
    }

    /// The file that takes the pids of processes to move here.
    pub fn procs(&self) -> PathBuf {
        self.directory().join(PROCS)
    }

    /// What is charged to it, in bytes.
    pub fn usage(&self) -> Result<u64> {
        self.number(self.either("memory.usage_in_bytes", "memory.current"))
    }

    /// A figure of `memory.stat` with all that is below the cgroup, by its name of v2
    /// where both versions have it: `inactive_file`, `shmem`, `anon` (`rss` on v1).
    pub fn stat(&self, key: &str) -> Result<u64> {
        if self.version() == Version::V2 {
            // Before 6.16 this flushes all statistics; `memory.stat` by itself leaves up to
            // 64 updates a processor out.
            self.file("cpu.stat")?;
        }
        let key = match (self.version(), key) {
            (Version::V1, "anon") => "total_rss".to_owned(),
            (Version::V1, "file") => "total_cache".to_owned(),
            (Version::V1, key) => format!("total_{key}"),
            (Version::V2, key) => key.to_owned(),
        };
        self.keyed("memory.stat", &key)
    }

    /// What has happened to it so far.
    pub fn events(&self) -> Result<Events> {
        Ok(match self.version() {
            Version::V1 => Events {
                oom_kills: self.keyed("memory.oom_control", "oom_kill")?,
                limit_met: self.number("memory.failcnt")?,
            },
            Version::V2 => Events {
                oom_kills: self.keyed("memory.events", "oom_kill")?,
                limit_met: self.keyed("memory.events", "max")?,
            },
        })
    }

    /// Kills all of its processes and waits until they have left; their parents still
    /// have to wait for them.
    pub fn kill(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let pids = self.pids()?;
            if pids.is_empty() {
                return Ok(());
            }
            ensure!(started.elapsed() < LEAVE, "{pids:?} do not leave {}", self.path());
            for pid in pids.into_iter().filter(|pid| *pid != std::process::id()) {
                let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no pid")?;
                // One that has just ended is as good as killed.
                let _ = kill_process(pid, Signal::KILL);
            }
            std::thread::yield_now();
        }
    }

    /// Writes one of its files.
    pub fn set(&self, file: &str, value: &impl ToString) -> Result<()> {
        let path = self.directory().join(file);
        std::fs::write(&path, value.to_string())
            .with_context(|| format!("failed to write {}", path.display()))
    }

    /// The text of one of its files.
    pub fn file(&self, name: &str) -> Result<String> {
        place::read(&self.directory().join(name))
    }

    /// The name of a file by version.
    pub fn either<'a>(&self, v1: &'a str, v2: &'a str) -> &'a str {
        match self.version() {
            Version::V1 => v1,
            Version::V2 => v2,
        }
    }
}

/// The test's own stay in a cgroup, in which its children begin: it leaves with the value.
#[derive(Debug)]
pub struct Inside {
    home: PathBuf,
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.home, std::process::id().to_string());
    }
}

impl Cgroup {
    fn make(place: Place) -> Result<Self> {
        let memory = Some(vec![MEMORY.to_owned()]);
        let below = place.path.trim_start_matches('/');
        let create = cgroups_rs::fs::Cgroup::new_with_specified_controllers;
        let created = match place.version {
            Version::V1 => create(Box::new(V1::new()), below, memory),
            Version::V2 => create(Box::new(V2::new()), below, memory),
        };
        let group = created
            .with_context(|| format!("failed to make the cgroup {}: run as root", place.path))?;
        let made = Self { group, place };
        if made.version() == Version::V1 {
            // Inherited where a parent sees to its own shortages: nobody would be killed.
            made.set("memory.oom_control", &0)?;
        }
        Ok(made)
    }

    fn pids(&self) -> Result<Vec<u32>> {
        let text = self.file(PROCS)?;
        Ok(text.lines().map(str::parse).collect::<Result<_, _>>()?)
    }

    fn number(&self, file: &str) -> Result<u64> {
        let text = self.file(file)?;
        text.trim().parse().with_context(|| format!("{file} is {text:?}"))
    }

    fn keyed(&self, file: &str, key: &str) -> Result<u64> {
        let text = self.file(file)?;
        let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {key} in {file}"))?.parse()?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = self.kill();
        let started = Instant::now();
        // The last of its processes may still be on their way out.
        while self.group.delete().is_err() && started.elapsed() < LEAVE {
            std::thread::yield_now();
        }
    }
}
