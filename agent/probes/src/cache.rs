//! What is known of the files on a machine, so that each is looked at once
//! however many processes map it.

mod look;

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memgap_kernel::file::Buf;
use memgap_kernel::memory::{Bounds, Live, Space};
use memgap_kernel::process::Process;
use memgap_kernel::text;
use memgap_ledger::{Fact, Missing, MissingKind, Unread};

use super::file_systems::FileSystems;
use super::image::{self, FileId, Mounts, Part, Stamp};
use super::layouts::Layouts;
use super::registry::{self, Rule};
use super::{Detail, HeapStatistics, Layout, Mapped, PROBES, Probe, Read};
use crate::elf::Elf;
pub use look::{Look, Share};

/// Files that are remembered; beyond it those that no process of this round maps
/// are looked at again each time.
const MAX_FILES: usize = 16_384;

/// Sections of theirs that are, 13 MiB: a file that is looked into has some 30.
const MAX_SECTIONS: usize = 1 << 17;

/// Mount namespaces whose mounts are remembered for one round.
const MAX_NAMESPACES: usize = 1024;

/// The probes, and what they found out about files.
#[derive(Debug, Default)]
pub struct Probes {
    files: Mutex<Files>,
    file_systems: FileSystems,
    round: AtomicU64,
}

/// How often what is known of files served, and how often it had to be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheUse {
    /// Mapped files that were known.
    pub hits: u64,
    /// Mapped files whose headers were read.
    pub misses: u64,
    /// Searches for the variables of a runtime in the memory of a process.
    pub resolved: u64,
}

#[derive(Debug, Default)]
struct Files {
    known: HashMap<FileId, Arc<Known>>,
    /// Sections of all that are known.
    sections: usize,
    /// What the processes of a mount namespace see mounted, of this round.
    mounts: HashMap<(u64, u64), Arc<Mounts>>,
    used: CacheUse,
}

/// What is known of one file.
#[derive(Debug)]
struct Known {
    stamp: Option<Stamp>,
    /// The last round in which it was asked for.
    used: AtomicU64,
    elf: Elf,
    candidates: Vec<Candidate>,
    /// What it holds that no probe reads.
    named: Vec<&'static Rule>,
    /// Whether it is of another word size or byte order, which no probe reads.
    is_foreign: bool,
}

/// A probe that may read a file.
#[derive(Debug)]
struct Candidate {
    probe: &'static dyn Probe,
    layouts: Layouts,
}

/// A runtime in a process, whose heap statistics can be read again and again.
#[derive(Debug, Clone)]
pub struct Attached {
    name: &'static str,
    layout: Arc<dyn Layout>,
    mapped: Mapped,
    /// What the program had mapped when heap statistics reported so much that it was asked for.
    there: Arc<AtomicU64>,
}

/// A runtime that is in a process, whose heap statistics were not found.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The name of the probe that looked for them, if there is one.
    pub probe: Option<&'static str>,
    /// What is known of it.
    pub unread: Unread,
    /// Whether it serves nothing.
    is_idle: bool,
}

impl Refused {
    fn of(probe: &dyn Probe, path: &str, why: Missing) -> Self {
        let is_idle = probe.is_idle(&why);
        Self { probe: Some(probe.name()), unread: unread(probe.name(), path, why), is_idle }
    }

    fn named(rule: &Rule, file: &[u8]) -> Self {
        let within_another = rule.within_another();
        let path = text::printable(file, image::SHOWN);
        let unread = Unread { within_another, ..unread(rule.name, &path, rule.why()) };
        Self { probe: None, unread, is_idle: false }
    }
}

fn unread(name: &str, path: &str, why: Missing) -> Unread {
    Unread { name: name.to_owned(), file: path.to_owned(), why, within_another: false }
}

