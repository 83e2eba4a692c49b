//! A look at one process for what runs in it, within what it may cost.

use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use memgap_kernel::cpu::thread_cpu;
use memgap_kernel::file::Buf;
use memgap_kernel::memory::{Bounds, Live, Space};
use memgap_kernel::process::Process;
use memgap_kernel::source::{maps, mountinfo, status};
use memgap_ledger::{Fact, Missing, MissingKind, Unread};

use super::{Attached, Candidate, Known, Probes, Refused, read};
use crate::beacon;
use crate::elf::Elf;
use crate::image::{self, FileId, Image, Mapped, Mounts, Part};
use crate::layouts::{Client, Users};
use crate::probe::{Detail, Layout};
use crate::registry;
use crate::scan::Scan;

/// What one look at a process may cost.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Bytes of its mappings' text.
    pub maps: usize,
    /// And of its mounts'.
    pub mounts: usize,
    /// Files that are opened, for nothing is known of them yet.
    pub files: usize,
    /// CPU time after which no more are.
    pub cpu: Duration,
}

impl Share {
    /// When a person asks.
    pub const WHOLE: Self =
        Self { maps: maps::LIMIT, mounts: mountinfo::LIMIT, files: usize::MAX, cpu: Duration::MAX };
    /// For one of all processes. Most map fewer files that nobody else does.
    pub const OF_MANY: Self = Self {
        maps: maps::SHARE,
        mounts: mountinfo::SHARE,
        files: 256,
        cpu: Duration::from_millis(100),
    };
}

/// What a look at a process found.
#[derive(Debug, Default)]
pub struct Look {
    /// The runtimes in it, those too whose heap statistics were not found.
    pub found: Vec<Result<Attached, Refused>>,
    /// How many mappings it has.
    pub mappings: usize,
    /// Whether its mount table is longer than may be read: what serves its files is not known.
    pub are_mounts_unknown: bool,
    /// Where among its files the next look is to go on, which this one left out.
    pub rest: Option<usize>,
}

/// Runtimes and allocators of one process that are kept: programs have a handful.
const MAX_FOUND: usize = 128;

/// A look ends when it has taken so many times the CPU time after which no more files are
/// opened: to read heap statistics of many runtimes takes time too.
const LONGEST: u32 = 4;

impl Probes {
    /// Looks for the runtimes in a process. Files that nothing is known of yet are opened
    /// from the place `from` on: there the look before ended.
    pub fn look(&self, process: &Process, share: Share, from: usize, buf: &mut Buf) -> Fact<Look> {
        let scan = Scan::of(process, share.maps, buf)?;
        let visit = Visit::new(self, process, share);
        let (mut look, mut opened) = (Look { mappings: scan.mappings, ..Look::default() }, 0);
        let mut closed = None;
        for (number, part) in scan.parts().enumerate() {
            if number > 0 && visit.is_over(LONGEST) {
                look.rest = look.rest.or(Some(number));
                break;
            }
            let id = FileId::of(visit.namespace, &part.mapping);
            let known = self.known(id, process, part).or_else(|| {
                let is_spent = opened >= share.files || opened > 0 && visit.is_over(1);
                if number < from || is_spent {
                    look.rest = look.rest.or((number >= from).then_some(number));
                    return None;
                }
                opened += 1;
                let learned = self.learn(id, process, part, visit.mounts(buf));
                let refused = learned.as_ref().err().filter(|why| why.kind == MissingKind::Refused);
                closed = closed.take().or_else(|| refused.cloned());
                learned.ok()
            });
            visit.add(known.as_deref(), part, &mut look.found, buf);
            if look.found.len() >= MAX_FOUND {
                look.found.truncate(MAX_FOUND);
                look.add_lack(format!("it has more than {MAX_FOUND} runtimes and allocators"));
                break;
            }
        }
        look.add_given(&scan);
        super::leave_out_idle(&mut look.found);
        look.found.extend(scan.beacon.map(|mapped| {
            let layout: Arc<dyn Layout> = Arc::new(beacon::Beacon);
            Ok(Attached { name: beacon::RUNTIME, layout, mapped, there: Arc::default() })
        }));
        if look.rest.is_some() {
            look.add_lack(format!("some of its files are yet to be looked at: {opened} were"));
        }
        if let Some(lack) = visit.mounts.get().and_then(|mounts| mounts.unknown()) {
            look.are_mounts_unknown = true;
            look.add_lack(format!("what serves its files is not known: {}", lack.why));
        } else if let Some(lack) = closed {
            look.add_lack(format!("not all of its files are looked at: {}", lack.why));
        }
        Ok(look)
    }
}

