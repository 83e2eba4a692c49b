//! `/proc/PID/smaps`: proc_pid_smaps(5), `show_smap` in fs/proc/task_mmu.c, 4.14
//! and later.

mod figures;
mod named;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use memgap_ledger::sample::{Area, AreaKind, Named};
use memgap_ledger::{Fact, Missing, MissingKind};

use super::Parsed;
use super::maps::{self, Device, Mapping};
use super::mountinfo;
use crate::cpu::thread_cpu;
use crate::file::Buf;
use crate::kind;
use crate::process::Process;
use crate::text;
use crate::turns::Part;

pub use figures::Figures;
use named::Largest;

/// Name of the file below a process's directory.
pub const NAME: &str = "smaps";

/// The text of a walk: about 700 bytes an area.
const LIMIT: usize = 256 << 20;

/// How much of a walk is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// A process of more mappings is refused.
    pub areas: usize,
    /// One whose walk takes more CPU time too; it is asked between mappings.
    pub cpu: Duration,
    /// Bytes that are read of the mounts that it sees, where it maps files that may be on
    /// a tmpfs. It is refused where they do not tell.
    pub mounts: usize,
    /// Mappings whose names are kept: those that hold most.
    pub names: usize,
    /// How much is asked for at once.
    pub part: Part,
}

impl Bounds {
    /// Sixteen times as many mappings as `vm.max_map_count` usually allows; the names of
    /// as many as most programs have at all.
    pub const WIDE: Self = Self {
        areas: 1 << 20,
        cpu: Duration::MAX,
        mounts: mountinfo::LIMIT,
        names: 1 << 14,
        part: Part::One,
    };
}

/// What a walk meets.
#[derive(Debug, Default)]
pub struct Walked {
    /// The mappings in address order, without vsyscall.
    pub areas: Vec<Area>,
    /// Names of those that hold most.
    pub named: Vec<Named>,
}

/// Walks the mappings of a process.
pub fn walk(process: &Process, bounds: Bounds, buf: &mut Buf) -> Fact<Walked> {
    let walk = all(process, bounds, buf)?;
    let tmpfs = tmpfs(process, walk.unsure(), bounds.mounts, buf)?;
    Ok(walk.finish(&tmpfs))
}

/// As [`walk`], where the devices of its tmpfs mounts are known.
pub fn read(process: &Process, tmpfs: &[Device], bounds: Bounds, buf: &mut Buf) -> Fact<Walked> {
    Ok(all(process, bounds, buf)?.finish(tmpfs))
}

/// What the text tells.
pub fn parse(text: &[u8], tmpfs: &[Device]) -> Parsed<Walked> {
    let mut walk = Areas::new(Bounds::WIDE);
    for line in text.split_inclusive(|b| *b == b'\n') {
        walk.take(line.strip_suffix(b"\n").ok_or("the last line is cut short")?)?;
    }
    walk.whole()?;
    Ok(walk.finish(tmpfs))
}

/// All mappings of a process.
fn all(process: &Process, bounds: Bounds, buf: &mut Buf) -> Fact<Areas> {
    let mut walk = Areas::new(bounds);
    let lines = process.lines_by(bounds.part, NAME, LIMIT, buf, |line| walk.take(line));
    if let (Err(_), Some(over)) = (&lines, walk.over) {
        let why = format!("a walk over process {} was ended: {over}", process.pid());
        return Err(Missing::new(MissingKind::Refused, why));
    }
    lines?;
    walk.whole().map_err(|what| process.malformed(NAME, what))?;
    Ok(walk)
}

