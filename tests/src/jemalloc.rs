//! jemallocs of several versions, and the targets on each.

use std::process::Command;

use anyhow::{Context, Result};

use crate::fetch::fetch;
use crate::target::{Target, compiled};

/// A jemalloc that `tests/jemalloc/fetch` fetched or built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jemalloc {
    /// What it is: `library`, or the feature that a Rust program was built with.
    pub kind: String,
    /// `5.3.0`.
    pub version: String,
    /// What stands before the program on a command line, or is the program.
    words: Vec<String>,
}

/// Every jemalloc, fetched where it is not there yet.
pub fn jemallocs() -> Result<Vec<Jemalloc>> {
    let lines = fetch("jemalloc")?;
    lines.iter().map(|line| Jemalloc::of(line)).collect()
}

impl Jemalloc {
    fn of(line: &str) -> Result<Self> {
        let mut words = line.split(' ').map(str::to_owned);
        let (kind, version) = words.next().zip(words.next()).context("a line has no version")?;
        Ok(Self { kind, version, words: words.collect() })
    }

    /// Whether the target on it is `tests/targets/mallctl.c`; else `jemalloc.rs`.
    pub fn is_library(&self) -> bool {
        self.kind == "library"
    }

    /// Whether it keeps statistics.
    pub fn counts(&self) -> bool {
        matches!(&*self.kind, "library" | "stats")
    }

    /// The library's file, where it is one that stands beside a C library of the machine's own.
    pub fn library(&self) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix("LD_PRELOAD="))
    }

    /// Starts its target with options of jemalloc.
    pub fn start(&self, options: &str) -> Result<Target> {
        let (program, arguments) = self.words.split_first().context("a line has no program")?;
        let mut command = Command::new(program);
        command.args(arguments);
        if self.is_library() {
            command.arg(compiled("mallctl")?);
        }
        Target::spawn(command.env("MALLOC_CONF", options).env("_RJEM_MALLOC_CONF", options))
    }
}
