//! How samples are written: a line a structure. A field that is added to one does not compile
//! until it stands here, at the end of its line.

use memgap_kernel::source::{stat, statm, status};
use memgap_kernel::special;
use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::events::{Events, Stall, Waited};
use memgap_ledger::runtime::{Gc, RecentGc, Runtime, SecondSource, Unread};
use memgap_ledger::sample::{
    Area, AreaKind, CgroupSample, CgroupVersion, ContainerNames, Counters, FileRange, HostSample,
    HugePages, Meminfo, MemoryStat, Named, OneMemory, ProcessKind, ProcessSample, Sampled,
    SocketBuffers, Stacks, Vmstat, Walk,
};
use memgap_ledger::special::Special;
use memgap_ledger::{Account, Figure, Missing, MissingKind, Scope};

use super::code::{Code, Input, fields, numbered, put_framed};

// What changes most stands first, and what is long and hardly changes last: a delta is what
// stands between an equal begin and an equal end.
fields!(ProcessSample {
    pid,
    name,
    kind,
    counters,
    lazily_freed,
    claims,
    runtimes,
    cgroup,
    one_memory,
    walk
});
fields!(Counters {
    source,
    vsz,
    rss,
    anon,
    file,
    shmem,
    swap,
    threads,
    locked,
    pinned,
    page_tables
});
fields!(Walk { age, resident, stacks, named, areas });
fields!(Stacks { pointers, running, left });
fields!(Named { area, access, name, file });
fields!(FileRange { device, inode, offset });
fields!(Sampled { figure, age });
fields!(OneMemory { counted_at, others });
fields!(Area {
    start,
    end,
    kind,
    accessible,
    writable,
    executable,
    shared,
    special,
    rss,
    pss,
    anonymous,
    private,
    lazy_free,
    swap,
    locked,
    hugetlb,
    merged,
    huge,
});
fields!(Claim { priority, owner, extent, parts });
fields!(Part { account, bytes });
fields!(Runtime {
    name,
    version,
    file,
    age,
    in_use,
    in_use_bounds,
    objects,
    free,
    released,
    lazily_freed,
    lazily_freed_resident,
    trimmable,
    stacks,
    evidence,
    gc,
    second_source,
});
fields!(Gc { name, cycles, paused, live, goal, percent, limit, recent });
fields!(RecentGc { cycles, over });
fields!(SecondSource { name, in_use, differs_by });
fields!(Unread { name, file, why, within_another });
fields!(Missing { kind, why });

fields!(CgroupSample {
    path,
    version,
    root,
    usage,
    limit,
    limit_is_pods,
    swap_limit,
    stat,
    kmem,
    events,
    cpus,
    unmarked_files,
    churned,
    leaf,
    names,
});
fields!(ContainerNames { namespace, pod, container });
fields!(MemoryStat {
    anon,
    file,
    shmem,
    inactive_anon,
    active_anon,
    inactive_file,
    active_file,
    unevictable,
    file_mapped,
    kernel,
    kernel_stack,
    pagetables,
    sec_pagetables,
    percpu,
    vmalloc,
    zswap,
    sock,
    slab_reclaimable,
    slab_unreclaimable,
    hugetlb,
    swapcached,
    swap,
    ever_lazily_freed,
});
fields!(Events { oom_kills, limit_hits, throttled, high, peak, swap, swap_failures, stall, dying });
fields!(Stall { some, full });
fields!(Waited { total, last_ten });

fields!(HostSample { meminfo, pcp, sock, vmstat, huge_pages, cpus });
fields!(SocketBuffers { tcp, udp, fragments });
fields!(Vmstat { zspages, balloon });
fields!(HugePages { size, total, free, reserved });
fields!(Meminfo {
    mem_total,
    mem_free,
    mem_available,
    buffers,
    cached,
    active_anon,
    inactive_anon,
    active_file,
    inactive_file,
    unevictable,
    mlocked,
    anon_pages,
    shmem,
    s_reclaimable,
    s_unreclaim,
    kernel_stack,
    page_tables,
    sec_page_tables,
    vmalloc_used,
    percpu,
    hugetlb,
    huge_pages,
    k_reclaimable,
    zswap,
    swap_total,
    swap_free,
});

numbered!(ProcessKind { User = 0, Kernel = 1, Zombie = 2 });
numbered!(AreaKind {
    Heap = 0, Stack = 1, Anonymous = 2, File = 3, Shmem = 4, Hugetlb = 5, Device = 6, Kernel = 7,
});
numbered!(Priority { Object = 0, Nested = 1, Runtime = 2, Malloc = 3 });
numbered!(MissingKind { Absent = 0, Denied = 1, Gone = 2, Malformed = 3, Refused = 4 });
numbered!(CgroupVersion { V1 = 1, V2 = 2 });

impl Code for Figure {
    fn put(&self, out: &mut Vec<u8>) {
        self.point().zip(self.bounds()).put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let known: Option<(i64, (i64, i64))> = Code::get(input)?;
        Some(known.map_or(Self::Absent, |(point, (low, high))| Self::interval(low, point, high)))
    }
}

impl Code for Extent {
    fn put(&self, out: &mut Vec<u8>) {
        let (number, ranges) = match self {
            Self::Ranges(ranges) => (0, Some(ranges)),
            Self::Shared(ranges) => (1, Some(ranges)),
            Self::Anywhere => (2, None),
            Self::Absent(ranges) => (3, Some(ranges)),
        };
        out.push(number);
        if let Some(ranges) = ranges {
            ranges.put(out);
        }
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        match input.byte()? {
            0 => Some(Self::Ranges(Vec::get(input)?)),
            1 => Some(Self::Shared(Vec::get(input)?)),
            2 => Some(Self::Anywhere),
            3 => Some(Self::Absent(Vec::get(input)?)),
            _ => None,
        }
    }
}

impl Code for Account {
    fn put(&self, out: &mut Vec<u8>) {
        self.name().to_owned().put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let name = input.bytes()?;
        Scope::Process.accounts().find(|account| account.name().as_bytes() == name)
    }
}

/// The sort of a special mapping; one that is not known here is none.
impl Code for Option<&'static Special> {
    fn put(&self, out: &mut Vec<u8>) {
        self.map_or("", |special| special.name).to_owned().put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let name = input.bytes()?;
        Some(special::of_sort(name))
    }
}

/// The file that counters come from; one that is not known here is one of procfs.
impl Code for &'static str {
    fn put(&self, out: &mut Vec<u8>) {
        (*self).to_owned().put(out);
    }

    fn get(input: &mut Input<'_>) -> Option<Self> {
        let name = input.bytes()?;
        let known = [statm::NAME, status::NAME, stat::NAME];
        Some(known.into_iter().find(|known| known.as_bytes() == name).unwrap_or("procfs"))
    }
}
