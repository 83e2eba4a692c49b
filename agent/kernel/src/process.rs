//! One process by the handle of its directory.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use memgap_ledger::{Fact, Missing, MissingKind};
use procfs::ProcError;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::file::{self, Buf, Dir, Taken, missing};
use crate::turns::Part;

/// A process, by a handle that never comes to mean another one.
#[derive(Debug)]
pub struct Process {
    handle: procfs::process::Process,
    pid: u32,
    path: PathBuf,
}

/// The directory of its threads.
const TASKS: &str = "task";

impl Process {
    /// Opens the directory of a process below a procfs root.
    pub fn open(procfs: &Path, pid: u32) -> Fact<Self> {
        let path = procfs.join(pid.to_string());
        match procfs::process::Process::new_with_root(path.clone()) {
            Ok(handle) => Ok(Self { handle, pid, path }),
            Err(ProcError::NotFound(_)) => Err(Missing::new(
                MissingKind::Gone,
                format!("{} does not exist: the process ended, or never was", path.display()),
            )),
            Err(error) => Err(missing(&path, &io_error(error))),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Opens a file of its directory for reading.
    pub fn file(&self, name: &str) -> Fact<File> {
        self.handle.open_relative(name).map_err(|error| match error {
            // The directory of a process that ended is empty.
            ProcError::NotFound(_) if self.handle.open_relative("stat").is_err() => self.gone(),
            error => missing(&self.path.join(name), &io_error(error)),
        })
    }

    /// A handle on what one of its magic links leads to, good for nothing but to
    /// tell what that is and to open it.
    pub fn place(&self, name: &str) -> Option<File> {
        self.handle.open_relative_flags(name, OFlags::PATH | OFlags::CLOEXEC).ok()
    }

    /// A second handle of its directory.
    pub fn dir(&self) -> Fact<Dir> {
        match self.handle.open_relative_flags(".", OFlags::PATH | OFlags::CLOEXEC) {
            Ok(dir) => Ok(Dir::from_fd(dir.into(), self.path.clone())),
            Err(error) => match io_error(error) {
                // The directory that is held is a process's that has ended.
                error if error.kind() == io::ErrorKind::NotFound => Err(self.gone()),
                error => Err(missing(&self.path, &error)),
            },
        }
    }

    /// The path of its program, as `maps` names it.
    pub fn program(&self) -> Option<PathBuf> {
        self.handle.exe().ok()
    }

    /// Reads a whole file of its directory, at most `limit` bytes.
    pub fn read<'b>(&self, name: &str, limit: usize, buf: &'b mut Buf) -> Fact<&'b [u8]> {
        let file = self.file(name)?;
        buf.fill(&file, limit).map_err(|e| missing(&self.path.join(name), &e))
    }

    /// Hands the lines of a file on the process's memory to `each`.
    pub fn lines(
        &self,
        name: &str,
        limit: usize,
        buf: &mut Buf,
        each: impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Fact<()> {
        self.lines_by(Part::Some, name, limit, buf, each)
    }

    /// As [`Self::lines`], with so much asked for at once.
    pub fn lines_by(
        &self,
        part: Part,
        name: &str,
        limit: usize,
        buf: &mut Buf,
        mut each: impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Fact<()> {
        let each = |line: &[u8]| each(line).map(ControlFlow::Continue);
        self.parts_until(name, (part, limit), buf, each)
    }

    /// As [`Self::lines`], until `each` wants no more.
    pub fn lines_until(
        &self,
        name: &str,
        limit: usize,
        buf: &mut Buf,
        each: impl FnMut(&[u8]) -> Taken,
    ) -> Fact<()> {
        self.parts_until(name, (Part::Some, limit), buf, each)
    }

    fn parts_until(
        &self,
        name: &str,
        bounds: (Part, usize),
        buf: &mut Buf,
        each: impl FnMut(&[u8]) -> Taken,
    ) -> Fact<()> {
        let file = self.file(name)?;
        let read = file::lines_of_memory(&file, &self.path.join(name), bounds, buf, each);
        read.map_err(|lack| if lack.kind == MissingKind::Gone { self.gone() } else { lack })
    }

    /// The ids of its threads, at most `limit`, in no order.
    pub fn threads(&self, limit: usize) -> Fact<Vec<u32>> {
        let tasks = self.path.join(TASKS);
        let listed = std::fs::read_dir(&tasks).map_err(|e| missing(&tasks, &e))?;
        let id =
            |entry: io::Result<std::fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        Ok(listed.filter_map(id).take(limit).collect())
    }

    /// One of its threads, which goes by the pid of the process.
    pub fn thread(&self, id: u32) -> Fact<Self> {
        Ok(Self { pid: self.pid, ..Self::open(&self.path.join(TASKS), id)? })
    }

    /// What is said of it where it is no more.
    pub fn gone(&self) -> Missing {
        gone(self.pid)
    }

    /// A file of its directory whose text is not in its documented form.
    pub fn malformed(&self, name: &str, what: &str) -> Missing {
        file::malformed(&self.path.join(name), what)
    }
}

/// What is said of a process that is no more.
pub fn gone(pid: u32) -> Missing {
    Missing::new(MissingKind::Gone, format!("process {pid} ended while it was read"))
}

/// The error below an error of the `procfs` crate, which keeps gone, denied and
/// absent apart by its own cases.
fn io_error(error: ProcError) -> io::Error {
    match error {
        ProcError::PermissionDenied(_) => Errno::ACCESS.into(),
        ProcError::NotFound(_) => Errno::NOENT.into(),
        ProcError::Io(error, _) => error,
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    use super::*;

    #[test]
    fn a_text_that_the_process_does_not_survive_is_no_text() {
        let mut kid = Command::new("sleep").arg("600").spawn().expect("sleep runs");
        let process = Process::open(Path::new("/proc"), kid.id()).expect("it runs");
        let pid = Pid::from_raw(kid.id().cast_signed()).expect("a pid");
        let mut lines = 0;
        let walked = process.lines("smaps", 1 << 20, &mut Buf::default(), |_| {
            lines += 1;
            if lines == 1 {
                // Left a zombie: then the kernel reports no error.
                let ended = kid.kill().is_ok()
                    && waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
                        .is_ok();
                return if ended { Ok(()) } else { Err("it can not be ended") };
            }
            Ok(())
        });
        kid.wait().expect("it ended");
        assert_eq!(walked.expect_err("half a text").kind, MissingKind::Gone);
        assert!(lines > 1, "the kernel had given part of the text");
    }
}
