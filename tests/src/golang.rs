//! Go toolchains, and `tests/targets/go` built by each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::fetch::{fetch, versioned};
use crate::target;

/// A toolchain that `tests/golang/fetch` fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// `1.27.3`.
    pub version: String,
    go: PathBuf,
}

/// A way to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Build {
    /// As it comes.
    Plain,
    /// Without symbols and DWARF.
    Stripped,
    /// To be loaded anywhere.
    Pie,
    /// With the C library.
    Cgo,
    /// With the C library, without symbols, to be loaded anywhere.
    StrippedCgoPie,
    /// As a library for other programs.
    Shared,
}

impl Build {
    /// Every way to build a program.
    pub const ALL: [Self; 5] =
        [Self::Plain, Self::Stripped, Self::Pie, Self::Cgo, Self::StrippedCgoPie];

    /// Whether it has the C library.
    pub fn has_c(self) -> bool {
        matches!(self, Self::Cgo | Self::StrippedCgoPie | Self::Shared)
    }
}

/// Every toolchain, fetched where it is not there yet, the oldest first.
pub fn toolchains() -> Result<Vec<Toolchain>> {
    let lines = fetch("golang")?;
    let toolchain = |line: &str| {
        let (version, go) = versioned(line)?;
        Ok(Toolchain { version: version.to_owned(), go: go.into() })
    };
    let mut all = lines.iter().map(|line| toolchain(line)).collect::<Result<Vec<_>>>()?;
    all.sort_by_key(Toolchain::minor);
    Ok(all)
}

impl Toolchain {
    /// The minor version: 27 of 1.27.3.
    pub fn minor(&self) -> u32 {
        self.version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or_default()
    }

    /// The ways that are tested: all for some versions, one for those between them.
    pub fn builds(&self) -> &'static [Build] {
        match self.minor() {
            19 | 21 | 24 | 27.. => &Build::ALL,
            _ => &[Build::Stripped],
        }
    }

    /// The target, built once by each test program: Go changes the times of one that
    /// is up to date, and a probe that watches it would look at the file anew.
    pub fn build(&self, build: Build) -> Result<PathBuf> {
        static DONE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
        let program = target::directory()?.join(format!("go-{}-{build:?}", self.version));
        let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
        if !done.contains(&program) {
            self.build_as(build, &program)?;
            done.insert(program.clone());
        }
        Ok(program)
    }

    fn build_as(&self, build: Build, program: &Path) -> Result<()> {
        let mut command = Command::new(&self.go);
        command.args(["build", "-o"]).arg(program);
        if matches!(build, Build::Stripped | Build::StrippedCgoPie) {
            command.args(["-ldflags", "-s -w"]);
        }
        if matches!(build, Build::Pie | Build::StrippedCgoPie) {
            command.args(["-buildmode", "pie"]);
        }
        if build == Build::Shared {
            command.args(["-buildmode", "c-shared"]);
        }
        let output = command
            .arg(".")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/go"))
            .env("CGO_ENABLED", if build.has_c() { "1" } else { "0" })
            .env("GOCACHE", target::directory()?.join("go-cache"))
            .envs([("GOENV", "off"), ("GOFLAGS", ""), ("GOTOOLCHAIN", "local"), ("GOPROXY", "off")])
            .env_remove("GOROOT")
            .output()
            .with_context(|| format!("failed to start {}", self.go.display()))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            bail!("Go {} does not build the target as {build:?}: {words}", self.version);
        }
        Ok(())
    }
}

/// Toolchains whose heap statistics are read without symbols.
pub fn without_symbols() -> Result<Vec<Toolchain>> {
    Ok(toolchains()?.into_iter().filter(|t| t.minor() >= 19).collect())
}
