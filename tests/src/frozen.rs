//! A process that stands still, and what the kernel says of it in its own words,
//! read apart from memgap's reader.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A process stopped with SIGSTOP, which goes on when the value is dropped.
#[derive(Debug)]
pub struct Frozen {
    pid: Pid,
    proc: PathBuf,
}

/// The kernel's figures in bytes: `statm` and `smaps_rollup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// `statm` field 1.
    pub vsz: u64,
    /// `statm` field 2.
    pub rss: u64,
    /// `Pss` of `smaps_rollup`.
    pub pss: u64,
    /// `LazyFree` of `smaps_rollup`.
    pub lazy_free: u64,
    /// Lines of `maps`.
    pub areas: u64,
}

/// How long the kernel may take to stop a process.
const STOP: Duration = Duration::from_secs(10);

impl Frozen {
    /// Stops a process and waits until it stands still.
    pub fn stop(pid: u32) -> Result<Self> {
        Self::stop_running(pid)?.with_context(|| format!("process {pid} has ended"))
    }

    /// Stops a process, unless it has ended.
    fn stop_running(pid: u32) -> Result<Option<Self>> {
        let raw = i32::try_from(pid)?;
        let id = Pid::from_raw(raw).context("pid 0")?;
        let frozen = Self { pid: id, proc: PathBuf::from(format!("/proc/{pid}")) };
        kill_process(id, Signal::STOP).with_context(|| format!("failed to stop {pid}"))?;
        let started = Instant::now();
        while started.elapsed() < STOP {
            match frozen.state()? {
                'T' => return Ok(Some(frozen)),
                'Z' | 'X' => return Ok(None),
                _ => std::thread::yield_now(),
            }
        }
        bail!("process {pid} does not stop")
    }

    /// Stops a process, then its children: it can start no more by then.
    pub fn family(pid: u32) -> Result<Vec<Self>> {
        let mut family = vec![Self::stop(pid)?];
        for child in children(pid)? {
            // One that has ended stays a zombie, for its parent stands still.
            family.extend(Self::stop_running(child)?);
        }
        Ok(family)
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Reads the kernel's figures.
    pub fn kernel(&self) -> Result<Kernel> {
        let statm = self.text("statm")?;
        let pages: Vec<u64> = statm.split(' ').map_while(|w| w.trim().parse().ok()).collect();
        let page = rustix::param::page_size() as u64;
        let rollup = self.text("smaps_rollup")?;
        let kilobytes = |key: &str| -> Result<u64> {
            let line = rollup.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
            let word = line.and_then(|l| l.split_whitespace().next());
            Ok(word.context("missing in smaps_rollup")?.parse::<u64>()? * 1024)
        };
        Ok(Kernel {
            vsz: pages.first().context("statm is short")? * page,
            rss: pages.get(1).context("statm is short")? * page,
            pss: kilobytes("Pss")?,
            lazy_free: kilobytes("LazyFree")?,
            areas: self.text("maps")?.lines().count() as u64,
        })
    }

    /// The state of the first thread that does not stand still, else of the process.
    fn state(&self) -> Result<char> {
        for entry in std::fs::read_dir(self.proc.join("task"))? {
            let task = Path::new("task").join(entry?.file_name()).join("stat");
            // A thread that ended meanwhile has none.
            if let Ok(state) = self.state_in(&task)
                && state != 'T'
            {
                return Ok(state);
            }
        }
        self.state_in(Path::new("stat"))
    }

    fn state_in(&self, file: &Path) -> Result<char> {
        let stat = self.text(file)?;
        let after = stat.rsplit_once(") ").context("stat has no comm")?.1;
        after.chars().next().context("stat is short")
    }

    fn text(&self, file: impl AsRef<Path>) -> Result<String> {
        let path = self.proc.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill_process(self.pid, Signal::CONT);
    }
}

/// The children of a process.
fn children(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    Ok(text.split_whitespace().filter_map(|word| word.parse().ok()).collect())
}
