//! Samples of any shape: real magnitudes, where sums must close to the byte, and
//! absurd ones, where nothing may panic.

use std::time::Duration;

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::events::{Events, Stall, Waited};
use memgap_ledger::runtime::Found;
use memgap_ledger::sample::{
    Area, AreaKind, CgroupSample, CgroupVersion, Counters, FileRange, HostSample, HugePages,
    MachineSample, Meminfo, MemoryStat, Named, OneMemory, ProcessKind, ProcessSample, Sampled,
    SocketBuffers, Stacks, Vmstat, Walk,
};
use memgap_ledger::{Account, Fact, Figure, Missing, MissingKind, Runtime};
use proptest::prelude::*;
use proptest::sample::select;

/// How large the amounts may be.
#[derive(Debug, Clone, Copy)]
pub enum Scale {
    /// Up to 16 TiB a figure.
    Real,
    /// Any 64 bits.
    Absurd,
}

pub fn is_user(sample: &ProcessSample) -> bool {
    sample.kind == ProcessKind::User
}

/// A fixed permutation for a seed: enough to show that order does not matter.
pub fn shuffle<T>(items: &mut [T], seed: u64) {
    if !items.is_empty() {
        let by = usize::try_from(seed % items.len() as u64).expect("below the length");
        items.rotate_left(by);
        if seed % 2 == 1 {
            items.reverse();
        }
    }
}

pub fn process(scale: Scale) -> impl Strategy<Value = ProcessSample> {
    let kind = prop_oneof![
        8 => Just(ProcessKind::User),
        1 => Just(ProcessKind::Kernel),
        1 => Just(ProcessKind::Zombie),
    ];
    let claims = prop::collection::vec(claim(scale), 0..4);
    let cgroup = fact(select(vec!["/a", "/a/b", "/c"]).prop_map(str::to_owned));
    let lazily_freed = prop::option::of(fact(sampled(scale)));
    let counted_at = prop::option::of(select(vec![7, 8]));
    let known = (fact(counters(scale)), fact(walk(scale)), lazily_freed, counted_at);
    (kind, known, claims, cgroup).prop_map(
        |(kind, (counters, walk, lazily_freed, counted_at), claims, cgroup)| ProcessSample {
            lazily_freed,
            one_memory: counted_at.map(|counted_at| OneMemory { counted_at, others: vec![8] }),
            pid: 7,
            name: "any".to_owned(),
            kind,
            counters,
            walk,
            runtimes: runtimes(&claims),
            claims,
            cgroup,
        },
    )
}

fn sampled(scale: Scale) -> impl Strategy<Value = Sampled> {
    (bytes(scale), bytes(scale)).prop_map(|(one, other)| {
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        let figure = Figure::interval(0, signed(one.min(other)), signed(one.max(other)));
        Sampled { figure, age: Duration::ZERO }
    })
}

/// One for each owner of claims, as probes give them.
fn runtimes(claims: &[Claim]) -> Vec<Found> {
    let mut owners: Vec<&str> = claims.iter().map(|c| c.owner.as_str()).collect();
    owners.sort_unstable();
    owners.dedup();
    owners.into_iter().map(|owner| Ok(Runtime::named(owner))).collect()
}

pub fn cgroup(scale: Scale) -> impl Strategy<Value = CgroupSample> {
    let version = select(vec![CgroupVersion::V1, CgroupVersion::V2]);
    let facts = (
        fact(bytes(scale)),
        fact(prop::option::of(bytes(scale))),
        fact(prop::option::of(bytes(scale))),
        fact(memory_stat(scale)),
        fact(bytes(scale)),
        events(scale),
    );
    let locked = prop::option::of(bytes(scale));
    (version, any::<[bool; 2]>(), facts, 0u32..512, locked, bytes(scale)).prop_map(
        |(version, [root, limit_is_pods], facts, cpus, unmarked_files, churned)| {
            let (usage, limit, swap_limit, stat, kmem, events) = facts;
            CgroupSample {
                path: "/a".to_owned(),
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
                leaf: true,
                names: None,
            }
        },
    )
}

fn events(scale: Scale) -> impl Strategy<Value = Events> {
    let numbers = prop::collection::vec(fact(bytes(scale)), 7);
    (numbers, fact(prop::option::of(bytes(scale))), fact(any::<(u32, u64)>())).prop_map(
        |(n, high, stall)| Events {
            oom_kills: n[0].clone(),
            limit_hits: n[1].clone(),
            throttled: n[2].clone(),
            high,
            peak: n[3].clone(),
            swap: n[4].clone(),
            swap_failures: n[5].clone(),
            stall: stall.map(|(last_ten, total)| {
                let waited = Waited { total: Duration::from_micros(total), last_ten };
                Stall { some: waited, full: waited }
            }),
            dying: n[6].clone(),
        },
    )
}

