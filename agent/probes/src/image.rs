//! Files that a process maps, opened with the caution that they demand: a
//! container chooses them.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use memgap_kernel::file::{Buf, missing};
use memgap_kernel::memory::{Space, WINDOW};
use memgap_kernel::process::Process;
use memgap_kernel::source::maps::{Device, Mapping};
use memgap_kernel::source::mountinfo;
use memgap_kernel::text;
use memgap_ledger::{Fact, Missing, MissingKind};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags};

use crate::elf::Elf;
use crate::file_systems::{Asked, FileSystems};

/// A file on a machine for as long as a process maps it, as its mount namespace shows
/// it: there another file may stand in its place, and a library have another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    mounts: Option<(u64, u64)>,
    device: Device,
    inode: u64,
}

impl FileId {
    pub fn of(mounts: Option<(u64, u64)>, mapping: &Mapping<'_>) -> Self {
        Self { mounts, device: mapping.device, inode: mapping.inode }
    }
}

/// The mount namespace of a process by device and inode, where it may be read.
pub(super) fn mounts(process: &Process) -> Option<(u64, u64)> {
    let stat = rustix::fs::fstat(process.place("ns/mnt")?).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// What tells a file from a later one of the same inode: size and change time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    changed: (i64, u32),
}

impl Stamp {
    pub fn of(place: &File) -> Option<Self> {
        let stat = as_known(place)?;
        let changed = (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec);
        Some(Self { size: stat.stx_size, changed })
    }
}

/// The lowest part of a file that a process maps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'m> {
    pub mapping: Mapping<'m>,
    /// Whether it is the program itself, and no library.
    pub is_program: bool,
}

/// Characters of a path that are shown.
pub(super) const SHOWN: usize = 256;

/// A file that a process maps, open.
#[derive(Debug)]
pub struct Image<'e> {
    /// The file.
    pub file: File,
    /// Its headers.
    pub elf: &'e Elf,
    /// Where the process maps it.
    pub mapped: Mapped,
}

/// Where a process maps a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Its path in the process's root, made printable.
    pub path: String,
    /// What is added to the addresses of the file.
    pub bias: u64,
}

impl Image<'_> {
    /// The first word of the file's variables that `is_it` says yes to, by its address
    /// before the bias. It gets that address, and the word with what follows it: `wide`
    /// bytes at the least, of what is in memory.
    pub(super) fn find_variable(
        &self,
        wide: usize,
        space: &Space<'_>,
        mut is_it: impl FnMut(u64, &[u8]) -> bool,
    ) -> Fact<Option<u64>> {
        let bias = self.mapped.bias;
        let mut buf = vec![0; WINDOW];
        for segment in self.elf.segments.iter().filter(|s| s.writable) {
            let start = segment.address.wrapping_add(bias) & !7;
            let end = start.saturating_add(segment.memory_size);
            for (from, to) in space.resident(start, end)? {
                let (mut at, to) = (from.max(start), to.min(end));
                while at.saturating_add(wide as u64) <= to {
                    let len = usize::try_from(to - at).unwrap_or(WINDOW).min(WINDOW);
                    space.read(at, &mut buf[..len])?;
                    for offset in (0..=len - wide).step_by(8) {
                        let address = (at + offset as u64).wrapping_sub(bias);
                        if is_it(address, &buf[offset..len]) {
                            return Ok(Some(address));
                        }
                    }
                    // The next window sees what this one cuts.
                    at += (len - wide + 8) as u64;
                }
            }
        }
        Ok(None)
    }
}

impl Mapped {
    /// The lowest mapping of a file tells the bias of all.
    pub(super) fn of(mapping: &Mapping<'_>, elf: &Elf) -> Option<Self> {
        let bias = elf.bias(mapping.start, mapping.offset)?;
        Some(Self { path: text::printable(mapping.name, SHOWN), bias })
    }
}

