//! `/proc/PID/pagemap`: Documentation/admin-guide/mm/pagemap.rst.
//!
//! It tells which pages are in memory without touching them, so it is asked
//! before a page of a process is read: reading one that is swapped out would
//! swap it in, and one that was never written would grow the page tables.

mod scan;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

/// Name of the file below a process's directory.
pub const NAME: &str = "pagemap";

/// One entry a page.
const ENTRY: u64 = 8;
/// Entries that are read at once: 32 MiB of pages of 4 KiB.
const WINDOW: u64 = 8192;
/// Bit 63 of an entry: the page is in memory.
const PRESENT: u64 = 1 << 63;
/// Bit 62 of an entry: the page is in the swap area.
const SWAPPED: u64 = 1 << 62;

/// Address ranges, `start..end`, in order and apart from one another.
pub type Ranges = Vec<(u64, u64)>;

/// The bytes of ranges that are apart from one another.
pub fn size(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().fold(0, |sum, (start, end)| sum.saturating_add(end.saturating_sub(*start)))
}

/// Whether this kernel tells what is in memory without an entry for each page
/// (`PAGEMAP_SCAN`).
pub fn is_scanned(file: &File) -> bool {
    scan::is_resident(file, 0, 0).is_ok()
}

/// Adds the parts of `start..end` that are in memory: at most `limit` ranges.
/// Pages that are no more than the kernel's zero page are left out, as in RSS;
/// before Linux 6.7 nothing tells them and they are in.
pub fn resident(
    file: &File,
    (start, end): (u64, u64),
    limit: usize,
    into: &mut Ranges,
) -> io::Result<()> {
    let page = rustix::param::page_size() as u64;
    let (start, end) = (start / page * page, end.div_ceil(page).saturating_mul(page));
    match scan::resident(file, start, end, limit, into) {
        Err(Errno::NOTTY | Errno::INVAL | Errno::NOSYS) => {}
        done => return done.map_err(Into::into),
    }
    let mut buf = vec![0; usize::try_from(ENTRY * WINDOW).unwrap_or_default()];
    let mut at = start / page;
    while at < end / page {
        let count = WINDOW.min(end / page - at);
        let part = &mut buf[..usize::try_from(ENTRY * count).unwrap_or_default()];
        let began = Instant::now();
        file.read_exact_at(part, at * ENTRY)?;
        let took = began.elapsed();
        for (entry, number) in part.chunks_exact(8).zip(at..) {
            if is_present(entry) {
                push(into, number * page, (number + 1) * page, limit)?;
            }
        }
        at += count;
        if at < end / page {
            give_way(took);
        }
    }
    Ok(())
}

/// Between two readings: has the target get its `mmap_lock` if the first was long. A
/// thread that waits to map memory is woken then, and finds the lock held again if the
/// next reading begins at once: for 4 ms, until the kernel sees to it
/// (kernel/locking/rwsem.c).
fn give_way(took: Duration) {
    const LONG: Duration = Duration::from_micros(20);
    // As long as it takes to wake up.
    const PAUSE: Duration = Duration::from_micros(20);
    if took > LONG {
        thread::sleep(PAUSE);
    }
}