/// Reads heap statistics by a layout; those are refused that tell of more memory than there is.
/// That costs a call of the kernel, so it is asked for only where they tell of more than
/// was `there` before.
fn read(
    layout: &dyn Layout,
    mapped: &Mapped,
    there: &AtomicU64,
    space: &Space<'_>,
    detail: Detail,
) -> Fact<HeapStatistics> {
    let statistics = match layout.read(mapped, space, detail) {
        // A page that the kernel moves is in no memory for a moment.
        Err(lack) if lack.kind == MissingKind::Refused => layout.read(mapped, space, detail)?,
        statistics => statistics?,
    };
    let reported =
        statistics.runtime.in_use.unwrap_or(0).saturating_add(statistics.runtime.free.unwrap_or(0));
    if reported > there.load(Ordering::Relaxed) {
        let now = space.mapped()?;
        if reported > now {
            let why = format!("they tell of {reported} bytes, and the program has mapped {now}");
            return Err(Missing::new(MissingKind::Malformed, why));
        }
        there.store(now, Ordering::Relaxed);
    }
    Ok(statistics)
}

impl Attached {
    /// The probe's name.
    pub fn probe(&self) -> &'static str {
        self.name
    }

    /// Reads the heap statistics.
    pub fn read(&self, space: &Space<'_>, detail: Detail) -> Read {
        let mut statistics = read(&*self.layout, &self.mapped, &self.there, space, detail)
            .map_err(|why| self.unread(why))?;
        self.name.clone_into(&mut statistics.runtime.name);
        self.mapped.path.clone_into(&mut statistics.runtime.file);
        Ok(statistics)
    }

    /// What is known of it where its heap statistics are not read.
    pub fn unread(&self, why: Missing) -> Unread {
        unread(self.name, &self.mapped.path, why)
    }
}

impl Probes {
    /// The runtimes in a process, those too whose heap statistics were not found.
    pub fn attach(&self, process: &Process, buf: &mut Buf) -> Fact<Vec<Result<Attached, Refused>>> {
        Ok(self.look(process, Share::WHOLE, 0, buf)?.found)
    }

    /// Finds the runtimes of a process and reads their heap statistics.
    pub fn statistics(&self, process: &Process, detail: Detail, buf: &mut Buf) -> Vec<Read> {
        let attached = match self.attach(process, buf) {
            Ok(attached) => attached,
            Err(lack) => return vec![Err(Unread::process(lack))],
        };
        if attached.is_empty() {
            return Vec::new();
        }
        let memory = match Live::open(process) {
            Ok(memory) => memory,
            Err(lack) => return vec![Err(Unread::process(lack))],
        };
        let bounds = match detail {
            Detail::Counters => Bounds::COUNTERS,
            Detail::Pages => Bounds::PAGES,
        };
        let read = |one: Attached| one.read(&Space::new(&memory, bounds), detail);
        attached
            .into_iter()
            .map(|one| one.map_err(|refused| refused.unread).and_then(read))
            .collect()
    }

    /// Ends a round; files that no look met in the last `rounds` are forgotten.
    pub fn forget_unused(&self, rounds: u64) {
        let now = self.round.fetch_add(1, Ordering::Relaxed);
        let since = now.saturating_sub(rounds);
        let mut files = self.lock();
        files.known.retain(|_, known| {
            known.candidates.iter().for_each(|one| one.layouts.forget_unused(since));
            known.used.load(Ordering::Relaxed) >= since
        });
        files.sections = files.known.values().map(|known| known.elf.sections.len()).sum();
        files.mounts.clear();
    }

    /// How what is known was used since this was last asked.
    pub fn take_use(&self) -> CacheUse {
        std::mem::take(&mut self.lock().used)
    }

    /// What is known of a file, where that still holds.
    fn known(&self, id: FileId, process: &Process, part: Part<'_>) -> Option<Arc<Known>> {
        let known = self.lock().known.get(&id).map(Arc::clone);
        let known = known.filter(|known| is_still(process, part, known.stamp))?;
        known.used.store(self.round.load(Ordering::Relaxed), Ordering::Relaxed);
        self.lock().used.hits += 1;
        Some(known)
    }