/// Opens a mapped file, be it deleted or replaced since. Nothing is opened but a
/// regular file, and none whose file system is a program that may never answer. Where it
/// does not all the same, others are warned by what stands beside the file: it is to be
/// dropped once the file is read.
pub(super) fn open<'f>(
    process: &Process,
    Part { mapping, is_program }: Part<'_>,
    mounts: &Mounts,
    file_systems: &'f FileSystems,
) -> Fact<(File, Asked<'f>)> {
    let shown = || text::printable(mapping.name, SHOWN);
    if mounts.are_served_by_a_program(mapping.device)? {
        let why = format!("{} is on a FUSE file system, whose program may never answer", shown());
        return Err(Missing::new(MissingKind::Refused, why));
    }
    // These wait for the process at the most, and for no file system.
    let found = if is_program { of_exe(process) } else { None };
    let found = found.or_else(|| of_map_files(process, &mapping));
    let asked = file_systems.ask(mapping.device)?;
    let Some(place) = found.or_else(|| of_root(process, &mapping)) else {
        let why = format!(
            "{} can not be opened as the process maps it: run as root, or with CAP_SYS_PTRACE",
            shown()
        );
        return Err(Missing::new(MissingKind::Denied, why));
    };
    // The handle so far is a place only; its file is opened through it.
    let through = format!("/proc/self/fd/{}", place.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, &through, flags, Mode::empty())
        .map(|file| (File::from(file), asked))
        .map_err(|errno| missing(Path::new(&shown()), &errno.into()))
}

/// The program's own file: readable with fewer rights than the others.
pub(super) fn of_exe(process: &Process) -> Option<File> {
    process.place("exe").filter(is_regular)
}

/// The file behind a mapping itself; needs `CAP_CHECKPOINT_RESTORE`.
fn of_map_files(process: &Process, mapping: &Mapping<'_>) -> Option<File> {
    let name = format!("map_files/{:x}-{:x}", mapping.start, mapping.end);
    process.place(&name).filter(is_regular)
}

/// The file of that path in the process's root, if it still is the same one. No
/// mount below the root is entered, for it may be one that never answers. Layered
/// file systems tell other devices here than in `maps`, so the inode must do.
fn of_root(process: &Process, mapping: &Mapping<'_>) -> Option<File> {
    let root = process.place("root")?;
    let path = mapping.name.strip_prefix(b"/")?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let place = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve).ok()?;
    let place = File::from(place);
    let is_same = as_known(&place).is_some_and(|stat| stat.stx_ino == mapping.inode);
    Some(place).filter(|place| is_same && is_regular(place))
}

fn is_regular(place: &File) -> bool {
    as_known(place).is_some_and(|stat| {
        FileType::from_raw_mode(u32::from(stat.stx_mode)) == FileType::RegularFile
    })
}

/// What the kernel knows of a file, without asking the file system's server (statx(2)):
/// to wait for that nobody can end.
fn as_known(place: &File) -> Option<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    rustix::fs::statx(place, "", flags, StatxFlags::BASIC_STATS).ok()
}

/// The file systems that a process sees, as far as programs serve them.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    served: BTreeSet<Device>,
    is_root_served: bool,
    /// Why they are not known.
    unknown: Option<Missing>,
}

/// File systems of programs that are remembered.
const MAX_SERVED: usize = 4096;

impl Mounts {
    /// By a table of at most `limit` bytes.
    pub fn of(process: &Process, limit: usize, buf: &mut Buf) -> Self {
        let mut mounts = Self::default();
        let read = process.lines(mountinfo::NAME, limit, buf, |line| {
            if let Some(mount) = mountinfo::mount(line).filter(|m| m.fs_type.starts_with(b"fuse")) {
                mounts.is_root_served |= *mount.point == *b"/";
                mounts.served.insert(mount.device);
            }
            let is_much = mounts.served.len() > MAX_SERVED;
            if is_much { Err("it has too many file systems of programs") } else { Ok(()) }
        });
        // A procfs without the table tells of no mounts; one that is too long hides some.
        let hides =
            |lack: &Missing| matches!(lack.kind, MissingKind::Refused | MissingKind::Malformed);
        Self { unknown: read.err().filter(hides), ..mounts }
    }

    /// Why it is not known what serves its files.
    pub fn unknown(&self) -> Option<&Missing> {
        self.unknown.as_ref()
    }

    fn are_served_by_a_program(&self, device: Device) -> Fact<bool> {
        match &self.unknown {
            Some(lack) => Err(lack.clone()),
            None => Ok(self.is_root_served || self.served.contains(&device)),
        }
    }
}
