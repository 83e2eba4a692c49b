//! Foreign memory, read without harm: residency is asked first, and only what is
//! resident is read.

use std::cell::Cell;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use memgap_ledger::{Fact, Missing, MissingKind};
use rustix::io::Errno;

use crate::cpu::thread_cpu;
use crate::file::{Buf, Dir, missing};
use crate::process::{Process, gone};
use crate::published;
use crate::source::pagemap::{self, PageState, Ranges};
use crate::source::{maps, statm};

/// Bytes of the smallest page of a machine.
pub const PAGE: usize = 4096;

/// A page: its address, and what stands there.
pub type Page = (u64, [u8; PAGE]);

/// Memory that can be looked into: a live process's, or a captured image.
pub trait Memory {
    /// Fills `into` from `address` on. Memory that is not resident is not read:
    /// that is an error, and so is an address where nothing is.
    fn read(&self, address: u64, into: &mut [u8]) -> Fact<()>;

    /// As `read`, of anonymous memory: a page that was never written reads as zeros.
    /// One that is swapped out is an error still.
    fn read_sparse(&self, address: u64, into: &mut [u8]) -> Fact<()> {
        self.read(address, into)
    }

    /// Those of some pages of [`PAGE`] bytes, in order of address, that are resident.
    fn pages(&self, places: &[u64]) -> Fact<Vec<Page>> {
        let page = |at: &u64| {
            let mut bytes = [0; PAGE];
            self.read(*at, &mut bytes).ok().map(|()| (*at, bytes))
        };
        Ok(places.iter().filter_map(page).collect())
    }

    /// The parts of `start..end` that are resident, in order: at most `limit`.
    fn resident(&self, start: u64, end: u64, limit: usize) -> Fact<Ranges>;

    /// What is mapped, in address order, by a text of at most `limit` bytes.
    fn areas(&self, limit: usize) -> Fact<Vec<Area>>;

    /// Bytes of address space that are mapped.
    fn mapped(&self) -> Fact<u64> {
        let areas = self.areas(maps::LIMIT)?;
        Ok(areas.iter().fold(0, |sum, area| sum.saturating_add(area.end - area.start)))
    }

    /// The file that the program publishes and maps by a name of that kind, of at most
    /// `limit` bytes. An image has none.
    fn published(&self, _: &dyn Fn(&[u8]) -> bool, _limit: usize) -> Fact<Vec<u8>> {
        Err(Missing::absent("no files are with it"))
    }
}

/// A mapping, by what a probe asks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// Whether the program may write there.
    pub is_writable: bool,
    /// Whether the program may run what is there.
    pub is_executable: bool,
    /// Whether it is private and no file lies behind it.
    pub is_anonymous: bool,
}

/// The memory of a live process, by handles that never come to mean another one.
#[derive(Debug)]
pub struct Live {
    pid: u32,
    dir: Dir,
    /// Denied to some who may read what the process maps, and its files.
    mem: Fact<File>,
    pagemap: Fact<File>,
}

impl Live {
    /// Files that it keeps open.
    pub const HANDLES: usize = 3;

    /// Opens the memory of a process for reading. Where that is denied, each reading
    /// says so.
    pub fn open(process: &Process) -> Fact<Self> {
        let (mem, pagemap) = (process.file("mem"), process.file(pagemap::NAME));
        Ok(Self { pid: process.pid(), dir: process.dir()?, mem, pagemap })
    }

    fn mem(&self) -> Fact<&File> {
        self.mem.as_ref().map_err(Clone::clone)
    }

    fn pagemap(&self) -> Fact<&File> {
        self.pagemap.as_ref().map_err(Clone::clone)
    }

    fn missing(&self, address: u64, error: &std::io::Error) -> Missing {
        let pid = self.pid;
        match Errno::from_io_error(error) {
            Some(Errno::SRCH) => gone(pid),
            Some(Errno::ACCESS | Errno::PERM) => Missing::new(
                MissingKind::Denied,
                format!(
                    "memory of process {pid} may not be read: run as root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
                ),
            ),
            _ => Missing::new(
                MissingKind::Malformed,
                format!("process {pid} has no memory at {address:#x}: {error}"),
            ),
        }
    }
}

impl Memory for Live {
    fn read(&self, address: u64, into: &mut [u8]) -> Fact<()> {
        let end = address.checked_add(into.len() as u64).ok_or_else(|| beyond(address))?;
        let asked = pagemap::is_resident(self.pagemap()?, address, end);
        if !asked.map_err(|e| self.missing(address, &e))? {
            return Err(not_resident(address));
        }
        self.mem()?.read_exact_at(into, address).map_err(|e| self.missing(address, &e))
    }

