//! `/proc/cgroups`: how many cgroups of v1 hierarchies the kernel holds, deleted ones too
//! (kernel/cgroup/cgroup-v1.c).

use memgap_ledger::Fact;

use crate::file::{Buf, Dir, malformed};
use crate::text;

/// Name of the file below the procfs root.
pub const NAME: &str = "cgroups";

/// A dozen controllers.
const LIMIT: usize = 8 << 10;

/// Reads how many cgroups the hierarchy of the memory controller has.
pub fn read(proc: &Dir, buf: &mut Buf) -> Fact<u64> {
    let text = proc.read(NAME, LIMIT, buf)?;
    parse(text).ok_or_else(|| malformed(&proc.path().join(NAME), "there is no count of `memory`"))
}

/// The third column of the line `memory`; `None` where there is none.
pub fn parse(text: &[u8]) -> Option<u64> {
    let mut lines = text::lines(text.strip_suffix(b"\n")?);
    lines.find_map(|line| {
        let mut words = text::words(line);
        (words.next()? == b"memory").then(|| text::decimal(words.nth(1)?)).flatten()
    })
}
