//! `/proc/slabinfo`: the kernel's object caches, for root; and what the kernel counts of
//! directory entries and inodes for everybody (fs/dcache.c, fs/inode.c).

use memgap_ledger::Fact;
use memgap_ledger::host_detail::{Dentries, Slab};

use crate::file::{Buf, Dir, malformed};
use crate::text;

/// Name of the file below the procfs root.
pub const NAME: &str = "slabinfo";
/// Directory entries, below the procfs root.
pub const DENTRIES: &str = "sys/fs/dentry-state";
/// Inodes, below the procfs root.
pub const INODES: &str = "sys/fs/inode-nr";

/// A machine has some 200 caches; one with a cache for each cgroup (before 5.9) thousands.
const LIMIT: usize = 4 << 20;
/// One line of a few numbers.
const LINE: usize = 256;
/// What is kept of a name.
const MAX_NAME: usize = 32;

/// Reads the object caches.
pub fn read(proc: &Dir, page_size: u64, buf: &mut Buf) -> Fact<Vec<Slab>> {
    let text = proc.read(NAME, LIMIT, buf)?;
    parse(text, page_size)
        .ok_or_else(|| malformed(&proc.path().join(NAME), "a cache has no size, or there is none"))
}

/// Reads how many directory entries there are.
pub fn read_dentries(proc: &Dir, buf: &mut Buf) -> Fact<Dentries> {
    let text = proc.read(DENTRIES, LINE, buf)?;
    parse_dentries(text)
        .ok_or_else(|| malformed(&proc.path().join(DENTRIES), "it is not a line of six numbers"))
}

/// Reads how many inodes there are.
pub fn read_inodes(proc: &Dir, buf: &mut Buf) -> Fact<u64> {
    let text = proc.read(INODES, LINE, buf)?;
    parse_inodes(text)
        .ok_or_else(|| malformed(&proc.path().join(INODES), "it is not a line of two numbers"))
}

/// Every cache with the pages of its slabs. `None` where a line is none of a cache.
pub fn parse(text: &[u8], page_size: u64) -> Option<Vec<Slab>> {
    let mut slabs = Vec::new();
    for line in text::lines(text.strip_suffix(b"\n")?) {
        if !line.starts_with(b"#") && !line.starts_with(b"slabinfo ") {
            slabs.push(cache(line, page_size)?);
        }
    }
    (!slabs.is_empty()).then_some(slabs)
}

/// `name active objects objsize per-slab pages-per-slab : tunables .. : slabdata active
/// slabs shared`.
fn cache(line: &[u8], page_size: u64) -> Option<Slab> {
    let mut words = text::words(line);
    let name = words.next()?;
    let pages = text::decimal(words.nth(4)?)?;
    words.find(|word| *word == b"slabdata")?;
    let count = text::decimal(words.nth(1)?)?;
    let bytes = count.checked_mul(pages)?.checked_mul(page_size)?;
    Some(Slab { name: text::printable(name, MAX_NAME), bytes })
}

/// `total unused age want negative 0`; before 5.0 the fifth is always 0.
pub fn parse_dentries(text: &[u8]) -> Option<Dentries> {
    let [total, unused, _, _, negative, _] = numbers(text)?;
    Some(Dentries { total, unused, negative })
}

/// `total unused`.
pub fn parse_inodes(text: &[u8]) -> Option<u64> {
    let [total, _] = numbers(text)?;
    Some(total)
}

fn numbers<const N: usize>(text: &[u8]) -> Option<[u64; N]> {
    let mut words = text::words(text.strip_suffix(b"\n")?);
    let mut found = [0; N];
    for number in &mut found {
        *number = text::decimal(words.next()?)?;
    }
    words.next().is_none().then_some(found)
}
