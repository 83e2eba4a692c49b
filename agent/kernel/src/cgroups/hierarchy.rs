//! Where the memory controller is mounted: cgroup v1, v2, or v1 beside v2.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use memgap_ledger::sample::CgroupVersion;
use memgap_ledger::{Fact, Missing};

use crate::file::{Buf, Dir};
use crate::source::mountinfo::{self, Mount};

/// Where a machine mounts its cgroups; another root stands in its place.
const CGROUPFS: &str = "/sys/fs/cgroup";

/// What a list of controllers may take.
const LIMIT: usize = 4 << 10;

/// A mounted hierarchy that has the memory controller.
#[derive(Debug)]
pub struct Hierarchy {
    /// Its mount point.
    pub dir: Dir,
    /// Its interface.
    pub version: CgroupVersion,
    /// The cgroup that is mounted there: `/`, unless a container sees its own only.
    pub root: String,
}

impl Hierarchy {
    /// The path below the mount point of a cgroup that `/proc/PID/cgroup` names.
    pub fn below(&self, path: &str) -> Option<String> {
        let below = match self.root.as_str() {
            "/" => path,
            root => path.strip_prefix(root)?,
        };
        let is_path = below.starts_with('/') || below.is_empty();
        let climbs = below.split('/').any(|name| name == "..");
        (is_path && !climbs).then(|| if below.is_empty() { "/" } else { below }.to_owned())
    }
}

/// Finds it by `mountinfo` below the procfs root. `cgroupfs` replaces
/// `/sys/fs/cgroup`: a container's mount of the host's, or a captured tree.
pub fn find(proc: &Dir, cgroupfs: Option<&Path>, buf: &mut Buf) -> Fact<Hierarchy> {
    // With the host's cgroupfs elsewhere, our own mounts tell less than those of
    // the first process; and the procfs of another pid namespace has no `self`.
    let tables = match cgroupfs {
        Some(_) => ["1/mountinfo", "self/mountinfo"],
        None => ["self/mountinfo", "1/mountinfo"],
    };
    for table in tables {
        let Ok(mounts) = mountinfo::read(proc, table, buf) else { continue };
        if let Some(found) = mounted(&mounts, cgroupfs) {
            return Ok(found);
        }
    }
    cgroupfs.and_then(in_tree).ok_or_else(|| {
        let looked = cgroupfs.unwrap_or(Path::new(CGROUPFS)).display();
        Missing::absent(format!(
            "no cgroup memory controller was found by {}/self/mountinfo or at {looked}: \
             mount one, or name the place with --path.cgroupfs",
            proc.path().display()
        ))
    })
}

/// The first mount that has the controller: a controller is in one hierarchy
/// only, and v1 says by its options which, so that is asked first.
fn mounted(mounts: &[Mount<'_>], cgroupfs: Option<&Path>) -> Option<Hierarchy> {
    let v1 = mounts.iter().filter(|m| {
        *m.fs_type == *b"cgroup" && m.options.split(|b| *b == b',').any(|o| o == b"memory")
    });
    let v2 = mounts.iter().filter(|m| *m.fs_type == *b"cgroup2");
    let mut candidates: Vec<_> =
        v1.map(|m| (m, CgroupVersion::V1)).chain(v2.map(|m| (m, CgroupVersion::V2))).collect();
    // The whole hierarchy before a part of it; the sort keeps the order otherwise.
    candidates.sort_by_key(|(mount, _)| *mount.root != *b"/");
    candidates.into_iter().find_map(|(mount, version)| {
        let point = Path::new(std::ffi::OsStr::from_bytes(&mount.point));
        let path = match cgroupfs {
            None => point.to_owned(),
            Some(root) => join(root, point.strip_prefix(CGROUPFS).ok()?),
        };
        let root = String::from_utf8_lossy(&mount.root).into_owned();
        open(&path, version, root)
    })
}

/// What the tree itself tells, for a capture without `mountinfo`. v2 first: one
/// of its cgroups may be called `memory`.
fn in_tree(cgroupfs: &Path) -> Option<Hierarchy> {
    [("", CgroupVersion::V2), ("memory", CgroupVersion::V1), ("unified", CgroupVersion::V2)]
        .into_iter()
        .find_map(|(name, version)| open(&join(cgroupfs, Path::new(name)), version, "/".to_owned()))
}

fn open(path: &Path, version: CgroupVersion, root: String) -> Option<Hierarchy> {
    let dir = Dir::open(path).ok()?;
    let has_memory = match version {
        CgroupVersion::V1 => dir.holds("memory.usage_in_bytes"),
        CgroupVersion::V2 => controllers(&dir).is_some_and(|has| has),
    };
    has_memory.then_some(Hierarchy { dir, version, root })
}

/// Whether `cgroup.controllers` names the memory controller.
fn controllers(dir: &Dir) -> Option<bool> {
    let mut buf = Buf::default();
    let text = dir.read("cgroup.controllers", LIMIT, &mut buf).ok()?;
    Some(text.trim_ascii().split(|b| *b == b' ').any(|name| name == b"memory"))
}

/// Joins without the empty last component that `join("")` would leave.
fn join(root: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { root.to_owned() } else { root.join(rest) }
}