    /// Looks at a file. Not remembered where it fails: another process may show it.
    fn learn(
        &self,
        id: FileId,
        process: &Process,
        part: Part<'_>,
        mounts: &Mounts,
    ) -> Fact<Arc<Known>> {
        let (file, asked) = image::open(process, part, mounts, &self.file_systems)?;
        let round = self.round.load(Ordering::Relaxed);
        let known = Arc::new(Known { used: round.into(), ..Known::of(&file, part.mapping.name) });
        drop(asked);
        let mut files = self.lock();
        files.used.misses += 1;
        let sections = files.sections.saturating_add(known.elf.sections.len());
        if files.known.len() < MAX_FILES && sections <= MAX_SECTIONS {
            files.sections = sections;
            files.known.insert(id, Arc::clone(&known));
        }
        Ok(known)
    }

    /// The mounts of a process as they were seen in this round, by whichever process of its
    /// namespace was looked at first.
    fn mounts(
        &self,
        namespace: Option<(u64, u64)>,
        process: &Process,
        limit: usize,
        buf: &mut Buf,
    ) -> Arc<Mounts> {
        let read = |buf| Arc::new(Mounts::of(process, limit, buf));
        let Some(namespace) = namespace else { return read(buf) };
        if let Some(seen) = self.lock().mounts.get(&namespace) {
            return Arc::clone(seen);
        }
        let mounts = read(buf);
        let mut files = self.lock();
        if files.mounts.len() < MAX_NAMESPACES {
            files.mounts.insert(namespace, Arc::clone(&mounts));
        }
        mounts
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        // What a panic left is whole: each entry is put there in one go.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn of(file: &File, name: &[u8]) -> Self {
        let stamp = Stamp::of(file);
        let nothing = Self::nothing(stamp);
        let Ok(elf) = Elf::read(file) else {
            return Self { is_foreign: Elf::is_foreign(file), ..nothing };
        };
        let mut named = registry::named(&elf, name, file);
        let is_tried = |name| named.iter().any(|rule| rule.is_tried && rule.name == name);
        let candidates: Vec<Candidate> = PROBES
            .iter()
            .filter(|probe| is_tried(probe.name()) || probe.detect(&elf, name, file))
            .map(|probe| Candidate { probe: *probe, layouts: Layouts::default() })
            .collect();
        named.retain(|rule| candidates.iter().all(|one| one.probe.name() != rule.name));
        if candidates.is_empty() {
            return Self { named, ..nothing };
        }
        Self { elf, candidates, named, ..nothing }
    }

    /// A file of no interest keeps no headers.
    fn nothing(stamp: Option<Stamp>) -> Self {
        let (segments, sections) = (Vec::new(), Vec::new());
        let elf = Elf { machine: 0, segments, sections, is_static: false };
        let (used, candidates, named) = (AtomicU64::new(0), Vec::new(), Vec::new());
        Self { stamp, used, elf, candidates, named, is_foreign: false }
    }
}

/// Leaves out allocators that serve nothing where another one is there to serve.
fn leave_out_idle(found: &mut Vec<Result<Attached, Refused>>) {
    let is_idle = |one: &Result<Attached, Refused>| one.as_ref().is_err_and(|one| one.is_idle);
    let serves = |one: &Result<Attached, Refused>| match one {
        Ok(_) => true,
        Err(refused) => !refused.is_idle && !refused.unread.within_another,
    };
    if found.iter().any(serves) {
        found.retain(|one| !is_idle(one));
    }
}

/// Whether a program's file is the one that was looked at: an inode that is free
/// again may name a new build of it. Libraries are replaced, not written anew.
fn is_still(process: &Process, part: Part<'_>, stamp: Option<Stamp>) -> bool {
    let place = if part.is_program { image::of_exe(process) } else { None };
    place.is_none_or(|place| Stamp::of(&place) == stamp)
}