pub fn host(scale: Scale) -> impl Strategy<Value = HostSample> {
    let sock = prop::array::uniform3(bytes(scale));
    let vmstat = prop::array::uniform2(prop::option::of(bytes(scale)));
    let huge_pages = prop::collection::vec(huge_pages(scale), 0..3);
    let facts =
        (fact(meminfo(scale)), fact(bytes(scale)), fact(sock), fact(vmstat), fact(huge_pages));
    (facts, 0u32..512).prop_map(|((meminfo, pcp, sock, vmstat, huge_pages), cpus)| HostSample {
        meminfo,
        pcp,
        sock: sock.map(|[tcp, udp, fragments]| SocketBuffers { tcp, udp, fragments }),
        vmstat: vmstat.map(|[zspages, balloon]| Vmstat { zspages, balloon }),
        huge_pages,
        cpus,
    })
}

fn huge_pages(scale: Scale) -> impl Strategy<Value = HugePages> {
    prop::array::uniform4(bytes(scale)).prop_map(|[size, total, free, reserved]| HugePages {
        size,
        total,
        free,
        reserved,
    })
}

pub fn machine(
    host: HostSample,
    cgroups: Vec<CgroupSample>,
    processes: Vec<ProcessSample>,
) -> MachineSample {
    MachineSample { host, cgroups: Ok(cgroups), processes }
}

fn bytes(scale: Scale) -> BoxedStrategy<u64> {
    match scale {
        Scale::Real => prop_oneof![Just(0), 0u64..1 << 20, 0u64..1 << 44].boxed(),
        Scale::Absurd => prop_oneof![Just(0), Just(u64::MAX), any::<u64>()].boxed(),
    }
}

fn fact<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Fact<T>> {
    let lack = select(MissingKind::ALL.to_vec()).prop_map(|kind| Err(Missing::new(kind, "chance")));
    prop_oneof![6 => value.prop_map(Ok), 1 => lack].boxed()
}

fn counters(scale: Scale) -> impl Strategy<Value = Counters> {
    let options = prop::collection::vec(prop::option::of(bytes(scale)), 7);
    (bytes(scale), bytes(scale), bytes(scale), options).prop_map(|(vsz, rss, anon, o)| Counters {
        source: "status",
        vsz,
        rss,
        anon,
        file: o[0],
        shmem: o[1],
        swap: o[2],
        threads: o[3],
        locked: o[4],
        pinned: o[5],
        page_tables: o[6],
    })
}

/// Areas in address order that may touch; their figures need not make sense.
fn walk(scale: Scale) -> impl Strategy<Value = Walk> {
    let parts = (bytes(scale), bytes(scale), area_kind(), any::<[bool; 4]>(), figures(scale));
    let resident = prop::option::of(prop::collection::vec((bytes(scale), bytes(scale)), 0..12));
    let areas = prop::collection::vec(parts, 0..12);
    let stacks = prop::option::of(fact(stacks(scale)));
    let named = prop::collection::vec(named(scale), 0..4);
    (areas, prop_oneof![Just(0u64), 1u64..100], resident, stacks, named).prop_map(
        |(parts, age, resident, stacks, mut named)| {
            let mut at = 0u64;
            let areas: Vec<_> = parts
                .into_iter()
                .map(|(hole, size, kind, rights, f)| {
                    let start = at.saturating_add(if hole % 2 == 0 { 0 } else { hole });
                    at = start.saturating_add(size);
                    area(start, at, kind, rights, f)
                })
                .collect();
            named.sort_by_key(|named| named.area);
            named.dedup_by_key(|named| named.area);
            let resident = resident.map(|r| Ok(apart(r).into()));
            let age = Duration::from_secs(age);
            Walk { areas: areas.into(), age, resident, stacks, named: named.into() }
        },
    )
}

fn stacks(scale: Scale) -> impl Strategy<Value = Stacks> {
    (prop::collection::vec(bytes(scale), 0..6), 0usize..4).prop_map(|(mut pointers, running)| {
        pointers.sort_unstable();
        let left = pointers.iter().map(|at| at.wrapping_mul(3)).collect();
        Stacks { pointers: pointers.into(), running, left }
    })
}

/// Names of areas that may not be there.
fn named(scale: Scale) -> impl Strategy<Value = Named> {
    let file = prop::option::of((0u64..2, bytes(scale)));
    (0usize..14, file).prop_map(|(area, file)| Named {
        area,
        access: *b"rw-s",
        name: "/memfd:any".into(),
        file: file.map(|(inode, offset)| FileRange { device: (0, 1), inode, offset }),
    })
}

/// Ranges in order and apart, of some that are not.
fn apart(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut end = 0;
    let mut made = Vec::new();
    for (start, size) in ranges {
        let from = start.max(end);
        end = start.saturating_add(size).max(from);
        made.push((from, end));
    }
    made
}

