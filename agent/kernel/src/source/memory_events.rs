//! `memory.events` of cgroup v2: what happened at its limits, and at those below.
//! Documentation/admin-guide/cgroup-v2.rst.

use memgap_ledger::Fact;

use crate::fields::Fields;
use crate::file::{Buf, Dir, malformed};

/// Name of the file in the cgroup's directory.
pub const NAME: &str = "memory.events";

/// The same of the cgroup alone, from Linux 5.2.
pub const LOCAL: &str = "memory.events.local";

/// The kernel prints seven lines.
const LIMIT: usize = 4 << 10;

/// Counters since the cgroup began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryEvents {
    /// Reclaim forced upon a process at `memory.high`.
    pub high: u64,
    /// Usage was about to go over `memory.max`.
    pub max: u64,
    /// Usage was over `memory.max`, and nothing was left to reclaim.
    pub oom: u64,
    /// Processes that the OOM killer ended; from 4.13.
    pub oom_kill: Option<u64>,
}

/// Reads the file in a cgroup's directory.
pub fn read(dir: &Dir, buf: &mut Buf) -> Fact<MemoryEvents> {
    let text = dir.read_record(NAME, LIMIT, buf)?;
    parse(text).map_err(|what| malformed(&dir.path().join(NAME), &what))
}

/// Reads what happened in the cgroup itself, those below left out.
pub fn read_local(dir: &Dir, buf: &mut Buf) -> Fact<MemoryEvents> {
    let text = dir.read_record(LOCAL, LIMIT, buf)?;
    parse(text).map_err(|what| malformed(&dir.path().join(LOCAL), &what))
}

/// The counters of the text, or what is wrong with it.
pub fn parse(text: &[u8]) -> Result<MemoryEvents, String> {
    let mut fields = Fields::of(text)?;
    Ok(MemoryEvents {
        high: fields.required("high")?,
        max: fields.required("max")?,
        oom: fields.required("oom")?,
        oom_kill: fields.optional("oom_kill")?,
    })
}
