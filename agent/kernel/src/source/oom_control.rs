//! `memory.oom_control` of cgroup v1: Documentation/admin-guide/cgroup-v1/memory.rst.

use memgap_ledger::{Fact, Missing};

use crate::fields::Fields;
use crate::file::{Buf, Dir, malformed};

/// Name of the file in the cgroup's directory.
pub const NAME: &str = "memory.oom_control";

/// The kernel prints three lines.
const LIMIT: usize = 4 << 10;

/// Reads the file in a cgroup's directory: how many of its processes the OOM killer
/// ended, those of cgroups below left out.
pub fn read(dir: &Dir, buf: &mut Buf) -> Fact<u64> {
    let text = dir.read_record(NAME, LIMIT, buf)?;
    parse(text)
        .map_err(|what| malformed(&dir.path().join(NAME), &what))?
        .ok_or_else(|| Missing::absent(format!("{NAME} counts no OOM kills before Linux 4.13")))
}

/// The counter of the text where the kernel has it, or what is wrong with it.
pub fn parse(text: &[u8]) -> Result<Option<u64>, String> {
    let mut fields = Fields::of(text)?;
    fields.required("oom_kill_disable")?;
    fields.optional("oom_kill")
}
