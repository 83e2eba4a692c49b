//! `/proc/PID/smaps`: proc_pid_smaps(5), `show_smap` in fs/proc/task_mmu.c, 4.14
//! and later.

mod figures;
mod named;

use memgap_ledger::sample::{Area, AreaKind, Named};
use memgap_ledger::{Fact, Missing, MissingKind};

use super::Parsed;
use super::maps::{self, Device, Mapping};
use super::mountinfo;
use crate::file::Buf;
use crate::kind;
use crate::process::Process;

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
    /// Mappings whose names are kept: those that hold most.
    pub names: usize,
}

impl Bounds {
    /// Sixteen times as many mappings as `vm.max_map_count` usually allows; the names of
    /// as many as most programs have at all.
    pub const WIDE: Self = Self { areas: 1 << 20, names: 1 << 14 };
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
    let tmpfs = tmpfs(process, buf);
    read(process, &tmpfs, bounds, buf)
}

/// As [`walk`], where the devices of its tmpfs mounts are known.
pub fn read(process: &Process, tmpfs: &[Device], bounds: Bounds, buf: &mut Buf) -> Fact<Walked> {
    let mut walk = Areas::new(tmpfs, bounds);
    let lines = process.lines(NAME, LIMIT, buf, |line| walk.take(line));
    let most = bounds.areas;
    if lines.is_err() && walk.done.len() == most {
        let why = format!("process {} has more than {most} mappings", process.pid());
        return Err(Missing::new(MissingKind::Refused, why));
    }
    lines?;
    walk.finish().map_err(|what| process.malformed(NAME, what))
}

/// What the text tells.
pub fn parse(text: &[u8], tmpfs: &[Device]) -> Parsed<Walked> {
    let mut walk = Areas::new(tmpfs, Bounds::WIDE);
    for line in text.split_inclusive(|b| *b == b'\n') {
        walk.take(line.strip_suffix(b"\n").ok_or("the last line is cut short")?)?;
    }
    walk.finish()
}

/// The devices of the tmpfs mounts that a process sees: files on them are shared
/// memory. Its own mounts, for a container has others than we.
fn tmpfs(process: &Process, buf: &mut Buf) -> Vec<Device> {
    let Ok(text) = process.read(mountinfo::NAME, mountinfo::LIMIT, buf) else { return Vec::new() };
    let mounts = mountinfo::parse(text);
    mounts.iter().filter(|m| *m.fs_type == *b"tmpfs").map(|m| m.device).collect()
}

/// The walk as it is read, line by line.
struct Areas<'d> {
    tmpfs: &'d [Device],
    most: usize,
    /// The device of the kernel's own tmpfs, once a name has shown it.
    internal: Option<Device>,
    /// Files on devices without hardware, which may be the kernel's own tmpfs.
    unsure: Vec<(usize, Device)>,
    done: Vec<Area>,
    named: Largest,
    /// The first line of the entry that is read, to be used again.
    line: Vec<u8>,
    /// The entry that is read, until its `VmFlags` ends it.
    open: Option<Figures>,
}

impl<'d> Areas<'d> {
    fn new(tmpfs: &'d [Device], bounds: Bounds) -> Self {
        Self {
            tmpfs,
            most: bounds.areas,
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
        let mapping = maps::mapping(&self.line)?;
        if mapping.name == b"[vsyscall]" {
            return Ok(());
        }
        if self.done.len() == self.most {
            return Err("there are more mappings than may be read");
        }
        if kind::is_internal_shmem(mapping.name) {
            self.internal = Some(mapping.device);
        }
        let area = area(&mapping, figures, self.tmpfs, flags);
        if area.kind == AreaKind::File && mapping.device.0 == 0 {
            self.unsure.push((self.done.len(), mapping.device));
        }
        let held = area.rss.saturating_add(area.swap).saturating_add(area.hugetlb);
        self.named.keep(self.done.len(), held, &mapping);
        self.done.push(area);
        Ok(())
    }

    fn finish(mut self) -> Parsed<Walked> {
        if self.open.is_some() {
            return Err("the last mapping is cut short");
        }
        for (at, device) in self.unsure {
            if Some(device) == self.internal {
                self.done[at].kind = AreaKind::Shmem;
            }
        }
        Ok(Walked { areas: self.done, named: self.named.finish() })
    }
}

fn area(mapping: &Mapping<'_>, figures: Figures, tmpfs: &[Device], flags: &[u8]) -> Area {
    let (kind, special) = kind::of_mapping(mapping, tmpfs);
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
        lazy_free: figures.lazy_free,
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
        let bounds = Bounds { areas: 1, names: 1 };
        let lack = walk(&own, bounds, &mut Buf::default()).expect_err("a program has more");
        assert_eq!(lack.kind, MissingKind::Refused);
        assert!(lack.why.contains("more than 1 mappings"), "{lack}");
    }
}
