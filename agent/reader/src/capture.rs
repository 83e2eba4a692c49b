//! Copies what the reader reads into a tree that [`crate::Roots`] can be pointed
//! at: the best bug report, and the fixture of a test.

mod redact;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use memgap_kernel::cgroups::EVENT_FILES;
use memgap_kernel::file::{Buf, Dir};
use memgap_kernel::process::Process;
use memgap_kernel::source::{
    cgroup, hugepages, meminfo, memory_stat, mountinfo, smaps, sockstat, stat, statm, status,
    vmstat, zoneinfo,
};
use memgap_ledger::{Fact, Missing, MissingKind};

use crate::error::Error;
use crate::find::find;
use crate::reader::{Reader, is_within};
use crate::target::{Found, Target};
pub(crate) use redact::Names;

/// The longest file that is copied: the text of a large walk.
const LIMIT: usize = 256 << 20;

/// Files of a cgroup, of either version, beside those of its events; `release_agent` tells the root of v1.
const CGROUP_FILES: [&str; 12] = [
    memory_stat::NAME,
    "memory.usage_in_bytes",
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.kmem.usage_in_bytes",
    "memory.current",
    "memory.max",
    "memory.swap.max",
    "cgroup.controllers",
    "cgroup.procs",
    "cgroup.type",
    "release_agent",
];

/// What a capture holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// Processes, whole or in part.
    pub processes: usize,
    /// Cgroups.
    pub cgroups: usize,
    /// Files that were written.
    pub files: usize,
    /// Their length together, in bytes.
    pub bytes: u64,
    /// What could not be read. Processes and cgroups that ended are left out.
    pub lacks: Vec<Missing>,
}

/// Captures a target, with the host's figures: a process with its cgroup, a
/// cgroup with its processes, or the whole machine.
///
/// `dir` must not exist. `redact` replaces the names of programs, files, cgroups
/// and containers by tokens that keep every classification; command lines and
/// environments are never read. The tree has `proc`, `sys/fs/cgroup` and
/// `var/log/containers`, as the machine does.
pub fn capture(
    reader: &Reader,
    target: &Target,
    dir: &Path,
    redact: bool,
) -> Result<Captured, Error> {
    let found = find(reader, target)?;
    fs::DirBuilder::new().mode(0o700).create(dir).map_err(|e| failed(dir, e))?;
    let mut capture = Capture {
        reader,
        dir,
        names: redact.then(Names::default),
        done: Captured::default(),
        buf: Buf::default(),
    };
    capture.host()?;
    match found {
        Found::Host => capture.below("/")?,
        Found::Cgroup { path } => capture.below(&path)?,
        Found::Process { pid, .. } => {
            let path = capture.process(pid, None)?;
            capture.cgroups(&path.unwrap_or_else(|| "/".to_owned()), false)?;
        }
    }
    Ok(capture.done)
}

/// A capture that is being written.
struct Capture<'c> {
    reader: &'c Reader,
    dir: &'c Path,
    names: Option<Names>,
    done: Captured,
    buf: Buf,
}

