//! Files of cgroupfs that hold one number: `memory.current`, `memory.max`, v1's
//! `memory.failcnt` and their like.

use memgap_ledger::Fact;

use crate::file::{Buf, Dir, malformed};
use crate::text;

/// What such a file may take.
const LIMIT: usize = 4 << 10;

/// v1 says "no limit" with the largest count of whole pages: `PAGE_COUNTER_MAX`
/// of include/linux/page_counter.h, here for pages of up to 64 KiB.
const UNLIMITED: u64 = i64::MAX as u64 & !0xffff;

/// Reads an amount or a count.
pub fn read(dir: &Dir, name: &str, buf: &mut Buf) -> Fact<u64> {
    let text = dir.read_record(name, LIMIT, buf)?;
    parse(text).ok_or_else(|| malformed(&dir.path().join(name), "it is not one number"))
}

/// Reads a limit; `None` is no limit.
pub fn read_limit(dir: &Dir, name: &str, buf: &mut Buf) -> Fact<Option<u64>> {
    let text = dir.read_record(name, LIMIT, buf)?;
    parse_limit(text)
        .ok_or_else(|| malformed(&dir.path().join(name), "it is neither a number nor `max`"))
}

/// The number that is the whole text, a line.
pub fn parse(text: &[u8]) -> Option<u64> {
    text::decimal(text.strip_suffix(b"\n")?)
}

/// A number, or the word or number for no limit.
pub fn parse_limit(text: &[u8]) -> Option<Option<u64>> {
    match text {
        b"max\n" => Some(None),
        text => parse(text).map(|bytes| Some(bytes).filter(|bytes| *bytes < UNLIMITED)),
    }
}
