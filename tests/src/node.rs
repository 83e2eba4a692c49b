//! Nodes, and `tests/targets/heap.js` run by each.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::target::Target;

/// A node that `tests/node/fetch` fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `22.20.0`.
    pub version: String,
    program: PathBuf,
}

/// Every node, fetched where it is not there yet.
pub fn nodes() -> Result<Vec<Node>> {
    let fetch = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/fetch");
    let output = Command::new(&fetch).output().context("failed to run tests/node/fetch")?;
    if !output.status.success() {
        bail!("tests/node/fetch failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let lines = String::from_utf8(output.stdout)?;
    ensure!(!lines.is_empty(), "tests/node/fetch names none");
    lines
        .lines()
        .map(|line| {
            let (version, path) = line.split_once(' ').context("a line is a version and a path")?;
            Ok(Node { version: version.to_owned(), program: path.into() })
        })
        .collect()
}

impl Node {
    /// Runs the target and waits for its first word.
    pub fn run(&self) -> Result<Target> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/heap.js");
        Target::spawn(Command::new(&self.program).arg("--expose-gc").arg(target))
    }
}
