//! Nodes, and the targets `tests/targets/*.js` run by each.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::fetch::{fetch, versioned};
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
    let lines = fetch("node")?;
    lines
        .iter()
        .map(|line| {
            let (version, path) = versioned(line)?;
            Ok(Node { version: version.to_owned(), program: path.into() })
        })
        .collect()
}

impl Node {
    /// Runs `tests/targets/heap.js` and waits for its first word.
    pub fn run(&self) -> Result<Target> {
        self.run_target("heap")
    }

    /// Runs `tests/targets/NAME.js` and waits for its first word.
    pub fn run_target(&self, name: &str) -> Result<Target> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("targets/{name}.js"));
        Target::spawn(Command::new(&self.program).arg("--expose-gc").arg(target))
    }
}
