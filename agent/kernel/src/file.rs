//! Directory handles and bounded reads into a buffer that is used again.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memgap_ledger::{Fact, Missing, MissingKind};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::kept_files::KeptFiles;
use crate::text;
use crate::turns::{Part, Turns};

/// A directory of procfs or cgroupfs, held open.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    kept: Option<KeptFiles>,
}

impl Dir {
    /// Opens a directory by path.
    pub fn open(path: &Path) -> Fact<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self::from_fd(fd, path.to_owned())),
            Err(errno) => Err(missing(path, &errno.into())),
        }
    }

    /// A directory handle that was opened elsewhere; `path` is for messages.
    pub fn from_fd(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path, kept: None }
    }

    /// Keeps those of its files open from now on that are read as one record.
    #[must_use]
    pub fn keeping_files(self) -> Self {
        Self { kept: Some(KeptFiles::default()), ..self }
    }

    /// Closes the files that it keeps open, but for those of some names.
    pub fn keep_only(&self, names: &[&str]) {
        if let Some(kept) = &self.kept {
            kept.keep_only(names);
        }
    }

    /// How many handles it takes, with the files that it keeps open.
    pub fn handles(&self) -> usize {
        1 + self.kept.as_ref().map_or(0, KeptFiles::count)
    }

    /// The path it was opened by, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file in it for reading; symbolic links are not followed.
    pub fn file(&self, name: &str) -> Fact<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match rustix::fs::openat(self.fd.as_fd(), name, flags, Mode::empty()) {
            Ok(fd) => Ok(File::from(fd)),
            Err(errno) => Err(missing(&self.path.join(name), &errno.into())),
        }
    }

    /// A handle on what one of its magic links leads to, good for nothing but to go
    /// on from there.
    pub fn place(&self, name: &str) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat(self.fd.as_fd(), name, flags, Mode::empty())
    }

    /// Where one of its links leads; `None` where there is no such link (any more).
    pub fn link(&self, name: &str) -> Option<Vec<u8>> {
        let target = rustix::fs::readlinkat(self.fd.as_fd(), name, Vec::new()).ok()?;
        Some(target.into_bytes())
    }

    /// Opens a directory in it; symbolic links are not followed.
    pub fn dir(&self, name: &OsStr) -> Fact<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path.join(name);
        match rustix::fs::openat(self.fd.as_fd(), name, flags, Mode::empty()) {
            Ok(fd) => Ok(Self::from_fd(fd, path)),
            Err(errno) => Err(missing(&path, &errno.into())),
        }
    }

    /// Names of the directories in it: at most `limit`, and whether there are more.
    pub fn directories(&self, limit: usize) -> Fact<(Vec<OsString>, bool)> {
        let mut names = Vec::new();
        if self.is_known_leaf() {
            return Ok((names, false));
        }
        let failed = |errno: Errno| missing(&self.path, &errno.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.fd.as_fd(), ".", flags, Mode::empty()).map_err(failed)?;
        for entry in rustix::fs::Dir::new(fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            // A file system that does not tell types is asked by opening.
            let may_be = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            if !may_be || name == "." || name == ".." {
                continue;
            }
            if names.len() == limit {
                return Ok((names, true));
            }
            names.push(name.to_owned());
        }
        Ok((names, false))
    }

    /// Whether it surely has no directory in it. cgroupfs counts them among the
    /// links of a directory, beside its own two (fs/kernfs/inode.c); that spares
    /// listing some 40 files. Other file systems do as they please.
    fn is_known_leaf(&self) -> bool {
        self.is_cgroupfs() && rustix::fs::fstat(&self.fd).is_ok_and(|stat| stat.st_nlink == 2)
    }

    /// The names in it that are decimal numbers, in no order.
    pub fn numbers(&self) -> Fact<Vec<u32>> {
        let failed = |errno: Errno| missing(&self.path, &errno.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.fd.as_fd(), ".", flags, Mode::empty()).map_err(failed)?;
        let mut room = vec![MaybeUninit::uninit(); LISTING];
        let mut entries = RawDir::new(fd, &mut room);
        let mut numbers = Vec::new();
        while let Some(entry) = entries.next() {
            let name = text::decimal(entry.map_err(failed)?.file_name().to_bytes());
            numbers.extend(name.and_then(|number| u32::try_from(number).ok()));
        }
        Ok(numbers)
    }

    /// Whether the kernel answers here, and not a copy that was made of it.
    pub fn is_cgroupfs(&self) -> bool {
        rustix::fs::fstatfs(&self.fd)
            .is_ok_and(|fs| matches!(fs.f_type, CGROUP_SUPER_MAGIC | CGROUP2_SUPER_MAGIC))
    }

    /// Whether it is procfs, and not a copy that was made of it.
    pub fn is_procfs(&self) -> bool {
        rustix::fs::fstatfs(&self.fd).is_ok_and(|fs| fs.f_type == PROC_SUPER_MAGIC)
    }

    /// Whether a directory of that name in it holds exactly one, on file systems that count
    /// directories among its links beside its own two, as procfs does with threads
    /// (fs/proc/base.c).
    pub fn holds_one(&self, name: &str) -> bool {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::statat(self.fd.as_fd(), name, flags).is_ok_and(|stat| stat.st_nlink == 3)
    }

    /// Whether something of that name stands in it.
    pub fn holds(&self, name: &str) -> bool {
        rustix::fs::statat(self.fd.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Reads a whole file of it, at most `limit` bytes.
    pub fn read<'b>(&self, name: &str, limit: usize, buf: &'b mut Buf) -> Fact<&'b [u8]> {
        let file = self.file(name)?;
        buf.fill(&file, limit).map_err(|e| missing(&self.path.join(name), &e))
    }

    /// Hands the lines of a file on a process's memory, whose directory this is, to
    /// `each` until it wants no more.
    pub fn lines(
        &self,
        name: &str,
        limit: usize,
        buf: &mut Buf,
        each: impl FnMut(&[u8]) -> Taken,
    ) -> Fact<()> {
        let bounds = (Part::Some, limit);
        lines_of_memory(&self.file(name)?, &self.path.join(name), bounds, buf, each)
    }

    /// As [`Self::read`], with one read call: for files that the kernel prints
    /// as one record (a single `seq_file` show), as cgroupfs does with figures.
    pub fn read_record<'b>(&self, name: &str, limit: usize, buf: &'b mut Buf) -> Fact<&'b [u8]> {
        let read = match &self.kept {
            None => buf.fill_once(&self.file(name)?, limit),
            Some(kept) => kept.read(name, || self.file(name), |file| buf.fill_once(file, limit))?,
        };
        let len = read.map_err(|e| missing(&self.path.join(name), &e))?;
        Ok(&buf.0[..len])
    }
}

