//! PHPs, and `tests/targets/heap.php` run by each.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::fetch::fetch;
use crate::target::Target;

/// A PHP that `tests/php/fetch` found or fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Php {
    /// `8.2`.
    pub version: String,
    command: Vec<String>,
}

/// Every PHP, fetched where it is not there yet; the machine's own comes first.
pub fn phps() -> Result<Vec<Php>> {
    let lines = fetch("php")?;
    lines
        .iter()
        .map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let version = words.next().context("a line is a version and a command")?;
            Ok(Php { version, command: words.collect() })
        })
        .collect()
}

impl Php {
    /// Runs the target, without any configuration, and waits for its first word.
    pub fn run(&self, environment: &[(&str, &str)]) -> Result<Target> {
        Target::spawn(self.command("heap.php", &[])?.envs(environment.iter().copied()))
    }

    /// The command that runs one of `tests/targets`, with arguments before it.
    pub fn command(&self, target: &str, before: &[&str]) -> Result<Command> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets").join(target);
        let (program, arguments) = self.command.split_first().context("no command")?;
        let mut command = Command::new(program);
        command.args(arguments).arg("-n").args(before).arg(target);
        Ok(command)
    }
}