/// Whether every page of `start..end` is in memory. For few pages.
pub fn is_resident(file: &File, start: u64, end: u64) -> io::Result<bool> {
    const SOME: u64 = 16;
    const FEW: usize = 64;
    let page = rustix::param::page_size() as u64;
    let (first, last) = (start / page, end.div_ceil(page));
    // For one page entries cost less, for 64 twice as much.
    if last - first > SOME {
        match scan::is_resident(file, first * page, last.saturating_mul(page)) {
            Err(Errno::NOTTY | Errno::INVAL | Errno::NOSYS) => {}
            done => return done.map_err(Into::into),
        }
    }
    let mut buf = [0; FEW * 8];
    let mut at = first;
    while at < last {
        let count = usize::try_from(last - at).map_or(FEW, |n| n.min(FEW));
        let part = &mut buf[..count * 8];
        file.read_exact_at(part, at * ENTRY)?;
        if !part.chunks_exact(8).all(is_present) {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

/// Where a page of anonymous memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageState {
    /// In memory.
    Resident,
    /// In the swap area.
    Swapped,
    /// Nowhere: it was never written, or was given back since.
    Untouched,
}

/// The parts of `start..end` by where their pages are. For few pages.
pub fn states(file: &File, start: u64, end: u64) -> io::Result<Vec<(u64, u64, PageState)>> {
    let page = rustix::param::page_size() as u64;
    let (first, last) = (start / page, end.div_ceil(page));
    let mut buf = vec![0; usize::try_from((last - first) * ENTRY).unwrap_or_default()];
    file.read_exact_at(&mut buf, first * ENTRY)?;
    let mut parts: Vec<(u64, u64, PageState)> = Vec::new();
    for (entry, number) in buf.as_chunks::<8>().0.iter().zip(first..) {
        let (from, to) = ((number * page).max(start), ((number + 1) * page).min(end));
        let state = match u64::from_ne_bytes(*entry) {
            entry if entry & PRESENT != 0 => PageState::Resident,
            entry if entry & SWAPPED != 0 => PageState::Swapped,
            _ => PageState::Untouched,
        };
        match parts.last_mut() {
            Some(last) if last.2 == state => last.1 = to,
            _ => parts.push((from, to, state)),
        }
    }
    Ok(parts)
}

/// Which of some addresses, in order, are in memory: asked at once where they lie
/// near one another.
pub fn are_resident(file: &File, places: &[u64]) -> io::Result<Vec<bool>> {
    const NEAR: usize = 32;
    let page = rustix::param::page_size() as u64;
    let mut buf = [0; NEAR * 8];
    let mut answers = Vec::with_capacity(places.len());
    while let Some(rest) = places.get(answers.len()..).filter(|rest| !rest.is_empty()) {
        let first = rest[0] / page;
        let entry = |at: &u64| usize::try_from((at / page).checked_sub(first)?).ok();
        let near = rest.iter().map_while(|at| entry(at).filter(|entry| *entry < NEAR));
        let entries: Vec<usize> = near.collect();
        let count = entries.iter().max().map_or(1, |last| last + 1);
        let part = &mut buf[..count * 8];
        file.read_exact_at(part, first * ENTRY)?;
        answers.extend(entries.iter().map(|entry| is_present(&part[entry * 8..][..8])));
    }
    Ok(answers)
}

fn is_present(entry: &[u8]) -> bool {
    entry.try_into().is_ok_and(|bytes| u64::from_ne_bytes(bytes) & PRESENT != 0)
}

/// Adds a range behind the others, to the last one where the two touch.
fn push(into: &mut Ranges, start: u64, end: u64, limit: usize) -> Result<(), Errno> {
    let is_full = into.len() >= limit;
    match into.last_mut() {
        Some(last) if last.1 == start => last.1 = end,
        _ if is_full => return Err(Errno::TOOBIG),
        _ => into.push((start, end)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's two ways must agree on our own memory.
    #[test]
    fn the_scan_and_the_entries_tell_the_same() {
        let page = rustix::param::page_size();
        let mut memory = vec![0u8; 8192 * page];
        // More than one call tells are among them.
        for touched in [3, 4, 5, 9, 40].into_iter().chain(600..6000) {
            memory[touched * page] = 1;
        }
        let file = File::open("/proc/self/pagemap").expect("procfs is mounted");
        let start = memory.as_ptr().addr() as u64;
        let end = start + memory.len() as u64;
        let mut ranges = Ranges::new();
        resident(&file, (start, end), 1000, &mut ranges).expect("our own");
        for number in start / page as u64..end / page as u64 {
            let at = number * page as u64;
            let listed = ranges.iter().any(|(from, to)| (*from..*to).contains(&at));
            assert_eq!(is_resident(&file, at, at + 1).expect("our own"), listed, "{at:x}");
        }
        let places: Vec<u64> = [0, 3, 4, 4, 9, 35, 40, 41].map(|n| start + n * page as u64).into();
        let here = are_resident(&file, &places).expect("our own");
        let listed =
            places.iter().map(|at| ranges.iter().any(|(from, to)| (from..to).contains(&at)));
        assert_eq!(here, listed.collect::<Vec<_>>());
    }

    #[test]
    fn a_range_is_in_memory_where_all_of_its_pages_are() {
        let page = rustix::param::page_size() as u64;
        // Over more than one table of pages.
        let memory = vec![1u8; 5 << 20];
        let file = File::open("/proc/self/pagemap").expect("procfs is mounted");
        let start = memory.as_ptr().addr() as u64;
        let end = start + memory.len() as u64;
        assert!(is_resident(&file, start, end).expect("our own"));
        // Nothing is mapped at the begin of an address space.
        assert!(!is_resident(&file, page, 3 * page).expect("our own"));
    }

    #[test]
    fn more_ranges_than_allowed_are_refused() {
        let mut ranges = vec![(0, 1)];
        assert_eq!(push(&mut ranges, 1, 2, 1), Ok(()));
        assert_eq!(push(&mut ranges, 3, 4, 1), Err(Errno::TOOBIG));
        assert_eq!(ranges, [(0, 2)]);
    }
}
