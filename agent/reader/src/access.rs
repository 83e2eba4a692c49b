//! What of the programs on a machine may be read, tried out on those that run: for who
//! installs a reader.

use memgap_kernel::file::Buf;
use memgap_kernel::memory::Live;
use memgap_kernel::process::Process;
use memgap_kernel::source::{pagemap, smaps, stat, status};
use memgap_ledger::sample::ProcessKind;
use memgap_ledger::{Fact, Missing, MissingKind};

use crate::collector::RESERVED_HANDLES;
use crate::reader::Reader;

/// Programs that are tried at the most, spread over all.
const MAX_TRIED: usize = 256;

/// Of how many programs what may be read. Files are opened and not read: no program can
/// keep who tries it waiting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Processes that procfs lists.
    pub listed: usize,
    /// Programs among them that were tried.
    pub tried: usize,
    /// Those of other users.
    pub others: usize,
    /// Those whose mappings may be read.
    pub mappings: usize,
    /// Those whose memory may be.
    pub memory: usize,
    /// Files that collections of all processes keep open at the most.
    pub handles: u64,
    /// What was denied first.
    pub denied: Option<Missing>,
    /// Whether the kernel tells what is in memory without an entry for each page
    /// (`PAGEMAP_SCAN`, Linux 6.7).
    pub is_scanned: bool,
}

impl Access {
    /// Tries the programs of a machine.
    pub fn of(reader: &Reader) -> Fact<Self> {
        let pids = reader.pids()?;
        let own = std::fs::File::open("/proc/self/pagemap");
        let is_scanned = own.is_ok_and(|own| pagemap::is_scanned(&own));
        // Counters of each, and its memory where heap statistics are read.
        let handles = pids.len() as u64 * (1 + Live::HANDLES as u64) + RESERVED_HANDLES;
        let mut access = Self { listed: pids.len(), handles, is_scanned, ..Self::default() };
        let mut buf = Buf::default();
        for pid in pids.iter().step_by(pids.len().div_ceil(MAX_TRIED).max(1)) {
            let process = reader.open_process(*pid);
            let tried = process.and_then(|process| access.add(&process, &mut buf));
            if let Err(lack) = tried
                && lack.kind != MissingKind::Gone
            {
                access.deny(lack);
            }
        }
        Ok(access)
    }

    fn add(&mut self, process: &Process, buf: &mut Buf) -> Fact<()> {
        if stat::read(process, buf)?.kind() != ProcessKind::User {
            return Ok(());
        }
        let [_, effective, _] = status::users(process, buf)?;
        let mappings = process.file(smaps::NAME);
        let memory = process.file("mem").and_then(|_| process.file(pagemap::NAME));
        let of = |tried: &Fact<_>| usize::from(tried.is_ok());
        self.tried += 1;
        self.others += usize::from(effective != rustix::process::geteuid().as_raw());
        (self.mappings, self.memory) = (self.mappings + of(&mappings), self.memory + of(&memory));
        mappings.and(memory).map(drop)
    }

    fn deny(&mut self, lack: Missing) {
        self.denied.get_or_insert(lack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Roots;

    #[test]
    fn what_the_kernel_lets_open_is_counted() {
        let reader = Reader::open(Roots::default()).expect("procfs is mounted");
        let access = Access::of(&reader).expect("it can be listed");
        assert!(access.tried > 0 && access.tried <= access.listed);
        assert!(access.mappings <= access.tried && access.memory <= access.mappings);
        assert!(access.memory > 0, "one's own memory may be read");
        if access.mappings < access.tried {
            assert!(access.denied.is_some_and(|lack| lack.kind == MissingKind::Denied));
        }
    }
}
