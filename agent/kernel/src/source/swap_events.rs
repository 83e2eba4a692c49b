//! `memory.swap.events` of cgroup v2.

use memgap_ledger::Fact;

use crate::fields::Fields;
use crate::file::{Buf, Dir, malformed};

/// Name of the file in the cgroup's directory.
pub const NAME: &str = "memory.swap.events";

/// The kernel prints three lines.
const LIMIT: usize = 4 << 10;

/// Reads the file in a cgroup's directory: how often memory could not be swapped out,
/// for want of swap or for the limit.
pub fn read(dir: &Dir, buf: &mut Buf) -> Fact<u64> {
    let text = dir.read_record(NAME, LIMIT, buf)?;
    parse(text).map_err(|what| malformed(&dir.path().join(NAME), &what))
}

/// The counter of the text, or what is wrong with it.
pub fn parse(text: &[u8]) -> Result<u64, String> {
    Fields::of(text)?.required("fail")
}
