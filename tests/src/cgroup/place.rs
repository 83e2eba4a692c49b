//! Where a machine has its memory cgroups, and where tests may make some.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The interface of the hierarchy that has the memory controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `memory.limit_in_bytes` and its like.
    V1,
    /// `memory.max` and its like.
    V2,
}

pub(super) const MEMORY: &str = "memory";
const SUBTREE: &str = "cgroup.subtree_control";
const V2_MOUNT: &str = "/sys/fs/cgroup";

/// Where a cgroup is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) version: Version,
    pub(super) path: String,
}

impl Place {
    /// The cgroup that the test runs in.
    pub(super) fn own() -> Result<Self> {
        let text = std::fs::read_to_string("/proc/self/cgroup").context("procfs is not mounted")?;
        let mut v2 = None;
        for line in text.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
                bail!("/proc/self/cgroup has the line {line:?}");
            };
            if controllers.split(',').any(|name| name == MEMORY) {
                return Ok(Self { version: Version::V1, path: path.to_owned() });
            }
            if controllers.is_empty() {
                v2 = Some(Self { version: Version::V2, path: path.to_owned() });
            }
        }
        v2.context("no cgroup memory controller")
    }

    /// The nearest one upwards whose children have the memory controller. The root may be
    /// asked to hand it on: any other refuses while it has processes.
    pub(super) fn delegating(self) -> Result<Self> {
        if self.version == Version::V1 {
            return Ok(self);
        }
        for path in Path::new(&self.path).ancestors() {
            let place = Self { path: path.display().to_string(), ..self };
            let given = read(&place.directory().join(SUBTREE))?;
            if given.split_whitespace().any(|name| name == MEMORY) {
                return Ok(place);
            }
        }
        let root = Self { path: "/".to_owned(), ..self };
        std::fs::write(root.directory().join(SUBTREE), "+memory").with_context(|| {
            format!("no cgroup above {} hands the memory controller on: run as root", self.path)
        })?;
        Ok(root)
    }

    pub(super) fn below(&self, name: &str) -> Self {
        Self { path: format!("{}/{name}", self.path.trim_end_matches('/')), ..*self }
    }

    pub(super) fn directory(&self) -> PathBuf {
        let mount = match self.version {
            Version::V1 => "/sys/fs/cgroup/memory",
            Version::V2 => V2_MOUNT,
        };
        PathBuf::from(format!("{mount}{}", self.path))
    }
}

pub(super) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}
