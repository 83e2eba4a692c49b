//! `memory.pressure` of cgroup v2: Documentation/accounting/psi.rst.

use std::time::Duration;

use memgap_ledger::Fact;
use memgap_ledger::events::{Stall, Waited};

use super::Parsed;
use crate::file::{Buf, Dir, malformed};
use crate::text;

/// Name of the file in the cgroup's directory.
pub const NAME: &str = "memory.pressure";

/// The kernel prints two lines.
const LIMIT: usize = 4 << 10;

/// Reads the file in a cgroup's directory.
pub fn read(dir: &Dir, buf: &mut Buf) -> Fact<Stall> {
    let text = dir.read_record(NAME, LIMIT, buf)?;
    parse(text).map_err(|what| malformed(&dir.path().join(NAME), what))
}

/// The two lines of the text, or what is wrong with it.
pub fn parse(text: &[u8]) -> Parsed<Stall> {
    let text = text.strip_suffix(b"\n").ok_or("the last line is cut short")?;
    let (mut some, mut full) = (None, None);
    for line in text::lines(text) {
        match text::words(line).next() {
            Some(b"some") => some = Some(waited(line).ok_or("`some` is not in its form")?),
            Some(b"full") => full = Some(waited(line).ok_or("`full` is not in its form")?),
            _ => return Err("a line is neither `some` nor `full`"),
        }
    }
    let some = some.ok_or("there is no `some`")?;
    Ok(Stall { some, full: full.ok_or("there is no `full`")? })
}

/// `some avg10=1.53 avg60=0.87 avg300=0.00 total=123456`, the total in microseconds.
fn waited(line: &[u8]) -> Option<Waited> {
    let value = |name: &[u8]| text::words(line).find_map(|word| word.strip_prefix(name));
    Some(Waited {
        total: Duration::from_micros(text::decimal(value(b"total=")?)?),
        last_ten: hundredths(value(b"avg10=")?)?,
    })
}

/// A percentage with two digits behind its point.
fn hundredths(word: &[u8]) -> Option<u32> {
    let (whole, part) = word.split_at_checked(word.len().checked_sub(3)?)?;
    let (whole, part) = (text::decimal(whole)?, text::decimal(part.strip_prefix(b".")?)?);
    whole.checked_mul(100)?.checked_add(part)?.try_into().ok()
}
