//! Samples made by hand: the stories that the views must tell.

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::events::{Events, Stall};
use memgap_ledger::sample::{
    Area, AreaKind, CgroupSample, CgroupVersion, ContainerNames, Counters, HostSample, HugePages,
    Meminfo, MemoryStat, ProcessKind, ProcessSample, Vmstat, Walk,
};
use memgap_ledger::{Account, Missing, MissingKind, Runtime};

pub const MIB: u64 = 1 << 20;

fn area(kind: AreaKind, start: u64, size: u64, rss: u64) -> Area {
    let anonymous = if matches!(kind, AreaKind::File | AreaKind::Shmem) { 0 } else { rss };
    Area {
        start: start * MIB,
        end: start * MIB + size,
        kind,
        accessible: true,
        writable: true,
        rss,
        pss: rss,
        anonymous,
        private: rss,
        ..Area::default()
    }
}

/// A server with a heap of which a part is lazily freed, mapped files that it
/// shares, and a ballast that was never written.
pub fn server() -> ProcessSample {
    let mut heap = area(AreaKind::Heap, 100, 620 * MIB, 600 * MIB);
    heap.lazy_free = 256 * MIB;
    let mut file = area(AreaKind::File, 5000, 80 * MIB, 60 * MIB);
    file.pss = 20 * MIB;
    let areas = vec![
        heap,
        area(AreaKind::Anonymous, 1000, 1024 * MIB, 0),
        Area { accessible: false, ..area(AreaKind::Anonymous, 3000, 64 * MIB, 0) },
        file,
        area(AreaKind::Shmem, 6000, 48 * MIB, 48 * MIB),
        area(AreaKind::Stack, 7000, 8 * MIB, 132 << 10),
    ];
    let rss = areas.iter().map(|a| a.rss).sum::<u64>();
    ProcessSample {
        lazily_freed: None,
        one_memory: None,
        pid: 4711,
        name: "api-server".to_owned(),
        kind: ProcessKind::User,
        counters: Ok(Counters {
            source: "status",
            vsz: areas.iter().map(Area::size).sum(),
            rss: rss - (64 << 10),
            anon: 600 * MIB + (132 << 10),
            file: Some(60 * MIB),
            shmem: Some(48 * MIB),
            swap: Some(0),
            threads: Some(1),
            ..Counters::default()
        }),
        walk: Ok(Walk { areas: areas.into(), ..Walk::default() }),
        claims: Vec::new(),
        runtimes: Vec::new(),
        cgroup: Ok("/system.slice/api.service".to_owned()),
    }
}

/// The same, with the heap statistics of its allocator.
pub fn probed() -> ProcessSample {
    let part = |account, bytes| Part { account, bytes };
    let claim = Claim {
        priority: Priority::Malloc,
        owner: "jemalloc".to_owned(),
        extent: Extent::Anywhere,
        parts: vec![
            part(Account::HeapInUse, 300 * MIB),
            part(Account::AllocatorFree, 36 * MIB),
            part(Account::AllocatorMetadata, 4 * MIB),
        ],
    };
    let runtimes = vec![Ok(Runtime { in_use: Some(300 * MIB), ..Runtime::named("jemalloc") })];
    ProcessSample { claims: vec![claim], runtimes, ..server() }
}

/// The same, whose mappings we may not read.
pub fn denied() -> ProcessSample {
    let why = "/proc/4711/smaps: permission denied: run as root or as the process's user";
    ProcessSample { walk: Err(Missing::new(MissingKind::Denied, why)), ..server() }
}

/// Three OOM kills, and no swap.
fn events() -> Events {
    Events {
        oom_kills: Ok(3),
        limit_hits: Ok(41),
        throttled: Ok(0),
        high: Ok(None),
        peak: Ok(1024 * MIB),
        swap: Ok(0),
        swap_failures: Ok(0),
        stall: Ok(Stall::default()),
        dying: Ok(0),
    }
}

/// The pod of [`container`], in which an ended container left 500 MiB of tmpfs, and the
/// root.
pub fn above() -> [CgroupSample; 2] {
    let of = |path: &str, root, limit, files: u64| {
        let mut sample =
            CgroupSample { path: path.to_owned(), root, names: None, leaf: false, ..container() };
        sample.limit = Ok(limit);
        sample.usage = sample.usage.map(|usage| usage + files);
        if let Ok(stat) = &mut sample.stat {
            (stat.file, stat.shmem) = (stat.file + files, stat.shmem + files);
            stat.inactive_anon += files;
        }
        sample
    };
    [of("/kubepods.slice", false, Some(1200 * MIB), 500 * MIB), of("/", true, None, 900 * MIB)]
}

/// A container in which 96 MiB are hidden from the working set.
pub fn container() -> CgroupSample {
    CgroupSample {
        path: format!("/kubepods.slice/cri-containerd-{}.scope", "0123456789abcdef".repeat(4)),
        version: CgroupVersion::V2,
        root: false,
        usage: Ok(1000 * MIB),
        limit: Ok(Some(1024 * MIB)),
        swap_limit: Ok(Some(0)),
        stat: Ok(MemoryStat {
            anon: 600 * MIB + (132 << 10),
            file: 308 * MIB,
            shmem: 48 * MIB,
            inactive_anon: 48 * MIB,
            active_anon: 248 * MIB + (132 << 10),
            inactive_file: 452 * MIB,
            active_file: 160 * MIB,
            kernel: Some(90 * MIB),
            slab_reclaimable: Some(40 * MIB),
            sock: Some(MIB),
            ..MemoryStat::default()
        }),
        limit_is_pods: false,
        kmem: Err(Missing::absent("cgroup v2")),
        events: events(),
        cpus: 2,
        unmarked_files: Some(0),
        churned: 0,
        leaf: true,
        names: Some(ContainerNames {
            namespace: "shop".to_owned(),
            pod: "checkout-6d5f7c9b48-x2x7q".to_owned(),
            container: "api".to_owned(),
        }),
    }
}

pub fn machine() -> HostSample {
    HostSample {
        meminfo: Ok(Meminfo {
            mem_total: 8000 * MIB,
            mem_free: 3000 * MIB,
            mem_available: Some(5500 * MIB),
            buffers: 100 * MIB,
            cached: 2400 * MIB,
            active_anon: 1500 * MIB,
            inactive_anon: 300 * MIB,
            active_file: 900 * MIB,
            inactive_file: 1500 * MIB,
            anon_pages: 1700 * MIB,
            shmem: 200 * MIB,
            s_reclaimable: 150 * MIB,
            s_unreclaim: 90 * MIB,
            kernel_stack: 10 * MIB,
            page_tables: 30 * MIB,
            vmalloc_used: 60 * MIB,
            percpu: Some(20 * MIB),
            hugetlb: Some(64 * MIB),
            swap_total: 1024 * MIB,
            swap_free: 1024 * MIB,
            ..Meminfo::default()
        }),
        pcp: Ok(40 * MIB),
        sock: Err(Missing::new(MissingKind::Denied, "/proc/net/sockstat: permission denied")),
        vmstat: Ok(Vmstat { zspages: Some(90 * MIB), balloon: Some(0) }),
        huge_pages: Ok(vec![HugePages {
            size: 2 * MIB,
            total: 64 * MIB,
            free: 44 * MIB,
            reserved: 4 * MIB,
        }]),
        cpus: 2,
    }
}
