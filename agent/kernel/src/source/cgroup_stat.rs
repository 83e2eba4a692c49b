//! `cgroup.stat` of cgroup v2.

use memgap_ledger::Fact;

use crate::fields::Fields;
use crate::file::{Buf, Dir, malformed};

/// Name of the file in the cgroup's directory.
pub const NAME: &str = "cgroup.stat";

/// The kernel prints two lines, from 6.15 one for each controller too.
const LIMIT: usize = 4 << 10;

/// Reads the file in a cgroup's directory: how many cgroups below were deleted and are
/// still held, by memory charged to them for one.
pub fn read(dir: &Dir, buf: &mut Buf) -> Fact<u64> {
    let text = dir.read_record(NAME, LIMIT, buf)?;
    parse(text).map_err(|what| malformed(&dir.path().join(NAME), &what))
}

/// The count of the text, or what is wrong with it.
pub fn parse(text: &[u8]) -> Result<u64, String> {
    Fields::of(text)?.required("nr_dying_descendants")
}
