//! Files that a program publishes and maps: a container chooses what they are.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use memgap_ledger::{Fact, Missing, MissingKind};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

use crate::file::{Buf, Dir, missing};
use crate::source::maps::{self, Mapping};
use crate::source::mountinfo;
use crate::text;

/// Characters of a path that are shown.
const SHOWN: usize = 256;

/// Reads the file that a process, whose directory is given, maps shared by a name of
/// that kind: of at most `limit` bytes. It is opened in the process's root, and only
/// where it still is the regular file that is mapped.
pub fn read(dir: &Dir, is_it: &dyn Fn(&[u8]) -> bool, limit: usize) -> Fact<Vec<u8>> {
    let mut buf = Buf::default();
    let text = dir.read(maps::NAME, maps::LIMIT, &mut buf)?;
    let mappings = maps::parse(text).unwrap_or_default();
    let is_shared = |m: &&Mapping<'_>| m.inode != 0 && m.access[3] == b's' && is_it(m.name);
    let mapping = mappings.iter().find(is_shared);
    let mapping = *mapping.ok_or_else(|| Missing::absent("it publishes no file"))?;
    let shown = text::printable(mapping.name, SHOWN);
    let refused = |why: &str| Missing::new(MissingKind::Refused, format!("{shown} {why}"));
    if leads_through_a_program(dir, mapping.name) {
        return Err(refused("is on a file system that may never answer"));
    }
    let place =
        place(dir, mapping.name).map_err(|errno| missing(Path::new(&shown), &errno.into()))?;
    let stat =
        rustix::fs::fstat(&place).map_err(|errno| missing(Path::new(&shown), &errno.into()))?;
    // Layered file systems tell other devices here than in `maps`.
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_regular || stat.st_ino != mapping.inode {
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
    let mut buf = Buf::default();
    let Ok(text) = dir.read(mountinfo::NAME, mountinfo::LIMIT, &mut buf) else { return true };
    let is_on_the_way = |point: &[u8]| {
        let rest = path.strip_prefix(point.strip_suffix(b"/").unwrap_or(point));
        rest.is_some_and(|rest| rest.starts_with(b"/"))
    };
    let may_hang = |fs: &[u8]| {
        [&b"fuse"[..], b"nfs", b"cifs", b"9p", b"autofs"].iter().any(|slow| fs.starts_with(slow))
    };
    mountinfo::parse(text)
        .iter()
        .any(|mount| is_on_the_way(&mount.point) && may_hang(&mount.fs_type))
}