impl Capture<'_> {
    fn host(&mut self) -> Result<(), Error> {
        let proc = Dir::open(self.reader.procfs())?;
        for name in [meminfo::NAME, zoneinfo::NAME, vmstat::NAME].into_iter().chain(sockstat::NAMES)
        {
            let text = proc.read(name, LIMIT, &mut self.buf).map(<[u8]>::to_vec);
            self.keep(&Path::new("proc").join(name), text)?;
        }
        self.huge_pages(&hugepages::place(&proc))?;
        let text = proc.read("self/mountinfo", LIMIT, &mut self.buf).map(<[u8]>::to_vec);
        let text = text.map(|text| self.redacted(mountinfo::NAME, text));
        self.keep(Path::new("proc/self/mountinfo"), text)
    }

    /// The files of every size of huge pages, where the kernel has such pages.
    fn huge_pages(&mut self, place: &Path) -> Result<(), Error> {
        let Ok(dir) = Dir::open(place) else { return Ok(()) };
        let (sizes, _) = dir.directories(hugepages::MAX_SIZES).unwrap_or_default();
        for size in sizes {
            let Ok(of_size) = dir.dir(&size) else { continue };
            for name in hugepages::FILES {
                let text = of_size.read(name, LIMIT, &mut self.buf).map(<[u8]>::to_vec);
                self.keep(&Path::new("sys").join(hugepages::PLACE).join(&size).join(name), text)?;
            }
        }
        Ok(())
    }

    /// A cgroup, those below it and the processes in them.
    fn below(&mut self, path: &str) -> Result<(), Error> {
        for pid in self.reader.pids()? {
            self.process(pid, Some(path))?;
        }
        self.cgroups(path, true)
    }

    /// A process, unless it is outside of the cgroup asked for; its cgroup's path.
    fn process(&mut self, pid: u32, within: Option<&str>) -> Result<Option<String>, Error> {
        let Ok(process) = self.reader.open_living(pid) else { return Ok(None) };
        let path = self.reader.cgroup_of(&process, &mut self.buf).ok();
        let is_asked = |above| above == "/" || path.as_ref().is_some_and(|p| is_within(p, above));
        if !within.is_none_or(is_asked) {
            return Ok(path);
        }
        let place = Path::new("proc").join(pid.to_string());
        let mut texts = Vec::new();
        // The files that must agree are read without anything in between.
        for name in
            [stat::NAME, cgroup::NAME, mountinfo::NAME, statm::NAME, status::NAME, smaps::NAME]
        {
            let text = whole(&process, name, &mut self.buf);
            if text.as_ref().is_err_and(|lack| lack.kind == MissingKind::Gone) {
                return Ok(path);
            }
            texts.push((name, text));
        }
        for (name, text) in texts {
            let text = text.map(|text| self.redacted(name, text));
            self.keep(&place.join(name), text)?;
        }
        self.done.processes += 1;
        Ok(path)
    }

    /// The cgroup at a path and those above it; also those below it where asked.
    fn cgroups(&mut self, path: &str, below: bool) -> Result<(), Error> {
        let Ok(samples) = self.reader.cgroups() else { return Ok(()) };
        let Some(mount) = self.reader.cgroup_mount().map(Path::to_owned) else { return Ok(()) };
        let root = self.reader.cgroupfs();
        let place =
            Path::new("sys/fs/cgroup").join(mount.strip_prefix(root).unwrap_or(Path::new("")));
        let mut links = BTreeSet::new();
        for sample in samples {
            let is_asked = below && is_within(&sample.path, path);
            if !is_asked && !is_within(path, &sample.path) {
                continue;
            }
            let Ok(dir) = Dir::open(&mount.join(sample.path.trim_start_matches('/'))) else {
                continue;
            };
            let shown = match &mut self.names {
                Some(names) => names.path(&sample.path),
                None => sample.path.clone(),
            };
            for name in CGROUP_FILES.into_iter().chain(EVENT_FILES).filter(|name| dir.holds(name)) {
                let text = dir.read(name, LIMIT, &mut self.buf).map(<[u8]>::to_vec);
                // Of this one only that it is there matters.
                let text = if name == "release_agent" { Ok(Vec::new()) } else { text };
                self.keep(&place.join(shown.trim_start_matches('/')).join(name), text)?;
            }
            links.extend(redact::link(&sample, &shown, self.names.as_mut()));
            self.done.cgroups += 1;
        }
        for link in links {
            self.keep(&Path::new("var/log/containers").join(link), Ok(Vec::new()))?;
        }
        Ok(())
    }

    fn redacted(&mut self, name: &str, text: Vec<u8>) -> Vec<u8> {
        match &mut self.names {
            Some(names) => names.redact(name, &text),
            None => text,
        }
    }

    /// Writes a file of the tree, or notes why there is none.
    fn keep(&mut self, place: &Path, text: Fact<Vec<u8>>) -> Result<(), Error> {
        let path: PathBuf = self.dir.join(place);
        match text {
            Ok(text) => {
                let above = path.parent().unwrap_or(self.dir);
                fs::create_dir_all(above).map_err(|e| failed(above, e))?;
                fs::write(&path, &text).map_err(|e| failed(&path, e))?;
                self.done.files += 1;
                self.done.bytes += text.len() as u64;
            }
            Err(lack) if lack.kind == MissingKind::Gone => {}
            Err(lack) => self.done.lacks.push(lack),
        }
        Ok(())
    }
}

/// A file of a process, whole; a walk that its end cut short is none.
fn whole(process: &Process, name: &str, buf: &mut Buf) -> Fact<Vec<u8>> {
    if name != smaps::NAME {
        return process.read(name, LIMIT, buf).map(<[u8]>::to_vec);
    }
    let mut text = Vec::new();
    let copied = process.lines(name, LIMIT, buf, |line| {
        text.extend_from_slice(line);
        text.push(b'\n');
        Ok(())
    });
    match copied {
        // Kernel threads and zombies have none; their state tells so.
        Err(lack) if lack.kind == MissingKind::Gone && text.is_empty() => Ok(text),
        copied => copied.map(|()| text),
    }
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Write { path: path.to_owned(), source }
}
