//! Java virtual machines, and `tests/targets/Heap.java` run by each.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use memgap_ledger::Runtime;
use memgap_ledger::sample::ProcessSample;
use memgap_reader::{Depth, Reader, Roots};

use crate::fetch::{fetch, versioned};
use crate::frozen::Frozen;
use crate::target::{self, Target};

/// A virtual machine that `tests/java/fetch` fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// `17.0.9.2`: that of the wheel.
    pub version: String,
    java: PathBuf,
}

/// Every virtual machine, fetched where it is not there yet.
pub fn machines() -> Result<Vec<Machine>> {
    let lines = fetch("java")?;
    lines
        .iter()
        .map(|line| {
            let (version, java) = versioned(line)?;
            Ok(Machine { version: version.to_owned(), java: java.into() })
        })
        .collect()
}

impl Machine {
    /// The feature release: 17 of 17.0.9.2.
    pub fn release(&self) -> u32 {
        self.version.split('.').next().and_then(|first| first.parse().ok()).unwrap_or_default()
    }

    /// Runs one of its tools (`jcmd`, `jinfo`).
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let tool = self.java.with_file_name(name);
        let output = Command::new(&tool).args(arguments).output()?;
        if !output.status.success() {
            bail!("{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        }
        Ok(())
    }

    /// What runs the target with `blocks` of 100,000 bytes.
    pub fn command(&self, flags: &[&str], blocks: u32) -> Result<Command> {
        let mut command = Command::new(&self.java);
        command.args(flags).arg("-cp").arg(compiled()?).args(["Heap", &blocks.to_string()]);
        Ok(command)
    }
}

/// The directory of the target's class, which every machine runs.
fn compiled() -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/Heap.java");
    let thread = std::thread::current().id();
    // Several tests may build it at once, and each class is the same.
    let own = target::directory()?.join(format!("java-{}-{thread:?}", std::process::id()));
    let output = Command::new("javac")
        .args(["--release", "11", "-d"])
        .args([&own, &source])
        .output()
        .context("failed to start javac: run tests/install")?;
    if !output.status.success() {
        bail!("{} does not compile: {}", source.display(), String::from_utf8_lossy(&output.stderr));
    }
    let shared = target::directory()?.join("Heap.class");
    std::fs::rename(own.join("Heap.class"), &shared)?;
    std::fs::remove_dir_all(&own)?;
    target::directory()
}

/// The virtual machine of a process, whose heap statistics were read.
pub fn hotspot(sample: &ProcessSample) -> Result<&Runtime> {
    let found = sample.runtimes.iter().flatten().find(|runtime| runtime.name == "hotspot");
    found.with_context(|| format!("no hotspot: {:?}", sample.runtimes))
}

/// The virtual machine of a release.
pub fn machine(release: u32) -> Result<Machine> {
    machines()?.into_iter().find(|m| m.release() == release).context("not fetched")
}

/// Why no heap statistics are read.
pub fn refusal(pid: u32) -> Result<String> {
    let sample = Reader::open(Roots::default())?.process(pid, Depth::Full)?;
    let mut refused = sample.runtimes.iter().filter_map(|runtime| runtime.as_ref().err());
    match (refused.next(), refused.next()) {
        (Some(lack), None) => Ok(lack.to_string()),
        _ => bail!("{:?}", sample.runtimes),
    }
}

/// Runs the target in pid and mount namespaces of its own: what it publishes, and
/// what a test puts in its place, no other virtual machine meets. The number is the
/// virtual machine's pid here.
pub fn apart(machine: &Machine, flags: &[&str], blocks: u32) -> Result<(Target, u32)> {
    let inner = machine.command(flags, blocks)?;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc"]);
    let own = "mkdir -p $0 && mount -t tmpfs -o mode=755 none $0 && exec \"$@\"";
    command.args(["--kill-child", "sh", "-c", own, "/tmp/hsperfdata_root"]);
    command.arg(inner.get_program()).args(inner.get_args());
    let target = Target::spawn(&mut command)?;
    let family = Frozen::family(target.pid())?;
    let [_, java] = &family[..] else { bail!("not one child: {family:?}") };
    let pid = java.pid();
    Ok((target, pid))
}
