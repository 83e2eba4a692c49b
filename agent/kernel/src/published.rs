//! Files that a program publishes and maps: a container chooses what they are.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memgap_ledger::{Fact, Missing, MissingKind};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

use crate::file::{Buf, Dir, missing};
use crate::source::maps;
use crate::source::mountinfo;
use crate::text;

/// Characters of a path that are shown.
const SHOWN: usize = 256;

/// Reads the file that a process, whose directory is given, maps shared by a name of
/// that kind: of at most `limit` bytes. It is opened in the process's root, and only
/// where it still is the regular file that is mapped.
pub fn read(dir: &Dir, is_it: &dyn Fn(&[u8]) -> bool, limit: usize) -> Fact<Vec<u8>> {
    let (name, inode) =
        mapped(dir, is_it)?.ok_or_else(|| Missing::absent("it publishes no file"))?;
    let shown = text::printable(&name, SHOWN);
    let refused = |why: &str| Missing::new(MissingKind::Refused, format!("{shown} {why}"));
    if leads_through_a_program(dir, &name) {
        return Err(refused("is on a file system that may never answer"));
    }
    let place = place(dir, &name).map_err(|errno| missing(Path::new(&shown), &errno.into()))?;
    let stat =
        rustix::fs::fstat(&place).map_err(|errno| missing(Path::new(&shown), &errno.into()))?;
    // Layered file systems tell other devices here than in `maps`.
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_regular || stat.st_ino != inode {
        return Err(refused("is not the file that the process maps"));
    }
    let Some(size) = usize::try_from(stat.st_size).ok().filter(|size| *size <= limit) else {
        return Err(refused(&format!("has {} bytes, more than {limit}", stat.st_size)));
    };
    // The handle so far is a place only; its file is opened through it.
    let through = format!("/proc/self/fd/{}", place.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, &through, flags, Mode::empty()).map(File::from);
    let mut bytes = vec![0; size];
    file.map_err(Into::into)
        .and_then(|file| file.read_exact_at(&mut bytes, 0))
        .map_err(|error| missing(Path::new(&shown), &error))?;
    Ok(bytes)
}

/// Path and inode of the first shared mapping by a name of that kind.
fn mapped(dir: &Dir, is_it: &dyn Fn(&[u8]) -> bool) -> Fact<Option<(Vec<u8>, u64)>> {
    let mut found = None;
    maps::read_in(dir, maps::SHARE, &mut Buf::default(), |m| {
        if m.inode != 0 && m.access[3] == b's' && is_it(m.name) {
            found = Some((m.name.to_vec(), m.inode));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Where a path leads to in the process's root, without its last link and without
/// the kernel's own.
fn place(dir: &Dir, path: &[u8]) -> rustix::io::Result<File> {
    let root = dir.place("root")?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // `maps` names the file without links: one by now leads where nobody looked.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let path = path.strip_prefix(b"/").unwrap_or(path);
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve).map(File::from)
}

/// Whether a mount on the way is a program's or another machine's, who may never
/// answer: /tmp may be a mount of its own, so mounts are entered.
fn leads_through_a_program(dir: &Dir, path: &[u8]) -> bool {
    let is_on_the_way = |point: &[u8]| {
        let rest = path.strip_prefix(point.strip_suffix(b"/").unwrap_or(point));
        rest.is_some_and(|rest| rest.starts_with(b"/"))
    };
    let may_hang = |fs: &[u8]| {
        [&b"fuse"[..], b"nfs", b"cifs", b"9p", b"autofs"].iter().any(|slow| fs.starts_with(slow))
    };
    let mut leads = false;
    let read = mountinfo::each(dir, mountinfo::SHARE, &mut Buf::default(), |mount| {
        leads = is_on_the_way(&mount.point) && may_hang(&mount.fs_type);
        if leads { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    // A table that can not be read to its end may hold one.
    leads || read.is_err()
}
