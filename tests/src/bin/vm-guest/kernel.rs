//! What the kernel itself says: the truth that memgap is held against.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

const PAGE: u64 = 4096;
const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;

/// Bits of `/proc/kpageflags` (include/uapi/linux/kernel-page-flags.h).
const ANON: u64 = 1 << 12;
const SWAP_BACKED: u64 = 1 << 14;
const COMPOUND_TAIL: u64 = 1 << 16;
const UNEVICTABLE: u64 = 1 << 18;

/// Bits of `/proc/PID/pagemap` (Documentation/admin-guide/mm/pagemap.rst).
const PRESENT: u64 = 1 << 63;
const FRAME: u64 = (1 << 55) - 1;

/// The fields of a `memory.stat`, in bytes.
pub struct Stat(HashMap<String, i64>);

impl Stat {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let fields = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(Self(fields.collect()))
    }

    /// A field that every kernel here has.
    pub fn get(&self, name: &str) -> Result<i64> {
        self.0.get(name).copied().ok_or_else(|| anyhow!("memory.stat has no {name}"))
    }
}

/// Whether the multi-generational LRU is on; kernels before 6.1 have none.
pub fn has_generations() -> bool {
    fs::read_to_string("/sys/kernel/mm/lru_gen/enabled").is_ok_and(|text| text.trim() != "0x0000")
}

/// The field of `/proc/PID/status`, in bytes.
pub fn status(pid: u32, field: &str) -> Result<i64> {
    sum(&format!("/proc/{pid}/status"), field)
}

/// The sum of a field over all mappings in `/proc/PID/smaps`, in bytes.
pub fn smaps(pid: u32, field: &str) -> Result<i64> {
    sum(&format!("/proc/{pid}/smaps"), field)
}

/// `Referenced` over the mappings in `/proc/PID/smaps`, in bytes, without the code of the
/// libraries that this program is linked with as well: a page that any process runs is
/// referenced for all that map it.
pub fn referenced(pid: u32) -> Result<i64> {
    let own = fs::read_to_string("/proc/self/maps").context("failed to read our maps")?;
    let own: Vec<&str> = own.lines().filter_map(file_of).collect();
    let path = format!("/proc/{pid}/smaps");
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let (mut sum, mut is_ours) = (0, false);
    for line in text.lines() {
        if let Some(kib) = kib(line, "Referenced") {
            sum += if is_ours { 0 } else { kib };
        } else if !line.ends_with(" kB") {
            let is_code = line.split(' ').nth(1).is_some_and(|access| !access.contains('w'));
            is_ours = is_code && file_of(line).is_some_and(|file| own.contains(&file));
        }
    }
    Ok(sum * 1024)
}

/// The file of a mapping, by its line in `/proc/PID/maps`.
fn file_of(line: &str) -> Option<&str> {
    line.find('/').map(|at| &line[at..])
}

/// `MemTotal` of the machine, in bytes.
pub fn memory() -> Result<i64> {
    sum("/proc/meminfo", "MemTotal")
}

fn sum(path: &str, field: &str) -> Result<i64> {
    let text = fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
    Ok(text.lines().filter_map(|line| kib(line, field)).sum::<i64>() * 1024)
}

/// The value of a line `FIELD: KIB kB`.
fn kib(line: &str, field: &str) -> Option<i64> {
    let value = line.strip_prefix(field)?.strip_prefix(':')?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// Bytes of a process's pages that lie on the file lists although they are
/// anonymous: `lru_lazy`, page by page, by the flags of each page frame.
pub fn lru_lazy(pid: u32) -> Result<i64> {
    let flags = page_flags()?;
    let mut pages = 0;
    for (start, end) in mappings(pid)? {
        for entry in pagemap(pid, start, end)? {
            let frame = usize::try_from(entry & FRAME)?;
            let Some(flags) = flags.get(frame).filter(|_| entry & PRESENT != 0) else { continue };
            pages += i64::from(flags & (ANON | SWAP_BACKED | UNEVICTABLE) == ANON);
        }
    }
    Ok(pages * PAGE.cast_signed())
}

/// Addresses of a process's pages that are in memory.
pub fn present(pid: u32) -> Result<Vec<u64>> {
    let mut pages = Vec::new();
    for (start, end) in mappings(pid)? {
        let entries = pagemap(pid, start, end)?;
        let present = entries.iter().enumerate().filter(|(_, entry)| *entry & PRESENT != 0);
        pages.extend(present.map(|(i, _)| start + i as u64 * PAGE));
    }
    Ok(pages)
}

/// The flags of every page frame; a tail of a huge page has those of its head.
fn page_flags() -> Result<Vec<u64>> {
    let mut flags = words(&fs::read("/proc/kpageflags").context("failed to read kpageflags")?);
    let mut head = 0;
    for page in &mut flags {
        if *page & COMPOUND_TAIL == 0 {
            head = *page;
        } else {
            *page = head;
        }
    }
    Ok(flags)
}

fn mappings(pid: u32) -> Result<Vec<(u64, u64)>> {
    let path = format!("/proc/{pid}/maps");
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let bounds = text.lines().filter_map(|line| {
        let (start, end) = line.split_whitespace().next()?.split_once('-')?;
        Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
    });
    Ok(bounds.filter(|(start, _)| *start < VSYSCALL).collect())
}

fn pagemap(pid: u32, start: u64, end: u64) -> Result<Vec<u64>> {
    let path = format!("/proc/{pid}/pagemap");
    let file = File::open(&path).with_context(|| format!("failed to open {path}"))?;
    let mut bytes = vec![0; usize::try_from((end - start) / PAGE * 8)?];
    file.read_exact_at(&mut bytes, start / PAGE * 8)
        .with_context(|| format!("failed to read {path} at {start:x}"))?;
    Ok(words(&bytes))
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_ne_bytes(*chunk)).collect()
}
