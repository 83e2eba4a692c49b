//! What the tmpfs mounts of a process hold.

use std::ops::ControlFlow;

use memgap_ledger::Fact;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::file::{Buf, Dir};
use crate::source::maps::Device;
use crate::source::mountinfo;
use crate::text;

/// Mounts of a process that are looked at.
const MAX_MOUNTS: usize = 256;

/// Characters of a path that are kept.
const SHOWN: usize = 256;

/// A tmpfs, by one of its mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where the process sees it, made printable.
    pub point: String,
    /// Its device.
    pub device: Device,
    /// Bytes of its files; `None` where the mount has no limit and counts none, and before
    /// Linux 5.12.
    pub bytes: Option<u64>,
}

/// The tmpfs mounts of a process, whose directory is given.
pub fn mounts(dir: &Dir, buf: &mut Buf) -> Fact<Vec<Tmpfs>> {
    let mut found = Vec::new();
    mountinfo::each(dir, mountinfo::LIMIT, buf, |mount| {
        if *mount.fs_type == *b"tmpfs" {
            found.push(Tmpfs {
                point: text::printable(&mount.point, SHOWN),
                device: mount.device,
                bytes: used(dir, mount),
            });
        }
        if found.len() < MAX_MOUNTS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

/// What a file system holds. The way to it is the process's choice, and another file
/// system on it may never answer: only names that the kernel knows already are followed.
fn used(dir: &Dir, mount: &mountinfo::Mount<'_>) -> Option<u64> {
    let root = dir.place("root").ok()?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::CACHED;
    let point = mount.point.strip_prefix(b"/").filter(|rest| !rest.is_empty());
    let place =
        rustix::fs::openat2(root, point.unwrap_or(b"."), flags, Mode::empty(), resolve).ok()?;
    // Another mount may cover it.
    let stat = rustix::fs::fstatfs(&place).ok()?;
    let device = rustix::fs::fstat(&place).ok()?.st_dev;
    let is_it = stat.f_type == TMPFS_MAGIC
        && (rustix::fs::major(device), rustix::fs::minor(device)) == mount.device;
    let pages = stat.f_blocks.checked_sub(stat.f_bfree)?;
    let size = u64::try_from(stat.f_bsize).ok()?;
    (is_it && stat.f_blocks > 0).then(|| pages.saturating_mul(size))
}

/// Type of tmpfs: include/uapi/linux/magic.h.
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;