    fn read_sparse(&self, address: u64, into: &mut [u8]) -> Fact<()> {
        let end = address.checked_add(into.len() as u64).ok_or_else(|| beyond(address))?;
        let failed = |error: &std::io::Error| self.missing(address, error);
        let states = pagemap::states(self.pagemap()?, address, end).map_err(|e| failed(&e))?;
        let mut rest = into;
        for (from, to, state) in states {
            let len = usize::try_from(to - from).unwrap_or(usize::MAX).min(rest.len());
            let (part, after) = rest.split_at_mut(len);
            rest = after;
            match state {
                PageState::Resident => {
                    self.mem()?.read_exact_at(part, from).map_err(|e| failed(&e))?;
                }
                PageState::Untouched => part.fill(0),
                PageState::Swapped => return Err(not_resident(from)),
            }
        }
        Ok(())
    }

    fn pages(&self, places: &[u64]) -> Fact<Vec<Page>> {
        let first = places.first().copied().unwrap_or_default();
        let here = pagemap::are_resident(self.pagemap()?, places);
        let here = here.map_err(|e| self.missing(first, &e))?;
        let here = places.iter().zip(here).filter(|(_, is_here)| *is_here);
        let mut pages: Vec<Page> = here.map(|(at, _)| (*at, [0; PAGE])).collect();
        for (at, page) in &mut pages {
            self.mem()?.read_exact_at(page, *at).map_err(|e| self.missing(*at, &e))?;
        }
        Ok(pages)
    }

    fn resident(&self, start: u64, end: u64, limit: usize) -> Fact<Ranges> {
        let mut ranges = Ranges::new();
        match pagemap::resident(self.pagemap()?, (start, end), limit, &mut ranges) {
            Ok(()) => Ok(ranges),
            Err(error) => Err(self.missing(start, &error)),
        }
    }

    fn areas(&self, limit: usize) -> Fact<Vec<Area>> {
        let mut areas = Vec::new();
        maps::read_in(&self.dir, limit, &mut Buf::default(), |m| {
            areas.push(Area {
                start: m.start,
                end: m.end,
                is_writable: m.access[1] == b'w',
                is_executable: m.access[2] == b'x',
                is_anonymous: m.inode == 0 && m.access[3] == b'p',
            });
            ControlFlow::Continue(())
        })?;
        Ok(areas)
    }

    fn mapped(&self) -> Fact<u64> {
        let file = self.dir.file(statm::NAME)?;
        let counters = statm::read_again(&file, rustix::param::page_size() as u64);
        let path = self.dir.path().join(statm::NAME);
        Ok(counters.map_err(|e| missing(&path, &e))?.vsz)
    }

    fn published(&self, is_it: &dyn Fn(&[u8]) -> bool, limit: usize) -> Fact<Vec<u8>> {
        published::read(&self.dir, is_it, limit)
    }
}

/// What one look into a process may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes that are read.
    pub bytes: u64,
    /// Readings, whatever their size.
    pub calls: u64,
    /// CPU time. By the clock it may take `PATIENCE` times as long, for other programs'
    /// turns and for locks of the target's.
    pub time: Duration,
}

impl Bounds {
    /// For counters, on every collection.
    pub const COUNTERS: Self =
        Self { bytes: 16 << 20, calls: 16_384, time: Duration::from_millis(200) };
    /// For finding a runtime's variables, once for each file.
    pub const RESOLVE: Self = Self { bytes: 64 << 20, calls: 16_384, time: Duration::from_secs(1) };
    /// For a look at every page's place in the heap statistics, when a person asks.
    pub const PAGES: Self = Self { bytes: 16 << 30, calls: 131_072, time: Duration::from_secs(10) };
}

/// An address space with what may still be spent on it. Everything that is read
/// of a process is asked for here.
pub struct Space<'m> {
    memory: &'m dyn Memory,
    bytes: Cell<u64>,
    calls: Cell<u64>,
    time: Duration,
    began: Instant,
    cpu: Duration,
}

const PATIENCE: u32 = 4;

/// Bytes of text that tell of one mapping at the least.
const AREA_TEXT: u64 = 50;

/// Bytes that are read at once: the kernel holds the target's `mmap_lock` for it.
pub const WINDOW: usize = 256 << 10;

impl<'m> Space<'m> {
    /// An address space to be read within bounds.
    pub fn new(memory: &'m dyn Memory, bounds: Bounds) -> Self {
        Self {
            memory,
            bytes: Cell::new(bounds.bytes),
            calls: Cell::new(bounds.calls),
            time: bounds.time,
            began: Instant::now(),
            cpu: thread_cpu(),
        }
    }

