//! The host's figures, from a procfs root.

use memgap_kernel::cgroups::Cgroups;
use memgap_kernel::file::{Buf, Dir};
use memgap_kernel::source::{hugepages, meminfo, slabinfo, sockstat, vmstat, zoneinfo};
use memgap_ledger::Fact;
use memgap_ledger::host_detail::HostDetail;
use memgap_ledger::sample::{CgroupSample, HostSample};

use crate::dying;

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

/// Reads what only a person who asks is told; `all` are the machine's cgroups.
pub fn detail(
    proc: &Dir,
    hierarchy: &Fact<Cgroups>,
    all: &Fact<Vec<CgroupSample>>,
    buf: &mut Buf,
) -> HostDetail {
    HostDetail {
        slabs: slabinfo::read(proc, page_size(), buf),
        dentries: slabinfo::read_dentries(proc, buf),
        inodes: slabinfo::read_inodes(proc, buf),
        dying: dying::read(proc, hierarchy, all, buf),
        process: None,
        sharer: None,
        cgroup: None,
    }
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}
