//! The host's figures, from a procfs root.

use memgap_kernel::file::{Buf, Dir};
use memgap_kernel::source::{hugepages, meminfo, sockstat, vmstat, zoneinfo};
use memgap_ledger::sample::HostSample;

/// Reads the machine whose procfs root is given.
pub fn read(proc: &Dir, buf: &mut Buf) -> HostSample {
    let pagesets = zoneinfo::read(proc, page_size(), buf);
    HostSample {
        meminfo: meminfo::read(proc, buf),
        cpus: zoneinfo::online(&pagesets),
        pcp: pagesets.map(|p| p.free),
        sock: sockstat::read(proc, page_size(), buf),
        vmstat: vmstat::read(proc, page_size(), buf),
        huge_pages: hugepages::read(&hugepages::place(proc), buf),
    }
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}