    /// Fills `into` from `address` on, in windows.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Fact<()> {
        self.windows(address, into, |at, window| self.memory.read(at, window))
    }

    /// As `read`, of anonymous memory: a page that was never written reads as zeros.
    pub fn read_sparse(&self, address: u64, into: &mut [u8]) -> Fact<()> {
        self.windows(address, into, |at, window| self.memory.read_sparse(at, window))
    }

    fn windows(
        &self,
        address: u64,
        into: &mut [u8],
        read: impl Fn(u64, &mut [u8]) -> Fact<()>,
    ) -> Fact<()> {
        let mut at = address;
        for window in into.chunks_mut(WINDOW) {
            self.spend(window.len() as u64)?;
            read(at, window)?;
            at = at.checked_add(window.len() as u64).ok_or_else(|| beyond(address))?;
        }
        Ok(())
    }

    /// Those of some pages, in order of address, that are resident.
    pub fn pages(&self, places: &[u64]) -> Fact<Vec<Page>> {
        self.spend((places.len() as u64).saturating_mul(PAGE as u64))?;
        self.memory.pages(places)
    }

    /// The words of `N` times eight bytes at an address, little endian.
    pub fn words<const N: usize>(&self, address: u64) -> Fact<[u64; N]> {
        let mut buf = [[0u8; 8]; N];
        self.read(address, buf.as_flattened_mut())?;
        Ok(buf.map(u64::from_le_bytes))
    }

    /// The resident parts of `start..end`. Before Linux 6.7 every page is asked for, so
    /// a long range is paid for part by part.
    pub fn resident(&self, start: u64, end: u64) -> Fact<Ranges> {
        const LIMIT: usize = 1 << 20;
        const PART: u64 = 4 << 30;
        let mut ranges = Ranges::new();
        let mut at = start;
        while at < end {
            self.spend(0)?;
            let to = end.min(at.saturating_add(PART));
            for (from, to) in self.memory.resident(at, to, LIMIT.saturating_sub(ranges.len()))? {
                match ranges.last_mut() {
                    Some(last) if from <= last.1 => last.1 = last.1.max(to),
                    _ => ranges.push((from, to)),
                }
            }
            at = to;
        }
        Ok(ranges)
    }

    /// What is mapped, in address order.
    pub fn areas(&self) -> Fact<Vec<Area>> {
        self.spend(0)?;
        // Half of what is left: the rest is for what is there.
        let half = usize::try_from(self.bytes.get() / 2).unwrap_or(usize::MAX);
        let areas = self.memory.areas(half.min(maps::LIMIT))?;
        self.spend(areas.len() as u64 * AREA_TEXT)?;
        Ok(areas)
    }

    /// Bytes of address space that are mapped.
    pub fn mapped(&self) -> Fact<u64> {
        self.memory.mapped()
    }

    /// Fills `into` from `address` on, within a window, and tells whether it is there
    /// to be read.
    pub fn read_if_resident(&self, address: u64, into: &mut [u8]) -> Fact<bool> {
        self.spend(into.len() as u64)?;
        match self.memory.read(address, into) {
            Ok(()) => Ok(true),
            Err(lack) if matches!(lack.kind, MissingKind::Gone | MissingKind::Denied) => Err(lack),
            Err(_) => Ok(false),
        }
    }

    /// The file that the program publishes and maps by a name of that kind, of at most
    /// `limit` bytes.
    pub fn published(&self, is_it: &dyn Fn(&[u8]) -> bool, limit: usize) -> Fact<Vec<u8>> {
        self.spend(0)?;
        self.memory.published(is_it, limit)
    }

    fn spend(&self, bytes: u64) -> Fact<()> {
        let left = (self.bytes.get().checked_sub(bytes), self.calls.get().checked_sub(1));
        let (Some(bytes), Some(calls)) = left else { return Err(over("readings")) };
        let passed = self.began.elapsed();
        // CPU time takes a call of the kernel: it is asked where it may matter.
        let is_late = || thread_cpu().saturating_sub(self.cpu) > self.time;
        if passed > self.time && (passed > self.time * PATIENCE || is_late()) {
            return Err(over("time"));
        }
        self.bytes.set(bytes);
        self.calls.set(calls);
        Ok(())
    }
}

fn over(what: &str) -> Missing {
    Missing::new(MissingKind::Refused, format!("a probe's bound of {what} is reached"))
}

fn beyond(address: u64) -> Missing {
    Missing::new(MissingKind::Malformed, format!("{address:#x} leads out of the address space"))
}

fn not_resident(address: u64) -> Missing {
    let why =
        format!("memory at {address:#x} is not resident: reading it would disturb the program");
    Missing::new(MissingKind::Refused, why)
}

/// The little-endian word at an offset of a buffer.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// The little-endian half word at an offset of a buffer.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// The little-endian quarter word at an offset of a buffer.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}