impl Look {
    /// Adds what names of mappings tell, where nothing of that name is read.
    fn add_given(&mut self, scan: &Scan) {
        for (rule, name) in scan.given.rules() {
            let is_it = |one: &Attached| one.name == rule.name;
            if !self.found.iter().any(|one| one.as_ref().is_ok_and(is_it)) {
                self.found.push(Err(Refused::named(rule, name)));
            }
        }
    }

    /// Says why something may not have been found.
    fn add_lack(&mut self, why: String) {
        let unread = Unread::process(Missing::new(MissingKind::Refused, why));
        self.found.push(Err(Refused { probe: None, unread, is_idle: false }));
    }
}

/// The process that is looked at.
struct Visit<'a> {
    probes: &'a Probes,
    process: &'a Process,
    share: Share,
    began: Duration,
    /// Searches for a runtime's variables.
    searches: Cell<usize>,
    namespace: Option<(u64, u64)>,
    /// Opened, and asked, where they are needed.
    memory: OnceCell<Fact<Live>>,
    users: OnceCell<Fact<Users>>,
    mounts: OnceCell<Arc<Mounts>>,
}

impl<'a> Visit<'a> {
    fn new(probes: &'a Probes, process: &'a Process, share: Share) -> Self {
        Self {
            probes,
            process,
            share,
            began: thread_cpu(),
            searches: Cell::new(0),
            namespace: image::mounts(process),
            memory: OnceCell::new(),
            users: OnceCell::new(),
            mounts: OnceCell::new(),
        }
    }

    /// Adds what one file holds, be it known or not.
    fn add(
        &self,
        known: Option<&Known>,
        part: Part<'_>,
        found: &mut Vec<Result<Attached, Refused>>,
        buf: &mut Buf,
    ) {
        let name = part.mapping.name;
        let Some(known) = known else {
            found.extend(registry::by_name(name).map(|rule| Err(Refused::named(rule, name))));
            return;
        };
        if known.is_foreign && part.is_program {
            found.push(Err(Refused::named(&registry::FOREIGN, name)));
        }
        found.extend(known.named.iter().map(|rule| Err(Refused::named(rule, name))));
        for candidate in &known.candidates {
            let Some(mapped) = Mapped::of(&part.mapping, &known.elf) else { continue };
            let (probe, name) = (candidate.probe, candidate.probe.name());
            let layout = self.layout(candidate, part, &known.elf, &mapped, buf);
            let layout = layout.or_else(|why| probe.unresolved(&why).ok_or(why));
            found.push(match layout {
                Ok(layout) => Ok(Attached {
                    name,
                    layout: Arc::clone(&layout).of_process().unwrap_or(layout),
                    mapped,
                    there: Arc::default(),
                }),
                Err(why) => Err(Refused::of(probe, &mapped.path, why)),
            });
        }
    }

    fn layout(
        &self,
        candidate: &Candidate,
        part: Part<'_>,
        elf: &Elf,
        mapped: &Mapped,
        buf: &mut Buf,
    ) -> Fact<Arc<dyn Layout>> {
        let users = self.users.get_or_init(|| status::users(self.process, buf)).clone()?;
        let round = self.probes.round.load(Ordering::Relaxed);
        let mut find = || {
            if self.searches.replace(self.searches.get() + 1) > 0 && self.is_over(1) {
                let why = "a look at the process has cost its share: it is searched at a later one";
                return Err(Missing::new(MissingKind::Refused, why));
            }
            self.probes.lock().used.resolved += 1;
            let mounts = self.mounts(buf);
            let (file, asked) = image::open(self.process, part, mounts, &self.probes.file_systems)?;
            // The search waits for the process, too.
            drop(asked);
            let image = Image { file, elf, mapped: mapped.clone() };
            candidate.probe.resolve(&image, &Space::new(self.memory()?, Bounds::RESOLVE))
        };
        let read = |layout: &dyn Layout| {
            let space = Space::new(self.memory()?, Bounds::COUNTERS);
            read(layout, mapped, &AtomicU64::new(0), &space, Detail::Counters)
        };
        let client = Client { pid: self.process.pid(), find: &mut find, read: &read };
        candidate.layouts.of(users, round, client)
    }

    /// Whether the look has taken so many times the CPU time that it may.
    fn is_over(&self, times: u32) -> bool {
        let bound = self.share.cpu.saturating_mul(times);
        bound < Duration::MAX && thread_cpu().saturating_sub(self.began) > bound
    }

    fn memory(&self) -> Fact<&Live> {
        self.memory.get_or_init(|| Live::open(self.process)).as_ref().map_err(Clone::clone)
    }

    fn mounts(&self, buf: &mut Buf) -> &Mounts {
        let read = || self.probes.mounts(self.namespace, self.process, self.share.mounts, buf);
        self.mounts.get_or_init(read)
    }
}
