//! Machines made by hand.

use std::time::Duration;

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::events::{Events, Stall};
use memgap_ledger::runtime::{Gc, Runtime};
use memgap_ledger::sample::{
    Area, AreaKind, CgroupSample, CgroupVersion, ContainerNames, Counters, HostSample,
    MachineSample, Meminfo, MemoryStat, ProcessKind, ProcessSample, SocketBuffers, Vmstat, Walk,
};
use memgap_ledger::{Account, Missing, MissingKind};

pub const MIB: u64 = 1 << 20;

/// A container id whose first digits are `n`.
pub fn id(n: usize) -> String {
    format!("{n:012x}{}", "0".repeat(52))
}

pub fn pod_uid(n: usize) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

pub fn host() -> HostSample {
    HostSample {
        meminfo: Ok(Meminfo {
            mem_total: 8192 * MIB,
            mem_free: 4096 * MIB,
            cached: 1024 * MIB,
            active_file: 600 * MIB,
            inactive_file: 424 * MIB,
            active_anon: 1000 * MIB,
            anon_pages: 1000 * MIB,
            s_reclaimable: 64 * MIB,
            s_unreclaim: 32 * MIB,
            ..Meminfo::default()
        }),
        pcp: Ok(10 * MIB),
        sock: Ok(SocketBuffers { tcp: MIB, ..SocketBuffers::default() }),
        vmstat: Ok(Vmstat { zspages: Some(0), balloon: Some(0) }),
        huge_pages: Err(Missing::absent("no huge pages")),
        cpus: 2,
    }
}

/// A leaf of cgroup v2 with 48 MiB of anonymous memory and 12 MiB of page cache.
pub fn cgroup(path: &str) -> CgroupSample {
    CgroupSample {
        path: path.to_owned(),
        version: CgroupVersion::V2,
        root: false,
        usage: Ok(64 * MIB),
        limit: Ok(Some(128 * MIB)),
        swap_limit: Ok(Some(0)),
        stat: Ok(MemoryStat {
            anon: 48 * MIB,
            file: 12 * MIB,
            active_anon: 48 * MIB,
            inactive_file: 8 * MIB,
            active_file: 4 * MIB,
            kernel: Some(3 * MIB),
            sock: Some(0),
            slab_reclaimable: Some(MIB),
            slab_unreclaimable: Some(MIB),
            ..MemoryStat::default()
        }),
        limit_is_pods: false,
        kmem: Err(Missing::absent("cgroup v2 has no such file")),
        events: events(),
        cpus: 2,
        unmarked_files: Some(0),
        churned: 0,
        leaf: true,
        names: None,
    }
}

/// Of a cgroup that may not swap and has no memory.high: as most are.
fn events() -> Events {
    Events {
        oom_kills: Ok(1),
        limit_hits: Ok(20),
        throttled: Ok(0),
        high: Ok(None),
        peak: Ok(100 * MIB),
        swap: Ok(0),
        swap_failures: Ok(0),
        stall: Ok(Stall::default()),
        dying: Ok(0),
    }
}

/// A container of Kubernetes, `web` of the pod `shop/web-<n>`.
pub fn container(n: usize) -> CgroupSample {
    let names = ContainerNames {
        namespace: "shop".to_owned(),
        pod: format!("web-{n}"),
        container: "web".to_owned(),
    };
    let path = format!("/kubepods/pod{}/{}", pod_uid(n), id(n));
    CgroupSample { names: Some(names), ..cgroup(&path) }
}

pub fn parent(path: &str) -> CgroupSample {
    CgroupSample { root: path == "/", leaf: false, limit: Ok(None), ..cgroup(path) }
}

/// A process of which a walk saw `rss` bytes of heap.
pub fn process(pid: u32, name: &str, cgroup: &str, rss: u64) -> ProcessSample {
    let heap = Area {
        start: 0x5555_0000_0000,
        end: 0x5555_0000_0000 + 2 * rss,
        kind: AreaKind::Heap,
        accessible: true,
        writable: true,
        rss,
        pss: rss,
        anonymous: rss,
        private: rss,
        ..Area::default()
    };
    ProcessSample {
        lazily_freed: None,
        one_memory: None,
        pid,
        name: name.to_owned(),
        kind: ProcessKind::User,
        counters: Ok(Counters {
            source: "statm",
            vsz: 2 * rss,
            rss,
            anon: rss,
            file: None,
            shmem: None,
            swap: None,
            threads: None,
            ..Counters::default()
        }),
        walk: Ok(Walk { areas: [heap].into(), ..Walk::default() }),
        claims: Vec::new(),
        runtimes: Vec::new(),
        cgroup: Ok(cgroup.to_owned()),
    }
}

/// The same as a Go program that has collected garbage `cycles` times.
pub fn golang(pid: u32, name: &str, cgroup: &str, in_use: u64, cycles: u64) -> ProcessSample {
    let part = |account, bytes| Part { account, bytes };
    let claim = Claim {
        priority: Priority::Runtime,
        owner: "go".to_owned(),
        extent: Extent::Anywhere,
        parts: vec![part(Account::HeapInUse, in_use), part(Account::AllocatorFree, MIB)],
    };
    let gc =
        Gc { cycles: Some(cycles), paused: Some(Duration::from_millis(cycles)), ..Gc::default() };
    let runtime = Runtime {
        in_use: Some(in_use),
        free: Some(3 * MIB),
        released: Some(2 * MIB),
        gc: Some(gc),
        ..Runtime::named("go")
    };
    let sample = process(pid, name, cgroup, in_use + 2 * MIB);
    ProcessSample { claims: vec![claim], runtimes: vec![Ok(runtime)], ..sample }
}

/// The same without a walk, as most processes are read.
pub fn unwalked(pid: u32, name: &str, cgroup: &str, rss: u64) -> ProcessSample {
    let refused = Missing::new(MissingKind::Refused, "over the budget of walks");
    ProcessSample { walk: Err(refused), ..process(pid, name, cgroup, rss) }
}

pub fn machine(cgroups: Vec<CgroupSample>, processes: Vec<ProcessSample>) -> MachineSample {
    MachineSample { host: host(), cgroups: Ok(cgroups), processes }
}

/// One of everything: a pod with its container and sandbox, a container with a
/// hostile name, a unit, a plain cgroup, parents, and processes.
pub fn one_of_each() -> MachineSample {
    let web = container(1);
    let sandbox = cgroup(&format!("/kubepods/pod{}/{}", pod_uid(1), id(0xfeed)));
    let mut odd = container(2);
    odd.names = Some(ContainerNames {
        namespace: "a\\b".to_owned(),
        pod: "c\"d".to_owned(),
        container: "e\nf\\".to_owned(),
    });
    odd.limit = Ok(None);
    let mut hidden = cgroup("/system.slice/cache.service");
    hidden.stat = hidden.stat.map(|stat| MemoryStat { inactive_file: 40 * MIB, ..stat });
    let processes = vec![
        golang(10, "web", &web.path, 46 * MIB, 7),
        unwalked(11, "helper", &web.path, 2 * MIB),
        process(12, "cache", &hidden.path, 48 * MIB),
        unwalked(13, "other", "/", MIB),
    ];
    let cgroups = vec![
        parent("/"),
        parent("/kubepods"),
        parent(&format!("/kubepods/pod{}", pod_uid(1))),
        web,
        sandbox,
        odd,
        parent("/system.slice"),
        hidden,
        cgroup("/build/job"),
    ];
    machine(cgroups, processes)
}
