//! Whether what is read could be written to. Nothing does, but a mount makes that certain also
//! of who took the exporter over.

use std::path::{Path, PathBuf};

use procfs::process::{MountInfo, Process};
use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::process::geteuid;

/// Mounts that are looked at: many more than a container has.
const MAX_MOUNTS: usize = 4096;

/// What follows where a mount below a read-only one can be written to.
pub const REMEDY: &str = "as uid 0 a program that took the exporter over could write there: \
     container runtimes before containerd 2.0 make the top of a mount read-only, and none below; \
     on cgroup v1 mount the memory controller alone (deploy/README.md, overlays that end with \
     -cgroup-v1)";

/// How a place that is read is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounted {
    /// Read-only, with all that lies below it.
    ReadOnly,
    /// So that root may write.
    Writable,
    /// Read-only, but for those mounts below it.
    WritableBelow(Vec<PathBuf>),
}

/// Whether this process may write what is root's.
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// How a place is mounted for this process.
pub fn mounted(place: &Path) -> std::io::Result<Mounted> {
    if !statvfs(place)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(Mounted::Writable);
    }
    let mounts = Process::myself().and_then(|own| own.mountinfo());
    let mounts = mounts.map_err(std::io::Error::other)?;
    let below = writable_below(mounts.0.into_iter().take(MAX_MOUNTS), place);
    Ok(if below.is_empty() { Mounted::ReadOnly } else { Mounted::WritableBelow(below) })
}

fn writable_below(mounts: impl Iterator<Item = MountInfo>, place: &Path) -> Vec<PathBuf> {
    let is_below = |mount: &MountInfo| mount.mount_point.starts_with(place);
    let is_writable = |mount: &MountInfo| !mount.mount_options.contains_key("ro");
    let found = mounts.filter(|mount| is_below(mount) && is_writable(mount));
    found.map(|mount| mount.mount_point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_below_a_read_only_one_is_found() {
        let mounts = "\
            90 80 0:30 / /host/sys/fs/cgroup ro,nosuid - tmpfs tmpfs rw,mode=755\n\
            91 90 0:31 / /host/sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n\
            92 90 0:32 / /host/sys/fs/cgroup/pids ro,nosuid - cgroup cgroup rw,pids\n\
            93 80 0:33 / /host/sys/fs/cgroups rw - tmpfs tmpfs rw\n";
        let mounts = || mounts.lines().map(|line| MountInfo::from_line(line).expect("in form"));
        let below = |place: &str| writable_below(mounts(), Path::new(place));
        assert_eq!(below("/host/sys/fs/cgroup"), [Path::new("/host/sys/fs/cgroup/memory")]);
        assert_eq!(below("/host/sys/fs/cgroup/pids"), [] as [PathBuf; 0]);
        assert_eq!(below("/").len(), 2);
    }
}
