//! `/proc/PID/smaps_rollup`: the sums of `smaps`, since 4.14, at the cost of the
//! same walk.

use memgap_ledger::Fact;

use super::Parsed;
use super::maps;
use super::smaps::Figures;
use crate::file::Buf;
use crate::process::Process;

/// Name of the file below a process's directory.
pub const NAME: &str = "smaps_rollup";

/// About 25 lines.
const LIMIT: usize = 16 << 10;

/// Reads the sums of a process.
pub fn read(process: &Process, buf: &mut Buf) -> Fact<Figures> {
    let text = process.read(NAME, LIMIT, buf)?;
    parse(text).map_err(|what| process.malformed(NAME, what))
}

/// The sums of the text.
pub fn parse(text: &[u8]) -> Parsed<Figures> {
    let text = text.strip_suffix(b"\n").ok_or("the last line is cut short")?;
    let mut lines = text.split(|b| *b == b'\n');
    maps::mapping(lines.next().unwrap_or_default())?;
    let mut figures = Figures::default();
    for line in lines {
        figures.take(line)?;
    }
    figures.whole()
}
