//! A process under each probe: a file that it maps, mappings, and what of their pages is in
//! memory. A probe answers or refuses within its bounds, and a ledger of what it claims closes.
#![no_main]

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use memgap_fuzz::{choose, laws};
use memgap_kernel::memory::{self, Bounds, Memory, Space};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::sample::{Area, AreaKind, Counters, Walk};
use memgap_ledger::{Fact, Missing};
use memgap_probes::elf::Elf;
use memgap_probes::{Detail, Image, Layout, Mapped, PROBES, Probe, RULES, add};
use rustix::fs::{MemfdFlags, memfd_create};

/// By which probes take a file for theirs.
const NAMES: [&str; 8] = [
    "/usr/lib/jvm/lib/server/libjvm.so",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/ld-musl-x86_64.so.1",
    "/usr/lib/libpython3.11.so.1.0",
    "/usr/lib/libjemalloc.so.2",
    "/usr/lib/libmimalloc.so.2.0",
    "/usr/bin/node",
    "/usr/bin/app",
];

/// Where mappings lie: the file's first, whose bias that is; the last one as high as a program
/// can have any. What is mapped is the kernel's word, not the program's.
const PLACES: [u64; 6] = [
    0x5550_0000,
    0x5600_0000,
    0x7f00_0000_0000,
    0x7f00_0040_0000,
    0xc0_0000_0000,
    (1 << 56) - (8 << 20),
];

/// The most that one maps.
const LONGEST: u64 = 4 << 20;

const PAGE: u64 = 4096;

#[derive(Debug, Arbitrary)]
struct Mapping {
    place: u8,
    pages: u16,
    /// Of its pages: how many of the first are in memory.
    resident: u16,
    is_executable: bool,
    is_anonymous: bool,
    /// What stands in it: word by word from a page's place on.
    runs: Vec<Run>,
}

#[derive(Debug, Arbitrary)]
struct Run {
    at: u16,
    words: Vec<Word>,
}

#[derive(Debug, Arbitrary)]
enum Word {
    Any(u64),
    Small(u16),
    /// A pointer into a mapping.
    Pointer(u8, u32),
}

/// A mapping as it is.
#[derive(Debug)]
struct Part {
    start: u64,
    end: u64,
    resident: u64,
    is_executable: bool,
    is_anonymous: bool,
    bytes: Vec<u8>,
}

/// The process, and what was read of it.
struct Process {
    parts: Vec<Part>,
    bytes: Cell<u64>,
    calls: Cell<u64>,
}

fn place(number: u8) -> u64 {
    PLACES[usize::from(number) % PLACES.len()]
}

impl Part {
    fn of(mapping: &Mapping) -> Self {
        let start = place(mapping.place);
        let size = (u64::from(mapping.pages) * PAGE).clamp(PAGE, LONGEST);
        let end = start.saturating_add(size) & !(PAGE - 1);
        let mut bytes = Vec::new();
        for run in mapping.runs.iter().take(64) {
            let from = usize::from(run.at) * 8;
            for (word, at) in run.words.iter().zip((from..).step_by(8)) {
                if bytes.len() < at + 8 {
                    bytes.resize(at + 8, 0);
                }
                let word = match *word {
                    Word::Any(word) => word,
                    Word::Small(word) => u64::from(word),
                    Word::Pointer(to, offset) => place(to).wrapping_add(u64::from(offset)),
                };
                bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
        }
        Self {
            start,
            end,
            resident: start.saturating_add(u64::from(mapping.resident) * PAGE).min(end),
            is_executable: mapping.is_executable,
            is_anonymous: mapping.is_anonymous,
            bytes,
        }
    }

    /// As a walk over it would show it.
    fn area(&self) -> Area {
        let (rss, kind) = (self.resident - self.start, AreaKind::Anonymous);
        let kind = if self.is_anonymous { kind } else { AreaKind::File };
        let anonymous = if self.is_anonymous { rss } else { 0 };
        Area {
            start: self.start,
            end: self.end,
            kind,
            accessible: true,
            writable: true,
            executable: self.is_executable,
            shared: false,
            special: None,
            rss,
            pss: rss,
            private: rss,
            anonymous,
            lazy_free: 0,
            swap: 0,
            locked: 0,
            hugetlb: 0,
            merged: None,
            huge: None,
        }
    }
}

impl Memory for Process {
    fn read(&self, address: u64, into: &mut [u8]) -> Fact<()> {
        self.calls.set(self.calls.get() + 1);
        self.bytes.set(self.bytes.get() + into.len() as u64);
        let lack = || Missing::absent(format!("nothing at {address:#x}"));
        let end = address.checked_add(into.len() as u64).ok_or_else(lack)?;
        let is_it = |part: &&Part| part.start <= address && end <= part.resident;
        let part = self.parts.iter().find(is_it).ok_or_else(lack)?;
        let at = usize::try_from(address - part.start).unwrap_or(usize::MAX);
        let there = part.bytes.get(at..).unwrap_or_default();
        let len = there.len().min(into.len());
        into.fill(0);
        into[..len].copy_from_slice(&there[..len]);
        Ok(())
    }