fn area(s: u64, e: u64, kind: AreaKind, rights: [bool; 4], f: [u64; 8]) -> Area {
    let [rss, pss, anonymous, private, lazy_free, swap, locked, hugetlb] = f;
    let [accessible, writable, executable, shared] = rights;
    Area {
        start: s,
        end: e,
        kind,
        accessible,
        writable,
        executable,
        shared,
        special: None,
        rss,
        pss,
        anonymous,
        private,
        lazy_free,
        swap,
        locked,
        hugetlb,
        merged: shared.then_some(private),
        huge: executable.then_some(locked),
    }
}

/// Nested as the kernel nests them, most of the time.
fn figures(scale: Scale) -> BoxedStrategy<[u64; 8]> {
    let sane = prop::array::uniform8(bytes(scale)).prop_map(|[rss, a, b, c, d, swap, e, huge]| {
        let anonymous = a.min(rss);
        [rss, b.min(rss), anonymous, c.min(rss), d.min(anonymous), swap, e.min(rss), huge]
    });
    match scale {
        Scale::Real => sane.boxed(),
        Scale::Absurd => prop::array::uniform8(bytes(scale)).boxed(),
    }
}

fn area_kind() -> impl Strategy<Value = AreaKind> {
    use AreaKind::{Anonymous, Device, File, Heap, Hugetlb, Kernel, Shmem, Stack};
    select(vec![Heap, Stack, Anonymous, Anonymous, File, File, Shmem, Hugetlb, Device, Kernel])
}

fn claim(scale: Scale) -> impl Strategy<Value = Claim> {
    let priority =
        select(vec![Priority::Object, Priority::Nested, Priority::Runtime, Priority::Malloc]);
    let ranges = || {
        let pairs = prop::collection::vec((bytes(scale), bytes(scale)), 0..6);
        pairs.prop_map(|pairs| {
            pairs.into_iter().map(|(start, size)| (start, start.saturating_add(size))).collect()
        })
    };
    let extent = prop_oneof![
        3 => ranges().prop_map(Extent::Ranges),
        1 => ranges().prop_map(Extent::Shared),
        1 => Just(Extent::Shared(vec![(0, u64::MAX)])),
        1 => Just(Extent::Anywhere),
        1 => ranges().prop_map(Extent::Absent),
    ];
    let account = select(vec![
        Account::HeapInUse,
        Account::AllocatorFree,
        Account::AllocatorMetadata,
        Account::JitCode,
        Account::Stack,
    ]);
    let part = (account, bytes(scale)).prop_map(|(account, bytes)| Part { account, bytes });
    let owner = select(vec!["go", "glibc", "jemalloc"]).prop_map(str::to_owned);
    (priority, owner, extent, prop::collection::vec(part, 0..5)).prop_map(
        |(priority, owner, extent, parts)| match extent {
            Extent::Absent(ranges) => Claim::absent(priority, &owner, ranges),
            extent => Claim { priority, owner, extent, parts },
        },
    )
}

fn memory_stat(scale: Scale) -> impl Strategy<Value = MemoryStat> {
    let options = prop::collection::vec(prop::option::of(bytes(scale)), 15);
    (prop::array::uniform8(bytes(scale)), options).prop_map(|(m, o)| MemoryStat {
        anon: m[0],
        file: m[1],
        shmem: m[2],
        inactive_anon: m[3],
        active_anon: m[4],
        inactive_file: m[5],
        active_file: m[6],
        unevictable: m[7],
        kernel: o[0],
        kernel_stack: o[1],
        pagetables: o[2],
        percpu: o[3],
        sock: o[4],
        slab_reclaimable: o[5],
        slab_unreclaimable: o[6],
        hugetlb: o[7],
        swapcached: o[8],
        sec_pagetables: o[9],
        vmalloc: o[10],
        zswap: o[11],
        swap: o[12],
        ever_lazily_freed: o[13],
        file_mapped: o[14],
    })
}

fn meminfo(scale: Scale) -> impl Strategy<Value = Meminfo> {
    let options = prop::collection::vec(prop::option::of(bytes(scale)), 6);
    let huge = prop::option::of(huge_pages(scale));
    (prop::collection::vec(bytes(scale), 19), options, huge).prop_map(|(m, o, huge)| Meminfo {
        mem_total: m[0],
        mem_free: m[1],
        mem_available: o[0],
        buffers: m[2],
        cached: m[3],
        active_anon: m[4],
        inactive_anon: m[5],
        active_file: m[6],
        inactive_file: m[7],
        unevictable: m[8],
        mlocked: m[9],
        anon_pages: m[10],
        shmem: m[11],
        s_reclaimable: m[12],
        s_unreclaim: m[13],
        kernel_stack: m[14],
        page_tables: m[15],
        sec_page_tables: o[1],
        vmalloc_used: m[16],
        percpu: o[2],
        hugetlb: o[3],
        k_reclaimable: o[4],
        zswap: o[5],
        huge_pages: huge,
        swap_total: m[17],
        swap_free: m[18],
    })
}
