//! Pythons, and `tests/targets/heap.py` run by each.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::fetch::fetch;
use crate::target::Target;

/// A Python that `tests/python/fetch` found or fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// `3.11`.
    pub version: String,
    command: Vec<String>,
}

/// Every Python, fetched where it is not there yet; the machine's own comes first.
pub fn pythons() -> Result<Vec<Python>> {
    let lines = fetch("python")?;
    lines
        .iter()
        .map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let version = words.next().context("a line is a version and a command")?;
            Ok(Python { version, command: words.collect() })
        })
        .collect()
}

/// The machine's own.
pub fn own() -> Result<Python> {
    pythons()?.into_iter().next().context("no Python")
}

impl Python {
    /// Runs the target and waits for its first word.
    pub fn run(&self, environment: &[(&str, &str)]) -> Result<Target> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/heap.py");
        let (program, arguments) = self.command.split_first().context("no command")?;
        let mut command = Command::new(program);
        // Without the machine's packages.
        command.args(arguments).args(["-s", "-S"]).arg(target).envs(environment.iter().copied());
        Target::spawn(&mut command)
    }
}
