//! `/proc/PID/fd`: proc_pid_fd(5). Which memory files (memfd) a process holds open. Such
//! a file holds its pages as long as it is open, mapped or not.

use memgap_ledger::Fact;
use rustix::fs::{AtFlags, StatxFlags};

use super::maps::Device;
use crate::file::Dir;
use crate::process::Process;
use crate::text;

/// Open files of a process that are looked at.
const MAX_FILES: usize = 1 << 16;

/// Characters of a name that are kept: `memfd_create` takes 249 bytes.
const SHOWN: usize = 256;

/// A memory file that a process holds open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryFile {
    /// The name that its maker gave it, made printable.
    pub name: String,
    /// Its device and inode, as in `maps`.
    pub file: (Device, u64),
    /// Bytes that it holds, in memory or swapped out.
    pub bytes: u64,
}

/// The memory files that a process holds open, and whether all its files were looked at.
pub fn held(process: &Process) -> Fact<(Vec<MemoryFile>, bool)> {
    let files = process.dir()?.dir("fd".as_ref())?;
    let mut numbers = files.numbers()?;
    let is_whole = numbers.len() <= MAX_FILES;
    numbers.truncate(MAX_FILES);
    // One that was closed meanwhile is no longer held.
    let held = numbers.iter().filter_map(|number| memory_file(&files, &number.to_string()));
    Ok((held.collect(), is_whole))
}

/// The name in `/memfd:NAME (deleted)`.
pub fn name(link: &[u8]) -> Option<&[u8]> {
    link.strip_prefix(b"/memfd:")?.strip_suffix(b" (deleted)")
}

fn memory_file(files: &Dir, number: &str) -> Option<MemoryFile> {
    let link = files.link(number)?;
    let name = text::printable(name(&link)?, SHOWN);
    let place = files.place(number).ok()?;
    // A program's own file system, where such a name stands too, is not asked.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(&place, "", flags, StatxFlags::BASIC_STATS).ok()?;
    Some(MemoryFile {
        name,
        file: ((stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino),
        bytes: stat.stx_blocks.saturating_mul(512),
    })
}
