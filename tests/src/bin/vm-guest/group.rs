//! A cgroup of a scenario's own, with an actor in it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::actor::DONE;
use crate::kernel::Stat;

const ROOT: &str = "/sys/fs/cgroup";

/// How often reclaim is asked for at most, and how often it may find nothing
/// before the rest counts as unreclaimable: it splits huge pages in one round and
/// frees their tails in a later one.
const ROUNDS: usize = 32;
const IDLE_ROUNDS: usize = 4;

/// A cgroup and the actor that is all of its processes. Both end with it.
pub struct Group {
    name: String,
    dir: PathBuf,
    actor: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Whether the actor holds kernel memory that kernels before 5.18 charge and
    /// show in no field of `memory.stat`.
    pub opaque: bool,
}

impl Group {
    /// Makes the cgroup, without swap, and starts the actor in it.
    pub fn new(name: &str) -> Result<Self> {
        Self::running(name, &[], &[])
    }

    /// The same with a program of its own in the actor's place: its words, and
    /// what stands in its environment.
    pub fn running(name: &str, program: &[&str], environment: &[(&str, &str)]) -> Result<Self> {
        let dir = Path::new(ROOT).join(name);
        fs::create_dir(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
        fs::write(dir.join("memory.swap.max"), "0").context("failed to forbid swap")?;
        let mut actor = Command::new(std::env::current_exe()?)
            .arg("actor")
            .arg(&dir)
            .args(program)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start an actor")?;
        let (Some(orders), Some(answers)) = (actor.stdin.take(), actor.stdout.take()) else {
            bail!("the actor has no pipes");
        };
        let answers = BufReader::new(answers);
        Ok(Self { name: name.to_owned(), dir, actor, orders, answers, opaque: false })
    }

    /// The name that memgap knows it by.
    pub fn target(&self) -> String {
        format!("cgroup:/{}", self.name)
    }

    /// The actor's process id.
    pub fn pid(&self) -> u32 {
        self.actor.id()
    }

    /// Has the actor carry out each line, and waits until it has.
    pub fn tell(&mut self, script: &str) -> Result<()> {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            writeln!(self.orders, "{line}").context("the actor is gone")?;
            let answer = self.add_report()?;
            ensure!(answer.trim_end() == DONE, "the actor failed: {answer:?} to {line:?}");
        }
        Ok(())
    }

    /// Gives a program its next line.
    pub fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.orders, "{line}").context("the program is gone")
    }

    /// Waits for the next line of its output.
    pub fn add_report(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(!line.is_empty(), "{} ended", self.name);
        Ok(line)
    }

    /// Writes one of the cgroup's control files.
    pub fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.dir.join(file);
        fs::write(&path, value).with_context(|| format!("failed to write {}", path.display()))
    }

    /// `memory.current`, in bytes.
    pub fn usage(&self) -> Result<i64> {
        Ok(self.read("memory.current")?.trim().parse()?)
    }

    /// One of the cgroup's files.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = self.dir.join(file);
        fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    }

    /// `memory.stat`.
    pub fn stat(&self) -> Result<Stat> {
        // Before 6.16 this flushes all of the cgroup's statistics; memory.stat by
        // itself leaves up to 64 updates a CPU out.
        fs::read(self.dir.join("cpu.stat"))?;
        Stat::read(&self.dir.join("memory.stat"))
    }

    /// Has the kernel take back about so many bytes, or as many as it can find.
    pub fn reclaim(&self, bytes: i64) -> Result<()> {
        let file = self.dir.join("memory.reclaim");
        if file.exists() {
            // EAGAIN: it found less than it was asked for.
            let _ = fs::write(file, bytes.to_string());
            return Ok(());
        }
        // Before 5.19: a lower bound than the usage reclaims at once.
        self.set("memory.high", &(self.usage()? - bytes).max(0).to_string())?;
        self.set("memory.high", "max")
    }

    /// Has the kernel take back everything that it can without swapping.
    /// Returns what is left: the truth about `required`.
    pub fn squeeze(&self) -> Result<i64> {
        self.set("memory.swap.max", "0")?;
        // Reclaim does not wait until dirty pages are written.
        rustix::fs::sync();
        let (mut left, mut idle) = (self.usage()?, 0);
        for _ in 0..ROUNDS {
            self.reclaim(left)?;
            let now = self.usage()?;
            idle = if now < left { 0 } else { idle + 1 };
            left = left.min(now);
            if idle == IDLE_ROUNDS {
                break;
            }
        }
        Ok(left)
    }

    /// Makes a new generation of the multi-generational LRU: what was young is
    /// older after it. Documentation/admin-guide/mm/multigen_lru.rst.
    pub fn age(&self) -> Result<()> {
        // The kernel itself may make one between reading and writing.
        (1..ROUNDS).find_map(|_| self.try_to_age().ok()).map_or_else(|| self.try_to_age(), Ok)
    }

    fn try_to_age(&self) -> Result<()> {
        let path = "/sys/kernel/debug/lru_gen";
        let text = fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
        let group = format!("/{}", self.name);
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let id = lines.find_map(|words| match words.as_slice() {
            ["memcg", id, path] if *path == group => Some((*id).to_owned()),
            _ => None,
        });
        let newest = lines
            .take_while(|words| words.first() != Some(&"memcg"))
            .filter_map(|words| words.first()?.parse::<u64>().ok())
            .last();
        let (Some(id), Some(newest)) = (id, newest) else {
            bail!("{path} has no generations of {group}");
        };
        fs::write(path, format!("+ {id} 0 {newest}"))
            .with_context(|| format!("failed to age the generations of {group}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let ended = self.actor.kill().and_then(|()| self.actor.wait());
        if let Err(error) = ended.and_then(|_| fs::remove_dir(&self.dir)) {
            eprintln!("failed to remove {}: {error}", self.dir.display());
        }
    }
}
