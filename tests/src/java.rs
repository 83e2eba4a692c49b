//! Java virtual machines, and `tests/targets/Heap.java` run by each.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::fetch::{fetch, versioned};
use crate::target;

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
