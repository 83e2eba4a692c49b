//! Programs with known memory, from `tests/targets`: compiled once, run step by
//! step, ended with the value.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cgroup::Cgroup;

/// A running target that waits for leave to do its next step.
#[derive(Debug)]
pub struct Target {
    child: Child,
    input: ChildStdin,
    lines: Receiver<std::io::Result<String>>,
    word: Word,
}

/// How long a target may take for a step, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_mins(3);

/// What a target says that it holds: bytes by name.
pub type Word = BTreeMap<String, u64>;

impl Target {
    /// Compiles `tests/targets/NAME.c` where that is not done yet, runs it, and
    /// waits for its first word.
    pub fn start(name: &str) -> Result<Self> {
        Self::run(&compiled(name)?, &[])
    }

    /// As `start`, in a cgroup.
    pub fn start_in(name: &str, group: &Cgroup) -> Result<Self> {
        Self::run_in(&compiled(name)?, &[], group)
    }

    /// Runs a program that keeps the targets' protocol, with more environment,
    /// and waits for its first word. It works in a directory on disk.
    pub fn run(program: &Path, environment: &[(&str, &str)]) -> Result<Self> {
        Self::spawn(Command::new(program).envs(environment.iter().copied()))
    }

    /// As `run`, in a cgroup: it is moved there before it runs, so that the cgroup is
    /// charged for all of it.
    pub fn run_in(program: &Path, environment: &[(&str, &str)], group: &Cgroup) -> Result<Self> {
        Self::spawn(group.command(program).envs(environment.iter().copied()))
    }

    /// As `run`, by a command with arguments.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let mut child = command
            .current_dir(directory()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {command:?}"))?;
        let input = child.stdin.take().context("no stdin")?;
        let lines = lines(child.stdout.take().context("no stdout")?);
        let mut target = Self { child, input, lines, word: Word::new() };
        target.listen()?;
        Ok(target)
    }

    /// Its process id, which stays its own as long as the value lives.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it holds after the last step, by the name it gave.
    pub fn holds(&self, name: &str) -> Result<u64> {
        self.word.get(name).copied().with_context(|| format!("the target says no {name}"))
    }

    /// Lets it do its next step and waits until that is done.
    pub fn step(&mut self) -> Result<()> {
        self.proceed()?;
        self.listen()
    }

    /// Lets it say again what it holds.
    pub fn again(&mut self) -> Result<()> {
        writeln!(self.input, "again").context("the target has ended")?;
        self.listen()
    }

    /// Lets it do what `steps` names and waits until that is done.
    pub fn take(&mut self, steps: &str) -> Result<()> {
        writeln!(self.input, "{steps}").context("the target has ended")?;
        self.listen()
    }

    /// Lets it do its last step, and waits until it has ended.
    pub fn end(&mut self) -> Result<ExitStatus> {
        self.proceed()?;
        Ok(self.child.wait()?)
    }

    /// Lets it do its next step, and does not wait.
    pub fn proceed(&mut self) -> Result<()> {
        writeln!(self.input, "next").context("the target has ended")
    }

    fn listen(&mut self) -> Result<()> {
        let line = self.lines.recv_timeout(PATIENCE).context("the target says nothing")??;
        let mut words = line.split_whitespace();
        if words.next() != Some("ready") {
            bail!("the target said {line:?}");
        }
        self.word = words
            .map(|figure| {
                let (name, bytes) = figure.split_once('=').context("a figure is name=bytes")?;
                Ok((name.to_owned(), bytes.parse()?))
            })
            .collect::<Result<_>>()?;
        Ok(())
    }
}

/// What a program says, line by line: it ends with the program.
fn lines(output: ChildStdout) -> Receiver<std::io::Result<String>> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where targets are built and work: on disk, below the build directory.
pub fn directory() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).context("a test stands in the build directory")?;
    let directory = profile.join("targets");
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// A program of the workspace, built where it is not yet.
pub fn built(program: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).context("a test stands in the build directory")?;
    // As `tests/run` has built it: for its package alone other features of what it depends on
    // are chosen, and all is compiled again.
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--offline", "--workspace", "--bin", program])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("failed to start cargo")?;
    if !output.status.success() {
        bail!("{program} does not build: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(profile.join(program))
}

/// The program of `tests/targets/NAME.c`.
pub fn compiled(name: &str) -> Result<PathBuf> {
    compiled_with(name, "own", &[])
}

/// As `compiled`, with more flags, which `variant` stands for.
pub fn compiled_with(name: &str, variant: &str, flags: &[&str]) -> Result<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    let source = sources.join(name).with_extension("c");
    let name = if flags.is_empty() { name.to_owned() } else { format!("{name}-{variant}") };
    let program = directory()?.join(&name);
    let headers = ["target.h", "memory_file.h"].map(|header| sources.join(header));
    let newest = headers.iter().try_fold(modified(&source)?, |newest, header| {
        Ok::<_, anyhow::Error>(newest.max(modified(header)?))
    })?;
    if modified(&program).is_ok_and(|built| built > newest) {
        return Ok(program);
    }
    // Several tests may build it at once: each builds its own and puts it there
    // as a whole. A program that runs keeps the file that it was started from.
    let thread = std::thread::current().id();
    let own = directory()?.join(format!("{name}-{}-{thread:?}", std::process::id()));
    let output = Command::new("cc")
        .args(["-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-rdynamic", "-o"])
        .args([&own, &source])
        .args(flags)
        .output()
        .context("failed to start cc: run tests/install")?;
    if !output.status.success() {
        bail!("{} does not compile: {}", source.display(), String::from_utf8_lossy(&output.stderr));
    }
    std::fs::rename(&own, &program)?;
    Ok(program)
}

fn modified(path: &Path) -> Result<std::time::SystemTime> {
    let metadata = path.metadata().with_context(|| format!("failed to read {}", path.display()))?;
    Ok(metadata.modified()?)
}
