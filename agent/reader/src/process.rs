//! One process by the handle of its directory, and the sample that is read
//! through it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use memgap_ledger::sample::{Area, AreaKind, Counters, ProcessKind, ProcessSample, Ranges, Walk};
use memgap_ledger::{Fact, Missing, MissingKind};
use procfs::ProcError;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::cgroups::Cgroups;
use crate::file::{self, Buf, Dir, missing};
use crate::memory::{Live, Memory};
use crate::probe::{self, Detail, Probes};
use crate::source::maps::Device;
use crate::source::stat::Stat;
use crate::source::{cgroup, mountinfo, smaps, stat, status};
use crate::text;

/// Characters of a name that are shown: `TASK_COMM_LEN` less its end, and what
/// the kernel adds for its workers.
const NAME_LEN: usize = 63;

/// Ranges of resident pages: 16 MiB of our memory, enough for 4 GiB of which every
/// other page is resident.
const MAX_RANGES: usize = 1 << 20;

/// How much is read of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The kernel's counters only: free of cost to the process.
    Counters,
    /// Also the counters in the books of its runtimes and allocators.
    Runtimes,
    /// The kernel's counters, and a walk over its mappings, which holds its `mmap_lock` for reading.
    Walk,
    /// All of these.
    Books,
    /// Also what books and kernel say of every page.
    Pages,
}

impl Depth {
    fn walks(self) -> bool {
        matches!(self, Self::Walk | Self::Books | Self::Pages)
    }

    /// How much is read of books, if any.
    fn detail(self) -> Option<Detail> {
        match self {
            Self::Counters | Self::Walk => None,
            Self::Runtimes | Self::Books => Some(Detail::Counters),
            Self::Pages => Some(Detail::Pages),
        }
    }
}

/// A process, by a handle that never comes to mean another one.
#[derive(Debug)]
pub struct Process {
    handle: procfs::process::Process,
    pid: u32,
    path: PathBuf,
}

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
            ProcError::NotFound(_) if self.handle.open_relative(stat::NAME).is_err() => self.gone(),
            error => missing(&self.path.join(name), &io_error(error)),
        })
    }

    /// A handle on what one of its magic links leads to, good for nothing but to
    /// tell what that is and to open it.
    pub(crate) fn place(&self, name: &str) -> Option<File> {
        self.handle.open_relative_flags(name, OFlags::PATH | OFlags::CLOEXEC).ok()
    }

    /// A second handle of its directory.
    pub(crate) fn dir(&self) -> Fact<Dir> {
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
    pub(crate) fn program(&self) -> Option<PathBuf> {
        self.handle.exe().ok()
    }

    /// Reads a whole file of its directory, at most `limit` bytes.
    pub fn read<'b>(&self, name: &str, limit: usize, buf: &'b mut Buf) -> Fact<&'b [u8]> {
        let file = self.file(name)?;
        buf.fill(&file, limit).map_err(|e| missing(&self.path.join(name), &e))
    }

    /// Hands the lines of a file on the process's memory to `each`. The kernel
    /// ends such a file early, without an error, where that memory goes away
    /// (exit, execve); then the process is gone.
    pub(crate) fn lines(
        &self,
        name: &str,
        limit: usize,
        buf: &mut Buf,
        each: impl FnMut(&[u8]) -> Result<(), &'static str>,
    ) -> Fact<()> {
        let file = self.file(name)?;
        let path = self.path.join(name);
        buf.lines(&file, limit, each).map_err(|e| missing(&path, &e))?;
        match file.read_at(&mut [0], 0) {
            Ok(0) => Err(self.gone()),
            Ok(_) => Ok(()),
            Err(e) => Err(missing(&path, &e)),
        }
    }

    /// The sample of the process.
    pub(crate) fn sample(
        &self,
        depth: Depth,
        cgroups: &Fact<Cgroups>,
        probes: &Probes,
        buf: &mut Buf,
    ) -> Fact<ProcessSample> {
        let stat = stat::read(self, buf)?;
        let (kind, name, leaderless) = (stat.kind(), name_of(&stat), stat.is_leaderless());
        let cgroup = self.cgroup(cgroups, buf);
        let thread;
        let memory = if leaderless {
            thread = self.living_thread(buf)?;
            &thread
        } else {
            self
        };
        let (counters, walk) = match no_memory(kind) {
            Some(nothing) => nothing,
            // Directly one after the other: what the process does between the two
            // readings is skew. Counters read after the walk are no nearer to it:
            // which of the two is, depends on where in the address space a process
            // grows (measured at 150 MB/s: 0 to 6 MiB off, either way round).
            None => (memory.counters(buf)?, memory.walk(depth, buf)),
        };
        if let Err(Missing { kind: MissingKind::Gone, .. }) = &walk {
            return Err(self.gone());
        }
        let books = match depth.detail() {
            Some(detail) if kind == ProcessKind::User => probes.books(memory, detail, buf),
            _ => Vec::new(),
        };
        let mut sample = ProcessSample {
            pid: self.pid,
            name,
            kind,
            counters: Ok(counters),
            walk,
            claims: Vec::new(),
            runtimes: Vec::new(),
            cgroup,
        };
        probe::add(&mut sample, &books, Duration::ZERO);
        Ok(sample)
    }

    /// The cgroup that its memory is charged to.
    pub(crate) fn cgroup(&self, cgroups: &Fact<Cgroups>, buf: &mut Buf) -> Fact<String> {
        let cgroups = cgroups.as_ref().map_err(Clone::clone)?;
        let memberships = cgroup::read(self, buf)?;
        let lines = memberships.iter().map(|(names, path)| (names.as_str(), path.as_str()));
        cgroups.path_of(lines).ok_or_else(|| {
            Missing::absent(format!(
                "process {} is in no cgroup below {}",
                self.pid,
                cgroups.mount_point().display()
            ))
        })
    }

    fn counters(&self, buf: &mut Buf) -> Fact<Counters> {
        // A program without memory is about to end.
        status::read(self, buf)?.ok_or_else(|| self.gone())
    }

    fn walk(&self, depth: Depth, buf: &mut Buf) -> Fact<Walk> {
        if !depth.walks() {
            return Err(Missing::new(MissingKind::Refused, "a walk was not asked for"));
        }
        let areas: Arc<[Area]> = self.areas(smaps::MAX_AREAS, buf)?.into();
        // Where that fails the ledger's figures are wider, and as true.
        let resident = (depth == Depth::Pages).then(|| self.pages(&areas));
        Ok(Walk { areas, age: Duration::ZERO, resident })
    }

    /// The resident pages of its private anonymous mappings.
    fn pages(&self, areas: &[Area]) -> Fact<Ranges> {
        let memory = Live::open(self)?;
        let is_asked =
            |a: &&Area| a.rss > 0 && matches!(a.kind, AreaKind::Heap | AreaKind::Anonymous);
        let mut pages = Vec::new();
        for area in areas.iter().filter(is_asked) {
            pages.extend(memory.resident(area.start, area.end, MAX_RANGES - pages.len())?);
        }
        Ok(pages.into())
    }

    /// Walks its mappings, at most `most` of them.
    pub(crate) fn areas(&self, most: usize, buf: &mut Buf) -> Fact<Vec<Area>> {
        let tmpfs = self.tmpfs(buf);
        smaps::read(self, &tmpfs, most, buf)
    }

    /// A thread of a process whose first one has ended: the files in its directory
    /// tell the memory that those of the process no longer do.
    pub(crate) fn living_thread(&self, buf: &mut Buf) -> Fact<Self> {
        let tasks = self.path.join("task");
        let listed = std::fs::read_dir(&tasks).map_err(|e| missing(&tasks, &e))?;
        listed
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|thread: u32| Self::open(&tasks, thread).ok())
            .find(|thread| status::read(thread, buf).is_ok_and(|counters| counters.is_some()))
            .map(|thread| Self { pid: self.pid, ..thread })
            .ok_or_else(|| self.gone())
    }

    /// The devices of the tmpfs mounts that it sees: files on them are shared
    /// memory. Its own mounts, for a container has others than we.
    fn tmpfs(&self, buf: &mut Buf) -> Vec<Device> {
        let Ok(text) = self.read(mountinfo::NAME, mountinfo::LIMIT, buf) else { return Vec::new() };
        let mounts = mountinfo::parse(text);
        mounts.iter().filter(|m| *m.fs_type == *b"tmpfs").map(|m| m.device).collect()
    }

    fn gone(&self) -> Missing {
        gone(self.pid)
    }

    pub(crate) fn malformed(&self, name: &str, what: &str) -> Missing {
        file::malformed(&self.path.join(name), what)
    }
}

