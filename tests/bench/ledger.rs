//! Making ledgers: what a walk, a container and a whole machine cost once read.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use memgap_ledger::account::ANONYMOUS;
use memgap_ledger::finding::{Subject, findings};
use memgap_ledger::sample::{
    Area, AreaKind, CgroupSample, CgroupVersion, Counters, HostSample, MachineSample, Meminfo,
    MemoryStat, ProcessKind, ProcessSample, SocketBuffers, Vmstat, Walk,
};
use memgap_ledger::{Events, Machine, Missing, MissingKind, ProcessLedger, cgroup, process};
use std::hint::black_box;

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;

/// Mappings as they alternate in a program: file, data, guard, stack, anonymous.
fn areas(count: u64) -> Vec<Area> {
    const SIZE: u64 = 16 * PAGE;
    (0..count)
        .map(|n| {
            let start = MIB + n * 2 * SIZE;
            let is_guard = n % 5 == 2;
            let rss = if is_guard { 0 } else { SIZE / 2 };
            let is_file = n % 5 == 0;
            Area {
                start,
                end: start + SIZE,
                kind: if is_file { AreaKind::File } else { AreaKind::Anonymous },
                accessible: !is_guard,
                writable: !is_guard,
                rss,
                pss: rss,
                anonymous: if is_file { 0 } else { rss },
                private: rss,
                lazy_free: if n % 5 == 4 { PAGE } else { 0 },
                ..Area::default()
            }
        })
        .collect()
}

fn program(pid: u32, walk: Option<Vec<Area>>) -> ProcessSample {
    let not_due = Missing::new(MissingKind::Refused, "no walk is due");
    ProcessSample {
        lazily_freed: None,
        one_memory: None,
        pid,
        name: format!("program-{pid}"),
        kind: ProcessKind::User,
        counters: Ok(Counters {
            source: "statm",
            vsz: 64 * MIB,
            rss: 6 * MIB,
            anon: 4 * MIB,
            file: None,
            shmem: None,
            swap: None,
            threads: None,
            ..Counters::default()
        }),
        walk: walk.map(|areas| Walk { areas: areas.into(), ..Walk::default() }).ok_or(not_due),
        claims: Vec::new(),
        runtimes: Vec::new(),
        cgroup: Ok(container_path(pid % CONTAINERS)),
    }
}

const CONTAINERS: u32 = 100;

fn container_path(nth: u32) -> String {
    format!("/kubepods.slice/pod-{nth}.slice/container-{nth}.scope")
}

fn container(nth: u32) -> CgroupSample {
    CgroupSample {
        path: container_path(nth),
        version: CgroupVersion::V2,
        root: false,
        usage: Ok(64 * MIB),
        limit: Ok(Some(256 * MIB)),
        swap_limit: Ok(Some(0)),
        stat: Ok(MemoryStat {
            anon: 40 * MIB,
            file: 16 * MIB,
            active_anon: 30 * MIB,
            inactive_file: 20 * MIB,
            active_file: 6 * MIB,
            kernel: Some(7 * MIB),
            slab_reclaimable: Some(2 * MIB),
            sock: Some(0),
            ..MemoryStat::default()
        }),
        limit_is_pods: false,
        kmem: Err(Missing::absent("cgroup v2 has it in memory.stat")),
        events: Events::missing(&Missing::absent("a test")),
        cpus: 2,
        unmarked_files: Some(0),
        churned: 0,
        leaf: true,
        names: None,
    }
}

fn of_process(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger/process");
    for count in [200, 20_000] {
        let sample = program(1, Some(areas(count)));
        group.throughput(Throughput::Elements(count));
        group.bench_with_input(BenchmarkId::new("areas", count), &sample, |b, sample| {
            b.iter(|| process::ledger(black_box(sample)));
        });
    }
    let sample = program(1, None);
    group.throughput(Throughput::Elements(1));
    group.bench_function("counters", |b| b.iter(|| process::ledger(black_box(&sample))));
    group.finish();
}

fn of_cgroup(c: &mut Criterion) {
    let sample = container(1);
    let members: Vec<_> =
        (1..=10).map(|pid| process::ledger(&program(pid, Some(areas(200))))).collect();
    let members: Vec<_> = members.iter().collect();
    c.bench_function("ledger/cgroup of 10 processes", |b| {
        b.iter(|| cgroup::ledger(black_box(&sample), Ok(black_box(&members))));
    });
}

/// Of a thousand containers with a process each: some are near their limit, in others nothing is
/// found.
fn of_findings(c: &mut Criterion) {
    let processes: Vec<_> =
        (0..1000).map(|pid| process::ledger(&program(pid, Some(areas(200))))).collect();
    let of_container = |nth: u32, process: &ProcessLedger| {
        let mut sample = container(nth);
        // It is charged for what its process holds; one of ten has lazily freed memory beside.
        let held = u64::try_from(process.ledger.sum(ANONYMOUS)).unwrap_or(0);
        if let (Ok(stat), true) = (&mut sample.stat, !nth.is_multiple_of(10)) {
            stat.anon = held;
            stat.active_anon = held;
            stat.inactive_file = stat.file - stat.active_file;
            sample.usage = Ok(held + stat.file + 7 * MIB);
        }
        cgroup::ledger(&sample, Ok(&[process]))
    };
    let containers: Vec<_> = (0..).zip(&processes).map(|(nth, p)| of_container(nth, p)).collect();
    let mut group = c.benchmark_group("findings");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("of 1000 containers", |b| {
        b.iter(|| {
            let subjects = black_box(&containers).iter().map(Subject::Cgroup);
            subjects.map(|subject| findings(subject).len()).sum::<usize>()
        });
    });
    group.bench_function("of 1000 processes", |b| {
        b.iter(|| {
            let subjects = black_box(&processes).iter().map(Subject::Process);
            subjects.map(|subject| findings(subject).len()).sum::<usize>()
        });
    });
    group.finish();
}

fn of_machine(c: &mut Criterion) {
    let sample = MachineSample {
        host: HostSample {
            meminfo: Ok(Meminfo { mem_total: 24 << 30, ..Meminfo::default() }),
            pcp: Ok(MIB),
            sock: Ok(SocketBuffers { tcp: MIB, ..SocketBuffers::default() }),
            vmstat: Ok(Vmstat { zspages: Some(0), balloon: Some(0) }),
            huge_pages: Err(Missing::absent("no huge pages")),
            cpus: 2,
        },
        cgroups: Ok((0..CONTAINERS).map(container).collect()),
        processes: (1..=1000).map(|pid| program(pid, None)).collect(),
    };
    let mut group = c.benchmark_group("ledger/machine");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("1000 processes in 100 containers", |b| {
        b.iter(|| Machine::of(black_box(&sample)));
    });
    group.finish();
}

criterion_group!(benches, of_process, of_cgroup, of_findings, of_machine);
criterion_main!(benches);
