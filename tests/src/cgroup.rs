//! A memory cgroup of the test's own, below the one that the test runs in.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cgroups_rs::fs::Cgroup;
use cgroups_rs::fs::hierarchies::V1;

/// How long processes that were killed may take to leave.
const LEAVE: Duration = Duration::from_secs(10);

/// A cgroup that is removed with the value. End its processes first.
#[derive(Debug)]
pub struct TestCgroup {
    group: Cgroup,
    path: String,
}

impl TestCgroup {
    /// Makes a cgroup on the v1 memory hierarchy of this machine.
    pub fn v1(name: &str) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let own = own_path()?;
        let (pid, nth) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = format!("{}/memgap-test-{name}-{pid}-{nth}", own.trim_end_matches('/'));
        let only_memory = Some(vec!["memory".to_owned()]);
        let group =
            Cgroup::new_with_specified_controllers(Box::new(V1::new()), &path[1..], only_memory)
                .with_context(|| {
                    format!("failed to make the cgroup {path}: the tests need root")
                })?;
        Ok(Self { group, path })
    }

    /// Its path below the hierarchy's mount.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The file that takes the pids of processes to move here.
    pub fn procs(&self) -> PathBuf {
        self.directory().join("cgroup.procs")
    }

    /// A figure of the kernel's own: `total_rss` of `memory.stat`, say.
    pub fn stat(&self, key: &str) -> Result<u64> {
        let text = self.file("memory.stat")?;
        let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {key} in memory.stat"))?.parse()?)
    }

    /// The text of one of its files.
    pub fn file(&self, name: &str) -> Result<String> {
        let path = self.directory().join(name);
        std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    }
}

/// The test's own stay in a cgroup, in which its children begin: it leaves with the value.
#[derive(Debug)]
pub struct Inside {
    home: PathBuf,
}

impl TestCgroup {
    /// Moves the test itself there, until the value is dropped.
    pub fn enter(&self) -> Result<Inside> {
        let home = PathBuf::from(format!("{MOUNT}{}", own_path()?)).join("cgroup.procs");
        std::fs::write(self.procs(), std::process::id().to_string())
            .with_context(|| format!("failed to enter {}", self.path))?;
        Ok(Inside { home })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.home, std::process::id().to_string());
    }
}

const MOUNT: &str = "/sys/fs/cgroup/memory";

impl TestCgroup {
    fn directory(&self) -> PathBuf {
        PathBuf::from(format!("{MOUNT}{}", self.path))
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        let started = Instant::now();
        // The last of its processes may still be on their way out.
        while self.group.delete().is_err() && started.elapsed() < LEAVE {
            std::thread::yield_now();
        }
    }
}

fn own_path() -> Result<String> {
    let text = std::fs::read_to_string("/proc/self/cgroup").context("procfs is not mounted")?;
    let memory = text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let controllers = fields.next()?;
        controllers.split(',').any(|c| c == "memory").then(|| fields.next())?
    });
    Ok(memory.context("no v1 memory controller: cgroup v2 is tested in tests/vm")?.to_owned())
}