/// What is said of a process that is no more.
pub(crate) fn gone(pid: u32) -> Missing {
    Missing::new(MissingKind::Gone, format!("process {pid} ended while it was read"))
}

/// The name for people.
pub(crate) fn name_of(stat: &Stat<'_>) -> String {
    text::printable(stat.comm, NAME_LEN)
}

/// The figures of what has no memory of its own: these zeros are known.
pub(crate) fn no_memory(kind: ProcessKind) -> Option<(Counters, Fact<Walk>)> {
    let why = match kind {
        ProcessKind::User => return None,
        ProcessKind::Kernel => "a kernel thread has no mappings",
        ProcessKind::Zombie => "a zombie has given its mappings back",
    };
    let counters = Counters {
        source: stat::NAME,
        vsz: 0,
        rss: 0,
        anon: 0,
        file: Some(0),
        shmem: Some(0),
        swap: Some(0),
        threads: Some(1),
    };
    Some((counters, Err(Missing::absent(why))))
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
    fn a_walk_over_too_many_mappings_is_refused() {
        let own = Process::open(Path::new("/proc"), std::process::id()).expect("we run");
        let lack = own.areas(1, &mut Buf::default()).expect_err("a program has more");
        assert_eq!(lack.kind, MissingKind::Refused);
        assert!(lack.why.contains("more than 1 mappings"), "{lack}");
    }

    #[test]
    fn a_walk_that_the_process_does_not_survive_is_no_walk() {
        let mut kid = Command::new("sleep").arg("600").spawn().expect("sleep runs");
        let process = Process::open(Path::new("/proc"), kid.id()).expect("it runs");
        let pid = Pid::from_raw(kid.id().cast_signed()).expect("a pid");
        let mut lines = 0;
        let walked = process.lines(smaps::NAME, 1 << 20, &mut Buf::default(), |_| {
            lines += 1;
            if lines == 1 {
                // Left a zombie: then the kernel tells no error.
                let ended = kid.kill().is_ok()
                    && waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
                        .is_ok();
                return if ended { Ok(()) } else { Err("it can not be ended") };
            }
            Ok(())
        });
        kid.wait().expect("it ended");
        assert_eq!(walked.expect_err("half a walk").kind, MissingKind::Gone);
        assert!(lines > 1, "the kernel had given part of the text");
    }
}