/// Types of the kernel's file systems: include/uapi/linux/magic.h.
const CGROUP_SUPER_MAGIC: rustix::fs::FsWord = 0x0027_e0eb;
const PROC_SUPER_MAGIC: rustix::fs::FsWord = 0x9fa0;
const CGROUP2_SUPER_MAGIC: rustix::fs::FsWord = 0x6367_7270;

/// What comes of a line: whether the next one is wanted, or what is wrong with it.
pub type Taken = Result<ControlFlow<()>, &'static str>;

/// A buffer for file contents that keeps its memory between reads.
#[derive(Debug, Default)]
pub struct Buf(Vec<u8>);

/// Room for the entries that one call lists: about 1,000 processes.
const LISTING: usize = 32 << 10;
/// What one read call asks for at least: most procfs files fit.
const CHUNK: usize = 4096;
/// A line of `smaps` holds one path, of at most a page before its escapes.
const LINE: usize = 64 << 10;

impl Buf {
    /// Reads `file` from its beginning to its end. A file over `limit` bytes is
    /// an error, so that no answer is ever made of half a file.
    pub fn fill(&mut self, file: &File, limit: usize) -> io::Result<&[u8]> {
        let mut len = 0;
        loop {
            self.reserve(len);
            match file.read_at(&mut self.0[len..], len as u64) {
                Ok(0) => return Ok(&self.0[..len]),
                Ok(n) => len += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            if len > limit {
                return Err(too_long(limit));
            }
        }
    }

    /// Reads `file` with one call, whose answer must be shorter than what was asked for:
    /// then it was the whole record. Tells how long it is.
    fn fill_once(&mut self, file: &File, limit: usize) -> io::Result<usize> {
        if self.0.len() <= limit {
            self.0.resize(limit + 1, 0);
        }
        let len = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut self.0[..=limit], 0))?;
        if len > limit { Err(too_long(limit)) } else { Ok(len) }
    }

    /// Hands the lines of `file` to `each` one by one until it wants no more, so that
    /// a long file needs room for a line only. A text that does not end with a line is
    /// refused. Tells whether `each` ended it.
    pub fn lines(
        &mut self,
        file: &File,
        part: Part,
        limit: usize,
        mut each: impl FnMut(&[u8]) -> Taken,
    ) -> io::Result<ControlFlow<()>> {
        let mut turns = Turns::default();
        let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
        let (mut kept, mut at) = (0, 0);
        loop {
            self.reserve(kept);
            let into = &mut self.0[kept..kept + part.bytes()];
            let n = match turns.take(|| file.read_at(into, at as u64)) {
                Ok(0) if kept == 0 => return Ok(ControlFlow::Continue(())),
                Ok(0) => return Err(invalid("the last line is cut short")),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            at += n;
            if at > limit {
                return Err(too_long(limit));
            }
            let filled = kept + n;
            let whole = self.0[..filled].iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1);
            let mut rest = &self.0[..whole];
            while !rest.is_empty() {
                let line = rest;
                // By memchr, unlike `split`, which looks at each byte by itself.
                let len = rest.skip_until(b'\n')?;
                if each(&line[..len - 1]).map_err(invalid)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            self.0.copy_within(whole..filled, 0);
            kept = filled - whole;
            if kept > LINE {
                return Err(invalid("a line is longer than 64 KiB"));
            }
        }
    }

    /// Makes room for a read behind the first `len` bytes.
    fn reserve(&mut self, len: usize) {
        if self.0.len() < len + CHUNK {
            let grown = (self.0.len() * 2).max(len + CHUNK);
            self.0.resize(grown, 0);
        }
    }

    /// Gives memory beyond `bytes` back, after an unusually large file.
    pub fn shrink(&mut self, bytes: usize) {
        self.0.truncate(bytes);
        self.0.shrink_to(bytes);
    }
}

