//! The cgroups of a situation, on whichever version of the interface the machine has.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How often reclaim may find nothing before the rest counts as unreclaimable.
const IDLE_ROUNDS: usize = 3;

/// How long processes that were killed may take to leave.
const LEAVE: Duration = Duration::from_secs(10);

/// A cgroup that is removed with the value: its processes must have ended.
#[derive(Debug)]
pub struct Group {
    mount: &'static str,
    path: String,
    /// Whether it is one of cgroup v2.
    pub is_v2: bool,
}

impl Group {
    /// Makes a cgroup: on v1 below our own, on v2 below the root.
    pub fn new(name: &str) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let text = fs::read_to_string("/proc/self/cgroup").context("procfs is not mounted")?;
        let v1 = text.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == "memory").then_some(path)
        });
        let (pid, nth) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("memgap-test-{name}-{pid}-{nth}");
        let group = match v1 {
            Some(own) => Self {
                mount: "/sys/fs/cgroup/memory",
                path: format!("{}/{name}", own.trim_end_matches('/')),
                is_v2: false,
            },
            None => Self { mount: "/sys/fs/cgroup", path: format!("/{name}"), is_v2: true },
        };
        group.made()
    }

    /// Makes one below it, which must go before it.
    pub fn child(&self, name: &str) -> Result<Self> {
        Self { path: format!("{}/{name}", self.path), ..*self }.made()
    }

    /// Lets those below it have limits of memory, where that has to be said.
    pub fn delegate(&self) -> Result<()> {
        if self.is_v2 { self.set("cgroup.subtree_control", "+memory") } else { Ok(()) }
    }

    /// Its path below the hierarchy's mount.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its directory.
    pub fn directory(&self) -> PathBuf {
        PathBuf::from(format!("{}{}", self.mount, self.path))
    }

    /// Limits its memory, and what it may swap out beside.
    pub fn limit(&self, memory: u64, swap: u64) -> Result<()> {
        if self.is_v2 {
            self.set("memory.max", &memory.to_string())?;
            return self.set("memory.swap.max", &swap.to_string());
        }
        self.set("memory.limit_in_bytes", &memory.to_string())?;
        // Where swap is accounted for: of both together.
        let both = "memory.memsw.limit_in_bytes";
        if self.directory().join(both).exists() {
            self.set(both, &(memory + swap).to_string())?;
        }
        Ok(())
    }

    /// How many processes were OOM-killed: on v2 with those below, on v1 its own.
    pub fn kills(&self) -> Result<u64> {
        let name = if self.is_v2 { "memory.events" } else { "memory.oom_control" };
        let text = read(&self.directory().join(name))?;
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(kills.with_context(|| format!("no oom_kill in {name}"))?.parse()?)
    }

    /// Has the kernel take back what it can, by `memory.force_empty` of v1, and returns the
    /// usage that is left; `None` on v2, which has no such file.
    pub fn squeeze(&self) -> Result<Option<i64>> {
        if self.is_v2 {
            return Ok(None);
        }
        let usage = || -> Result<i64> {
            let text = read(&self.directory().join("memory.usage_in_bytes"))?;
            Ok(text.trim().parse()?)
        };
        let (mut left, mut idle) = (usage()?, 0);
        // It finds less than there is where pages wait to be written.
        while idle < IDLE_ROUNDS {
            self.set("memory.force_empty", "0")?;
            let now = usage()?;
            idle = if now < left { 0 } else { idle + 1 };
            left = left.min(now);
        }
        Ok(Some(left))
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.directory().join(file);
        fs::write(&path, value).with_context(|| format!("failed to write {}", path.display()))
    }

    fn made(self) -> Result<Self> {
        let directory = self.directory();
        fs::create_dir(&directory)
            .with_context(|| format!("failed to make {}: run as root", directory.display()))?;
        Ok(self)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let started = Instant::now();
        while fs::remove_dir(self.directory()).is_err() && started.elapsed() < LEAVE {
            std::thread::yield_now();
        }
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}
