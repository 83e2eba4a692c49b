//! `/proc/zoneinfo`: the free pages that processors keep on lists of their own.

use std::thread::available_parallelism;

use memgap_ledger::Fact;

use crate::file::{Buf, Dir, malformed};
use crate::text;

/// Name of the file below the procfs root.
pub const NAME: &str = "zoneinfo";

/// Room for thousands of processors in a dozen zones.
const LIMIT: usize = 16 << 20;

/// The per-CPU page lists of all zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pagesets {
    /// Bytes of free pages on the lists; `MemFree` leaves them out.
    pub free: u64,
    /// Processors that have such lists: those online.
    pub cpus: u32,
}

/// Reads the file below a procfs root.
pub fn read(proc: &Dir, page_size: u64, buf: &mut Buf) -> Fact<Pagesets> {
    let text = proc.read(NAME, LIMIT, buf)?;
    parse(text, page_size).ok_or_else(|| {
        malformed(&proc.path().join(NAME), "a `cpu` without its `count`, or no `cpu` at all")
    })
}

/// Sums the `count` of every `cpu` of every zone; `None` where a `cpu` lacks its
/// Processors that are online in the machine whose procfs root is given.
pub fn cpus(proc: &Dir, buf: &mut Buf) -> u32 {
    online(&read(proc, rustix::param::page_size() as u64, buf))
}

/// `zoneinfo` lists the processors online, works below any procfs root (unlike
/// affinity masks, which are of the reader) and is read for its pages anyway.
/// Without it the processors that we may run on are the best guess.
pub fn online(pagesets: &Fact<Pagesets>) -> u32 {
    match pagesets {
        Ok(pagesets) => pagesets.cpus,
        Err(_) => available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
    }
}

/// `count`, a number is none, or no zone lists a processor.
pub fn parse(text: &[u8], page_size: u64) -> Option<Pagesets> {
    let mut pages = 0u64;
    let mut cpus = 0;
    let mut zone_cpus = 0;
    let mut awaits_count = false;
    for line in text.strip_suffix(b"\n")?.split(|b| *b == b'\n') {
        if line.starts_with(b"Node ") {
            zone_cpus = 0;
        }
        match text::key_value(line.trim_ascii_start()) {
            Some((b"cpu", _)) if awaits_count => return None,
            Some((b"cpu", _)) => awaits_count = true,
            Some((b"count", _)) if !awaits_count => return None,
            Some((b"count", count)) => {
                awaits_count = false;
                zone_cpus += 1;
                cpus = cpus.max(zone_cpus);
                pages = pages.checked_add(text::decimal(count)?)?;
            }
            _ => {}
        }
    }
    if awaits_count || cpus == 0 {
        return None;
    }
    Some(Pagesets { free: pages.checked_mul(page_size)?, cpus })
}
