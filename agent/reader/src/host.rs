//! The host's figures, from a procfs root.

use std::thread::available_parallelism;

use memgap_ledger::Fact;
use memgap_ledger::sample::HostSample;

use crate::file::{Buf, Dir};
use crate::source::zoneinfo::Pagesets;
use crate::source::{meminfo, sockstat, zoneinfo};

/// Reads the machine whose procfs root is given.
pub fn read(proc: &Dir, buf: &mut Buf) -> HostSample {
    let pagesets = zoneinfo::read(proc, page_size(), buf);
    HostSample {
        meminfo: meminfo::read(proc, buf),
        cpus: online(&pagesets),
        pcp: pagesets.map(|p| p.free),
        sock: sockstat::read(proc, page_size(), buf),
    }
}

/// Processors that are online in the machine whose procfs root is given.
pub(crate) fn cpus(proc: &Dir, buf: &mut Buf) -> u32 {
    online(&zoneinfo::read(proc, page_size(), buf))
}

fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// `zoneinfo` lists the processors online, works below any procfs root (unlike
/// affinity masks, which are of the reader) and is read for its pages anyway.
/// Without it the processors that we may run on are the best guess.
fn online(pagesets: &Fact<Pagesets>) -> u32 {
    match pagesets {
        Ok(pagesets) => pagesets.cpus,
        Err(_) => available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
    }
}
