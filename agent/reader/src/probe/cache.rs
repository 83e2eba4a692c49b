//! What is known of the files on a machine, so that each is looked at once
//! however many processes map it.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use memgap_ledger::{Fact, Missing};

use super::image::{self, FileId};
use super::{Books, Detail, Image, Layout, Mapped, PROBES, Probe};
use crate::elf::Elf;
use crate::file::Buf;
use crate::memory::{Bounds, Live, Space};
use crate::process::Process;
use crate::source::maps::{self, Mapping};

/// Files that are remembered; beyond it those that no process of this round maps
/// are looked at again each time.
const MAX_FILES: usize = 16_384;
/// Processes in which a runtime is looked for before its file is given up: one
/// that has just started may not have its books yet.
const MAX_TRIES: u8 = 16;

/// The probes, and what they found out about files.
#[derive(Debug, Default)]
pub struct Probes {
    files: Mutex<HashMap<FileId, Arc<Known>>>,
}

/// What is known of one file.
#[derive(Debug)]
struct Known {
    elf: Elf,
    candidates: Vec<Candidate>,
}

/// A probe that may read a file.
#[derive(Debug)]
struct Candidate {
    probe: &'static dyn Probe,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
enum State {
    Untried,
    Found(Arc<dyn Layout>),
    Failed { tries: u8, why: Missing },
}

/// A runtime in a process, whose books can be read again and again.
#[derive(Debug, Clone)]
pub struct Attached {
    probe: &'static dyn Probe,
    layout: Arc<dyn Layout>,
    mapped: Mapped,
}

impl Attached {
    /// Reads the books.
    pub fn read(&self, space: &Space<'_>, detail: Detail) -> Fact<Books> {
        let named = |lack: Missing| {
            let (name, path) = (self.probe.name(), &self.mapped.path);
            Missing::new(lack.kind, format!("{name} in {path}: {lack}"))
        };
        let mut books = self.layout.read(&self.mapped, space, detail).map_err(named)?;
        self.probe.name().clone_into(&mut books.runtime.name);
        self.mapped.path.clone_into(&mut books.runtime.file);
        Ok(books)
    }
}

impl Probes {
    /// The runtimes in a process; an error for each one that is there and whose
    /// books were not found.
    pub fn attach(&self, process: &Process, buf: &mut Buf) -> Fact<Vec<Fact<Attached>>> {
        let mut text = Buf::default();
        let mappings = maps::read(process, &mut text)?;
        let mut memory = None;
        let mut found = Vec::new();
        for mapping in programs(&mappings) {
            let Some(known) = self.known(process, mapping, buf) else { continue };
            for candidate in &known.candidates {
                let Some(mapped) = Mapped::of(mapping, &known.elf) else { continue };
                let mut resolve = || {
                    let live = match &memory {
                        Some(live) => live,
                        None => memory.insert(Live::open(process)?),
                    };
                    let file = image::open(process, mapping, buf)?;
                    let image = Image { file, elf: &known.elf, mapped: mapped.clone() };
                    candidate.probe.resolve(&image, &Space::new(live, Bounds::RESOLVE))
                };
                found.push(candidate.layout(&mut resolve).map(|layout| Attached {
                    probe: candidate.probe,
                    layout,
                    mapped: mapped.clone(),
                }));
            }
        }
        Ok(found)
    }

    /// Finds the runtimes of a process and reads their books.
    pub fn books(&self, process: &Process, detail: Detail, buf: &mut Buf) -> Vec<Fact<Books>> {
        let attached = match self.attach(process, buf) {
            Ok(attached) => attached,
            Err(lack) => return vec![Err(lack)],
        };
        if attached.is_empty() {
            return Vec::new();
        }
        let memory = match Live::open(process) {
            Ok(memory) => memory,
            Err(lack) => return vec![Err(lack)],
        };
        let bounds = match detail {
            Detail::Counters => Bounds::COUNTERS,
            Detail::Pages => Bounds::PAGES,
        };
        let read = |one: Attached| one.read(&Space::new(&memory, bounds), detail);
        attached.into_iter().map(|one| one.and_then(read)).collect()
    }

    /// Forgets files that no process mapped since the last time: their inodes may
    /// come to name other files.
    pub fn forget_unused(&self, used: impl Fn(&FileId) -> bool) {
        self.lock().retain(|id, _| used(id));
    }

    fn known(&self, process: &Process, mapping: &Mapping<'_>, buf: &mut Buf) -> Option<Arc<Known>> {
        let id = (mapping.device, mapping.inode);
        if let Some(known) = self.lock().get(&id) {
            return Some(Arc::clone(known));
        }
        // Not remembered: another process may be let look where this one is not.
        let file = image::open(process, mapping, buf).ok()?;
        let known = Arc::new(Known::of(&file, mapping.name));
        let mut files = self.lock();
        if files.len() < MAX_FILES {
            files.insert(id, Arc::clone(&known));
        }
        Some(known)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<FileId, Arc<Known>>> {
        // What a panic left is whole: each entry is put there in one go.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn of(file: &File, name: &[u8]) -> Self {
        let Ok(elf) = Elf::read(file) else { return Self::nothing() };
        let candidates: Vec<Candidate> = PROBES
            .iter()
            .filter(|probe| probe.detect(&elf, name))
            .map(|probe| Candidate { probe: *probe, state: Mutex::new(State::Untried) })
            .collect();
        if candidates.is_empty() { Self::nothing() } else { Self { elf, candidates } }
    }

    /// A file of no interest keeps no headers.
    fn nothing() -> Self {
        let elf = Elf { machine: 0, segments: Vec::new(), sections: Vec::new() };
        Self { elf, candidates: Vec::new() }
    }
}

impl Candidate {
    /// The layout, resolved where that was not done yet.
    fn layout(&self, resolve: &mut dyn FnMut() -> Fact<Arc<dyn Layout>>) -> Fact<Arc<dyn Layout>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = match &*state {
            State::Found(layout) => return Ok(Arc::clone(layout)),
            State::Failed { tries, why } if *tries >= MAX_TRIES => return Err(why.clone()),
            State::Failed { tries, .. } => *tries,
            State::Untried => 0,
        };
        match resolve() {
            Ok(layout) => {
                *state = State::Found(Arc::clone(&layout));
                Ok(layout)
            }
            Err(why) => {
                *state = State::Failed { tries: tries + 1, why: why.clone() };
                Err(why)
            }
        }
    }
}

/// The lowest mapping of each file that has code mapped: programs and libraries.
fn programs<'m>(mappings: &'m [Mapping<'m>]) -> Vec<&'m Mapping<'m>> {
    let is_file = |m: &&Mapping<'_>| m.inode != 0 && m.name.starts_with(b"/");
    let id = |m: &Mapping<'_>| (m.device, m.inode);
    let mut found: Vec<&Mapping<'_>> = Vec::new();
    let mut lowest: Option<&Mapping<'_>> = None;
    for mapping in mappings.iter().filter(is_file) {
        // The parts of a file lie side by side.
        if lowest.is_none_or(|low| id(low) != id(mapping)) {
            lowest = Some(mapping);
        }
        let is_new = |low: &&Mapping<'_>| !found.iter().any(|m| id(m) == id(low));
        if mapping.access[2] == b'x' {
            found.extend(lowest.filter(is_new));
        }
    }
    found
}
