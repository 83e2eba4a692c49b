//! A procfs that holds the processes of one test. Each reader finds the variables of a
//! program for itself, so a collection over the machine would leave its traces in
//! the processes of other tests.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::target::{self, Target};

/// A directory of links into the machine's procfs, which goes with the value.
#[derive(Debug)]
pub struct Procfs(PathBuf);

impl Procfs {
    /// A procfs of these targets and nothing else.
    pub fn of<'t>(targets: impl IntoIterator<Item = &'t Target>) -> Result<Self> {
        Self::with(targets.into_iter().map(Target::pid))
    }

    /// A procfs of these processes and nothing else.
    pub fn with(pids: impl IntoIterator<Item = u32>) -> Result<Self> {
        let thread = std::thread::current().id();
        let name = format!("procfs-{}-{thread:?}", std::process::id());
        let made = Self(target::directory()?.join(name));
        std::fs::create_dir(&made.0)?;
        let pids = pids.into_iter().map(|pid| pid.to_string());
        for name in pids.chain(["meminfo", "self"].map(str::to_owned)) {
            symlink(Path::new("/proc").join(&name), made.0.join(&name))?;
        }
        Ok(made)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Procfs {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