/// Hands the lines of a file on a process's memory to `each` until it wants no more. The
/// kernel ends such a file early, without an error, where that memory goes away (exit,
/// execve); then the process is gone.
pub fn lines_of_memory(
    file: &File,
    path: &Path,
    (part, limit): (Part, usize),
    buf: &mut Buf,
    each: impl FnMut(&[u8]) -> Taken,
) -> Fact<()> {
    let failed = |error: io::Error| match error.kind() {
        // As long as its process makes it.
        io::ErrorKind::FileTooLarge => {
            let why = format!("{} is {error}, which are read at most", path.display());
            Missing::new(MissingKind::Refused, why)
        }
        _ => missing(path, &error),
    };
    if buf.lines(file, part, limit, each).map_err(failed)?.is_break() {
        return Ok(());
    }
    match file.read_at(&mut [0], 0) {
        Ok(0) => Err(missing(path, &Errno::SRCH.into())),
        Ok(_) => Ok(()),
        Err(e) => Err(missing(path, &e)),
    }
}

fn too_long(limit: usize) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes"))
}

/// Why a file could not be read.
pub fn missing(path: &Path, error: &io::Error) -> Missing {
    if error.kind() == io::ErrorKind::InvalidData {
        return malformed(path, &error.to_string());
    }
    let shown = path.display();
    let errno = Errno::from_io_error(error);
    let (kind, why) = match errno {
        Some(Errno::NOENT | Errno::NOTDIR) => {
            (MissingKind::Absent, format!("{shown} does not exist"))
        }
        Some(Errno::SRCH | Errno::NODEV) => {
            (MissingKind::Gone, format!("{shown} ended while it was read"))
        }
        Some(Errno::ACCESS | Errno::PERM) => (
            MissingKind::Denied,
            format!("{shown} may not be read: run as root, or with CAP_SYS_PTRACE"),
        ),
        Some(Errno::LOOP) => {
            (MissingKind::Denied, format!("{shown} is a symbolic link and is not followed"))
        }
        _ => (MissingKind::Malformed, format!("failed to read {shown}: {error}")),
    };
    Missing::new(kind, why)
}

/// A file whose text is not in its documented form.
pub fn malformed(path: &Path, what: &str) -> Missing {
    Missing::new(MissingKind::Malformed, format!("{} is malformed: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_over_the_limit_is_refused_whole() {
        let file = File::open("/proc/self/status").expect("procfs is mounted");
        let mut buf = Buf::default();
        assert!(buf.fill(&file, 16).is_err());
        assert!(buf.fill(&file, 1 << 16).expect("readable").starts_with(b"Name:"));
    }

    #[test]
    fn a_missing_file_is_absent_and_named() {
        let dir = Dir::open(Path::new("/proc/self")).expect("procfs is mounted");
        let lack = dir.read("no-such-file", 1, &mut Buf::default()).expect_err("absent");
        assert_eq!(lack.kind, MissingKind::Absent);
        assert!(lack.why.contains("/proc/self/no-such-file"), "{lack}");
    }
}
