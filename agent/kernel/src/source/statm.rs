//! `/proc/PID/statm`: proc_pid_statm(5), `proc_pid_statm` in fs/proc/array.c.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memgap_ledger::Fact;
use memgap_ledger::sample::Counters;

use super::Parsed;
use crate::file::Buf;
use crate::process::Process;
use crate::text;

/// Name of the file below a process's directory.
pub const NAME: &str = "statm";

/// Seven numbers of at most 20 digits.
const LIMIT: usize = 256;

/// Reads the counters; all are 0 for a process without memory.
pub fn read(process: &Process, page_size: u64, buf: &mut Buf) -> Fact<Counters> {
    let text = process.read(NAME, LIMIT, buf)?;
    parse(text, page_size).map_err(|what| process.malformed(NAME, what))
}

/// Reads the counters again through a handle that was kept, in one system call:
/// the parser tells whether the line is whole.
pub fn read_again(statm: &File, page_size: u64) -> io::Result<Counters> {
    let mut text = [0; LIMIT];
    let len = statm.read_at(&mut text, 0)?;
    parse(&text[..len], page_size).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// The counters of the text, whose seven figures are in pages.
pub fn parse(text: &[u8], page_size: u64) -> Parsed<Counters> {
    let line = text.strip_suffix(b"\n").ok_or("the line is cut short")?;
    let mut pages = [0u64; 7];
    let mut words = text::words(line);
    for page in &mut pages {
        let word = words.next().ok_or("there are fewer than 7 numbers")?;
        *page = text::decimal(word).ok_or("a word is not a number")?;
    }
    let [size, resident, shared, ..] = pages;
    let bytes = |pages: u64| pages.checked_mul(page_size).ok_or("a number is too large");
    Ok(Counters {
        source: NAME,
        vsz: bytes(size)?,
        rss: bytes(resident)?,
        // The two counters are read one after the other and may cross.
        anon: bytes(resident.saturating_sub(shared))?,
        file: None,
        shmem: None,
        swap: None,
        threads: None,
        locked: None,
        pinned: None,
        page_tables: None,
    })
}