/// Those of some devices that are a tmpfs, by the mounts that a process sees: files on
/// them are shared memory. Its own mounts, for a container has others than we.
fn tmpfs(
    process: &Process,
    mut wanted: BTreeSet<Device>,
    limit: usize,
    buf: &mut Buf,
) -> Fact<Vec<Device>> {
    let mut found = Vec::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let read = process.lines_until(mountinfo::NAME, limit, buf, |line| {
        if let Some(mount) = mountinfo::mount(line)
            && wanted.remove(&mount.device)
            && *mount.fs_type == *b"tmpfs"
        {
            found.push(mount.device);
        }
        Ok(if wanted.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    match read {
        Err(lack) if matches!(lack.kind, MissingKind::Gone | MissingKind::Refused) => Err(lack),
        // One that maps a file of another namespace has no mount of it.
        _ => Ok(found),
    }
}

/// The walk as it is read, line by line.
struct Areas {
    most: usize,
    cpu: Duration,
    began: Duration,
    /// The bound that ended it.
    over: Option<&'static str>,
    /// The device of the kernel's own tmpfs, once a name has shown it.
    internal: Option<Device>,
    /// Files on devices without hardware, which may be a tmpfs, and their flags.
    unsure: Vec<Unsure>,
    done: Vec<Area>,
    named: Largest,
    /// The first line of the entry that is read, to be used again.
    line: Vec<u8>,
    /// The entry that is read, until its `VmFlags` ends it.
    open: Option<Figures>,
}

/// A mapped file that may be on a tmpfs.
struct Unsure {
    area: usize,
    device: Device,
    /// What it is where it is on one.
    there: AreaKind,
}

/// Mappings between two looks at the clock.
const TICK: usize = 64;

impl Areas {
    fn new(bounds: Bounds) -> Self {
        Self {
            most: bounds.areas,
            cpu: bounds.cpu,
            began: thread_cpu(),
            over: None,
            internal: None,
            unsure: Vec::new(),
            done: Vec::new(),
            named: Largest::of(bounds.names),
            line: Vec::new(),
            open: None,
        }
    }

    fn take(&mut self, line: &[u8]) -> Parsed<()> {
        let Some(figures) = &mut self.open else {
            self.line.clear();
            self.line.extend_from_slice(line);
            self.open = Some(Figures::default());
            return Ok(());
        };
        match line.strip_prefix(b"VmFlags:") {
            None => figures.take(line),
            Some(flags) => self.end(flags),
        }
    }

    fn end(&mut self, flags: &[u8]) -> Parsed<()> {
        let Some(figures) = self.open.take() else { return Ok(()) };
        let figures = figures.whole()?;
        self.stay_within()?;
        let mapping = maps::mapping(&self.line)?;
        if mapping.name == b"[vsyscall]" {
            return Ok(());
        }
        if kind::is_internal_shmem(mapping.name) {
            self.internal = Some(mapping.device);
        }
        let area = area(&mapping, figures, flags);
        if area.kind == AreaKind::File && mapping.device.0 == 0 {
            let there = kind::with_flags(AreaKind::Shmem, flags);
            self.unsure.push(Unsure { area: self.done.len(), device: mapping.device, there });
        }
        let held = area.rss.saturating_add(area.swap).saturating_add(area.hugetlb);
        self.named.keep(self.done.len(), held, &mapping);
        self.done.push(area);
        Ok(())
    }

    fn stay_within(&mut self) -> Parsed<()> {
        let done = self.done.len();
        let is_late =
            || done.is_multiple_of(TICK) && thread_cpu().saturating_sub(self.began) > self.cpu;
        if done == self.most {
            self.over = Some("it has more mappings than may be read");
        } else if self.cpu < Duration::MAX && is_late() {
            self.over = Some("it took more CPU time than it may");
        }
        self.over.map_or(Ok(()), Err)
    }

    fn whole(&self) -> Parsed<()> {
        if self.open.is_some() { Err("the last mapping is cut short") } else { Ok(()) }
    }

    /// The devices that may be a tmpfs.
    fn unsure(&self) -> BTreeSet<Device> {
        let devices = self.unsure.iter().map(|one| one.device);
        devices.filter(|device| Some(*device) != self.internal).collect()
    }

    /// What was walked, where the devices of tmpfs mounts are known.
    fn finish(mut self, tmpfs: &[Device]) -> Walked {
        for Unsure { area, device, there } in self.unsure {
            if Some(device) == self.internal {
                self.done[area].kind = AreaKind::Shmem;
            } else if tmpfs.contains(&device) {
                self.done[area].kind = there;
            }
        }
        Walked { areas: self.done, named: self.named.finish() }
    }
}

fn area(mapping: &Mapping<'_>, figures: Figures, flags: &[u8]) -> Area {
    let (kind, special) = kind::of_mapping(mapping);
    // `MAP_DROPPABLE` (6.11): pages that the kernel drops, written since or not.
    let is_droppable = text::words(flags).any(|flag| flag == b"dp");
    Area {
        start: mapping.start,
        end: mapping.end,
        kind: kind::with_flags(kind, flags),
        accessible: mapping.access[..3] != *b"---",
        writable: mapping.access[1] == b'w',
        executable: mapping.access[2] == b'x',
        shared: mapping.access[3] == b's',
        special,
        rss: figures.rss,
        pss: figures.pss,
        anonymous: figures.anonymous,
        private: figures.private_clean.saturating_add(figures.private_dirty),
        lazy_free: if is_droppable { figures.anonymous } else { figures.lazy_free },
        swap: figures.swap,
        locked: figures.locked,
        hugetlb: figures.shared_hugetlb.saturating_add(figures.private_hugetlb),
        merged: figures.ksm,
        huge: figures.huge(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_walk_over_too_many_mappings_is_refused() {
        let own = Process::open(Path::new("/proc"), std::process::id()).expect("we run");
        let ended = |bounds| {
            let lack = walk(&own, bounds, &mut Buf::default()).map(|_| ()).expect_err("over");
            assert_eq!(lack.kind, MissingKind::Refused);
            lack.why
        };
        let few = ended(Bounds { areas: 1, ..Bounds::WIDE });
        assert!(few.contains("more mappings"), "{few}");
        let brief = ended(Bounds { cpu: Duration::ZERO, ..Bounds::WIDE });
        assert!(brief.contains("more CPU time"), "{brief}");
    }
}
