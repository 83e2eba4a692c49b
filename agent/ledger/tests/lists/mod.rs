//! Cgroups by what their lists hold.

use memgap_ledger::sample::{CgroupSample, CgroupVersion, MemoryStat};
use memgap_ledger::{Events, Missing};

/// A cgroup of no more than anonymous memory, below a limit.
pub fn cgroup_sample(stat: &MemoryStat) -> CgroupSample {
    CgroupSample {
        path: "/example".to_owned(),
        version: CgroupVersion::V2,
        root: false,
        usage: Ok(stat.anon),
        limit: Ok(Some(540 << 20)),
        swap_limit: Ok(Some(0)),
        stat: Ok(*stat),
        limit_is_pods: false,
        kmem: Err(Missing::absent("v2")),
        events: Events::missing(&Missing::absent("a test")),
        cpus: 2,
        unmarked_files: Some(0),
        churned: 0,
        leaf: true,
        names: None,
    }
}

/// Anonymous memory, of which a part stands on the file lists.
pub fn lists(anon: u64, lazy: u64) -> MemoryStat {
    MemoryStat { anon, active_anon: anon - lazy, inactive_file: lazy, ..MemoryStat::default() }
}
