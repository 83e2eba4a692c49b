//! `/proc/PID/smaps`: proc_pid_smaps(5), `show_smap` in fs/proc/task_mmu.c, 4.14
//! and later.

use memgap_ledger::sample::{Area, AreaKind};
use memgap_ledger::{Fact, Missing, MissingKind};

use super::Parsed;
use super::maps::{self, Device, Mapping};
use super::mountinfo;
use crate::file::Buf;
use crate::kind;
use crate::process::Process;
use crate::text;

/// Name of the file below a process's directory.
pub const NAME: &str = "smaps";

/// What one walk may take: sixteen times the usual `vm.max_map_count`.
pub const MAX_AREAS: usize = 1 << 20;
/// And its text: about 700 bytes an area.
const LIMIT: usize = 256 << 20;

/// Walks the mappings of a process, refused where there are more than `most`.
pub fn walk(process: &Process, most: usize, buf: &mut Buf) -> Fact<Vec<Area>> {
    let tmpfs = tmpfs(process, buf);
    read(process, &tmpfs, most, buf)
}

/// As [`walk`], where the devices of its tmpfs mounts are known.
pub fn read(process: &Process, tmpfs: &[Device], most: usize, buf: &mut Buf) -> Fact<Vec<Area>> {
    let mut walk = Areas::new(tmpfs, most);
    let lines = process.lines(NAME, LIMIT, buf, |line| walk.take(line));
    if lines.is_err() && walk.done.len() == most {
        let why = format!("process {} has more than {most} mappings", process.pid());
        return Err(Missing::new(MissingKind::Refused, why));
    }
    lines?;
    walk.finish().map_err(|what| process.malformed(NAME, what))
}

/// The areas of the text in address order, without vsyscall.
pub fn parse(text: &[u8], tmpfs: &[Device]) -> Parsed<Vec<Area>> {
    let mut walk = Areas::new(tmpfs, MAX_AREAS);
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

/// The figures of one entry, in bytes, by the kernel's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the fields carry the kernel's names")]
pub struct Figures {
    pub rss: u64,
    pub pss: u64,
    pub private_clean: u64,
    pub private_dirty: u64,
    pub anonymous: u64,
    /// Since 4.12.
    pub lazy_free: u64,
    pub shared_hugetlb: u64,
    pub private_hugetlb: u64,
    pub swap: u64,
    pub locked: u64,
    seen: u16,
}

/// A bit for each of the figures.
const ALL: u16 = (1 << 10) - 1;

impl Figures {
    /// Takes in a line `Rss:     8 kB`; names that it does not know are left out.
    pub fn take(&mut self, line: &[u8]) -> Parsed<()> {
        let (key, value) = text::key_value(line).ok_or("a line has no name")?;
        let (field, bit) = match key {
            b"Rss" => (&mut self.rss, 0),
            b"Pss" => (&mut self.pss, 1),
            b"Private_Clean" => (&mut self.private_clean, 2),
            b"Private_Dirty" => (&mut self.private_dirty, 3),
            b"Anonymous" => (&mut self.anonymous, 4),
            b"LazyFree" => (&mut self.lazy_free, 5),
            b"Shared_Hugetlb" => (&mut self.shared_hugetlb, 6),
            b"Private_Hugetlb" => (&mut self.private_hugetlb, 7),
            b"Swap" => (&mut self.swap, 8),
            b"Locked" => (&mut self.locked, 9),
            _ => return Ok(()),
        };
        *field = text::kilobytes(value).ok_or("a figure is not a number of kB")?;
        if self.seen & 1 << bit != 0 {
            return Err("a figure stands twice in one mapping");
        }
        self.seen |= 1 << bit;
        Ok(())
    }

    /// The figures, if all of them were there: a lack is not 0.
    pub fn whole(self) -> Parsed<Self> {
        if self.seen == ALL { Ok(self) } else { Err("a mapping lacks a figure") }
    }
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
    /// The entry that is read, until its `VmFlags` ends it.
    open: Option<Entry>,
}

struct Entry {
    area: Area,
    device: Device,
    is_vsyscall: bool,
    figures: Figures,
}

impl<'d> Areas<'d> {
    fn new(tmpfs: &'d [Device], most: usize) -> Self {
        Self { tmpfs, most, internal: None, unsure: Vec::new(), done: Vec::new(), open: None }
    }

    fn take(&mut self, line: &[u8]) -> Parsed<()> {
        let Some(entry) = &mut self.open else {
            let mapping = maps::mapping(line)?;
            self.open = Some(self.begin(&mapping));
            return Ok(());
        };
        match line.strip_prefix(b"VmFlags:") {
            None => entry.figures.take(line),
            Some(flags) => self.end(flags),
        }
    }

    fn begin(&mut self, mapping: &Mapping<'_>) -> Entry {
        if kind::is_internal_shmem(mapping.name) {
            self.internal = Some(mapping.device);
        }
        let area = Area {
            start: mapping.start,
            end: mapping.end,
            kind: kind::of_mapping(mapping, self.tmpfs),
            accessible: mapping.access[..3] != *b"---",
            writable: mapping.access[1] == b'w',
            ..Area::default()
        };
        let is_vsyscall = mapping.name == b"[vsyscall]";
        Entry { area, device: mapping.device, is_vsyscall, figures: Figures::default() }
    }

    fn end(&mut self, flags: &[u8]) -> Parsed<()> {
        let Some(entry) = self.open.take() else { return Ok(()) };
        let f = entry.figures.whole()?;
        if entry.is_vsyscall {
            return Ok(());
        }
        if self.done.len() == self.most {
            return Err("there are more mappings than may be read");
        }
        let kind = kind::with_flags(entry.area.kind, flags);
        if kind == AreaKind::File && entry.device.0 == 0 {
            self.unsure.push((self.done.len(), entry.device));
        }
        self.done.push(Area {
            kind,
            rss: f.rss,
            pss: f.pss,
            anonymous: f.anonymous,
            private: f.private_clean.saturating_add(f.private_dirty),
            lazy_free: f.lazy_free,
            swap: f.swap,
            locked: f.locked,
            hugetlb: f.shared_hugetlb.saturating_add(f.private_hugetlb),
            ..entry.area
        });
        Ok(())
    }

    fn finish(mut self) -> Parsed<Vec<Area>> {
        if self.open.is_some() {
            return Err("the last mapping is cut short");
        }
        for (at, device) in self.unsure {
            if Some(device) == self.internal {
                self.done[at].kind = AreaKind::Shmem;
            }
        }
        Ok(self.done)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_walk_over_too_many_mappings_is_refused() {
        let own = Process::open(Path::new("/proc"), std::process::id()).expect("we run");
        let lack = walk(&own, 1, &mut Buf::default()).expect_err("a program has more");
        assert_eq!(lack.kind, MissingKind::Refused);
        assert!(lack.why.contains("more than 1 mappings"), "{lack}");
    }
}