    fn resident(&self, start: u64, end: u64, limit: usize) -> Fact<Ranges> {
        self.calls.set(self.calls.get() + 1);
        let within = |part: &Part| (start.max(part.start), end.min(part.resident));
        let ranges = self.parts.iter().map(within).filter(|(from, to)| from < to);
        Ok(ranges.take(limit).collect())
    }

    fn areas(&self, _: usize) -> Fact<Vec<memory::Area>> {
        let area = |part: &Part| memory::Area {
            start: part.start,
            end: part.end,
            is_writable: true,
            is_executable: part.is_executable,
            is_anonymous: part.is_anonymous,
        };
        Ok(self.parts.iter().map(area).collect())
    }
}

// The number of a name, the length of a file in two bytes, the file, and mappings.
fuzz_target!(|input: &[u8]| {
    let Some((which, rest)) = choose(input, NAMES.len()) else { return };
    let Some((length, rest)) = rest.split_first_chunk() else { return };
    let length = usize::from(u16::from_le_bytes(*length));
    let Some((content, rest)) = rest.split_at_checked(length) else { return };
    let Ok(mappings) = Vec::<Mapping>::arbitrary_take_rest(Unstructured::new(rest)) else { return };
    let mut parts: Vec<Part> = mappings.iter().take(8).map(Part::of).collect();
    parts.sort_by_key(|part| part.start);
    parts.dedup_by_key(|part| part.start);
    let overlaps = parts.windows(2).any(|pair| pair[0].end > pair[1].start);
    if overlaps {
        return;
    }
    let process = Process { parts, bytes: Cell::new(0), calls: Cell::new(0) };
    let Some(file) = file(content) else { return };
    let Ok(elf) = Elf::read(&file) else { return };
    let path = NAMES[which];
    let is_tried =
        |probe: &&&dyn Probe| by_registry(**probe) || probe.detect(&elf, path.as_bytes(), &file);
    for probe in PROBES.iter().filter(is_tried) {
        let Ok(file) = file.try_clone() else { return };
        let mapped = Mapped { path: path.to_owned(), bias: PLACES[0] };
        let image = Image { file, elf: &elf, mapped: mapped.clone() };
        let found = within(&process, Bounds::RESOLVE, |space| probe.resolve(&image, space));
        let layout = found.or_else(|why| probe.unresolved(&why).ok_or(why));
        let Ok(layout) = layout else { continue };
        let layout = Arc::clone(&layout).of_process().unwrap_or(layout);
        look(&*layout, &mapped, &process);
    }
});

/// Whether a text in a file may be what tells it: such a probe has to stand any file.
fn by_registry(probe: &dyn Probe) -> bool {
    RULES.iter().any(|rule| rule.is_tried && rule.name == probe.name())
}

fn look(layout: &dyn Layout, mapped: &Mapped, process: &Process) {
    for (detail, bounds) in [(Detail::Counters, Bounds::COUNTERS), (Detail::Pages, Bounds::PAGES)] {
        let read = within(process, bounds, |space| layout.read(mapped, space, detail));
        let Ok(statistics) = read else { continue };
        let areas: Vec<Area> = process.parts.iter().map(Part::area).collect();
        let sum = |of: fn(&Area) -> u64| areas.iter().map(of).sum();
        let counters = Counters {
            vsz: sum(Area::size),
            rss: sum(|area| area.rss),
            anon: sum(|area| area.anonymous),
            ..Counters::default()
        };
        let walk = Walk { areas: areas.into(), ..Walk::default() };
        let mut sample = laws::process_sample(walk, counters);
        add(&mut sample, &[Ok(statistics)], Duration::ZERO);
        laws::process(&sample);
    }
}

/// What a look at the process comes to, which keeps its bounds.
fn within<T>(process: &Process, bounds: Bounds, look: impl Fn(&Space<'_>) -> T) -> T {
    process.bytes.set(0);
    process.calls.set(0);
    let answer = look(&Space::new(process, bounds));
    assert!(process.bytes.get() <= bounds.bytes, "{} bytes", process.bytes.get());
    assert!(process.calls.get() <= bounds.calls, "{} readings", process.calls.get());
    answer
}

fn file(content: &[u8]) -> Option<File> {
    let mut file = File::from(memfd_create("fuzz", MemfdFlags::CLOEXEC).ok()?);
    file.write_all(content).ok()?;
    Some(file)
}
