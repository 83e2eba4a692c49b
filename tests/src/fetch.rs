//! What the scripts `tests/*/fetch` fetch for the tests.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs the script of that folder, and gives the lines that it prints: one for each
/// thing that is there now.
pub fn fetch(folder: &str) -> Result<Vec<String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("fetch");
    let output = Command::new(&script)
        .output()
        .with_context(|| format!("failed to run tests/{folder}/fetch"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "tests/{folder}/fetch failed: {words}");
    let lines: Vec<String> = String::from_utf8(output.stdout)?.lines().map(Into::into).collect();
    ensure!(!lines.is_empty(), "tests/{folder}/fetch names none");
    Ok(lines)
}

/// A line that is a version and a path.
pub fn versioned(line: &str) -> Result<(&str, &str)> {
    line.split_once(' ').context("a line is a version and a path")
}
