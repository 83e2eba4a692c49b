//! The real program's answer, read as its documented JSON.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

const ROOT: u32 = 0;
const NOBODY: u32 = 65534;

/// What `memgap explain TARGET --json` said.
pub struct Report(Value);

/// A figure of a report, in bytes. An exact one has three equal values.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// At least.
    pub low: i64,
    /// The value that sums use.
    pub point: i64,
    /// At most.
    pub high: i64,
}

impl Report {
    /// Runs the program as root, outside of any cgroup that is measured.
    pub fn of(target: &str) -> Result<Self> {
        Self::run(target, ROOT, 0)
    }

    /// Runs it as a user who may look into no process: it answers in part.
    pub fn without_rights(target: &str) -> Result<Self> {
        Self::run(target, NOBODY, 3)
    }

    fn run(target: &str, user: u32, expected: i32) -> Result<Self> {
        let output = Command::new("/bin/memgap")
            .args(["explain", target, "--json"])
            .uid(user)
            .gid(user)
            .output()
            .context("failed to start /bin/memgap")?;
        ensure!(
            output.status.code() == Some(expected),
            "memgap explain {target} as user {user}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let report = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("memgap explain {target} --json is not JSON"))?;
        Ok(Self(report))
    }

    /// A headline figure with its bounds.
    pub fn headline(&self, name: &str) -> Result<Figure> {
        let headline = &self.0["headline"];
        let point = headline[name].as_i64().ok_or_else(|| {
            anyhow!("the headline has no {name}: {headline}, {}", self.0["absent"])
        })?;
        Ok(figure(&headline["bounds"][name], point))
    }

    /// An account's figure.
    pub fn figure(&self, account: &str) -> Result<Figure> {
        let entry = self
            .accounts()
            .find(|entry| entry["name"] == account)
            .ok_or_else(|| anyhow!("there is no account {account}"))?;
        let point =
            entry["bytes"].as_i64().ok_or_else(|| anyhow!("{account} is absent: {entry}"))?;
        Ok(figure(entry, point))
    }

    /// The sum of all accounts but those named.
    pub fn sum_without(&self, names: &[&str]) -> i64 {
        self.accounts()
            .filter(|account| !account["name"].as_str().is_some_and(|n| names.contains(&n)))
            .filter_map(|account| account["bytes"].as_i64())
            .sum()
    }

    /// The sentences beside the figures.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.0["notes"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// The finding of that id.
    pub fn finding(&self, id: &str) -> Result<&Value> {
        let findings = &self.0["findings"];
        let found = findings.as_array().into_iter().flatten().find(|one| one["id"] == id);
        found.ok_or_else(|| anyhow!("there is no finding {id}: {findings}"))
    }

    /// Why one headline figure exceeds another.
    pub fn gap(&self, from: &str, to: &str) -> Result<&str> {
        let gaps = &self.0["gaps"];
        let found = gaps.as_array().into_iter().flatten();
        let mut found = found.filter(|gap| gap["from"] == from && gap["to"] == to);
        let why = found.next().and_then(|gap| gap["why"].as_str());
        why.ok_or_else(|| anyhow!("there is no gap from {from} to {to}: {gaps}"))
    }

    fn accounts(&self) -> impl Iterator<Item = &Value> {
        self.0["accounts"].as_array().into_iter().flatten()
    }
}

fn figure(bounds: &Value, point: i64) -> Figure {
    let bound = |name: &str| bounds[name].as_i64().unwrap_or(point);
    Figure { low: bound("low"), point, high: bound("high") }
}
