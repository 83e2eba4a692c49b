//! The host's figures, from a procfs root.

use memgap_kernel::cgroups::Cgroups;
use memgap_kernel::file::{Buf, Dir};
use memgap_kernel::source::{cgroups, hugepages, meminfo, slabinfo, sockstat, vmstat, zoneinfo};
use memgap_ledger::host_detail::HostDetail;
use memgap_ledger::sample::{CgroupSample, CgroupVersion, HostSample};
use memgap_ledger::{Fact, Missing};

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
        dying: dying(proc, hierarchy, all, buf),
        process: None,
        sharer: None,
        cgroup: None,
    }
}

/// Deleted cgroups that are still held: v2 counts them, v1 counts all.
fn dying(
    proc: &Dir,
    hierarchy: &Fact<Cgroups>,
    all: &Fact<Vec<CgroupSample>>,
    buf: &mut Buf,
) -> Fact<u64> {
    let hierarchy = hierarchy.as_ref().map_err(Missing::clone)?;
    let all = all.as_ref().map_err(Missing::clone)?;
    let root = all.iter().find(|cgroup| cgroup.path == "/" && cgroup.root);
    let part = || Missing::absent("not the whole hierarchy of cgroups is to be seen");
    match root.ok_or_else(part)? {
        root if root.version == CgroupVersion::V2 => root.events.dying.clone(),
        _ if hierarchy.counts().skipped > 0 => Err(part()),
        _ => Ok(cgroups::read(proc, buf)?.saturating_sub(all.len() as u64)),
    }
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}
