//! Findings about heaps that are not in memory, and about collectors that run often.

use std::time::Duration;

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::finding::{Subject, findings};
use memgap_ledger::runtime::{Gc, RecentGc};
use memgap_ledger::sample::{
    Area, CgroupSample, CgroupVersion, Counters, MemoryStat, ProcessKind, ProcessSample, Walk,
};
use memgap_ledger::{Account, Events, Figure, Finding, Missing, Runtime, cgroup, process};

const MIB: u64 = 1 << 20;

/// A program whose runtime says that `in_use` is used, of which `resident` is in memory.
fn sample(in_use: u64, resident: u64, gc: Option<Gc>) -> ProcessSample {
    let heap = Area {
        start: 0x10_0000,
        end: 0x10_0000 + in_use,
        accessible: true,
        writable: true,
        rss: resident,
        pss: resident,
        anonymous: resident,
        private: resident,
        ..Area::default()
    };
    let claim = Claim {
        priority: Priority::Runtime,
        owner: "go".to_owned(),
        extent: Extent::Ranges(vec![(heap.start, heap.end)]),
        parts: vec![Part { account: Account::HeapInUse, bytes: in_use }],
    };
    let runtime = Runtime { in_use: Some(in_use), gc, ..Runtime::named("go") };
    ProcessSample {
        lazily_freed: None,
        one_memory: None,
        pid: 7,
        name: "api".to_owned(),
        kind: ProcessKind::User,
        counters: Ok(Counters {
            source: "statm",
            vsz: in_use,
            rss: resident,
            anon: resident,
            file: None,
            shmem: None,
            swap: None,
            threads: None,
            ..Counters::default()
        }),
        walk: Ok(Walk { areas: [heap].into(), ..Walk::default() }),
        claims: vec![claim],
        runtimes: vec![Ok(runtime)],
        cgroup: Ok("/api".to_owned()),
    }
}

fn busy(cycles: u64, seconds: u64, limit: Option<u64>) -> Gc {
    let recent = Some(RecentGc { cycles, over: Duration::from_secs(seconds) });
    Gc { limit, recent, ..Gc::default() }
}

fn found(sample: &ProcessSample, id: &str) -> Option<Finding> {
    findings(Subject::Process(&process::ledger(sample))).into_iter().find(|f| f.id == id)
}

/// The finding of the process's cgroup, which has that limit.
fn found_in_cgroup(sample: &ProcessSample, limit: Option<u64>) -> Option<Finding> {
    let anon = sample.counters.as_ref().expect("known").anon;
    let cgroup = CgroupSample {
        path: "/api".to_owned(),
        version: CgroupVersion::V2,
        root: false,
        usage: Ok(anon),
        limit: Ok(limit),
        swap_limit: Ok(Some(0)),
        stat: Ok(MemoryStat { anon, active_anon: anon, ..MemoryStat::default() }),
        limit_is_pods: false,
        kmem: Err(Missing::absent("cgroup v2 has no such file")),
        events: Events::missing(&Missing::absent("a test")),
        cpus: 1,
        unmarked_files: Some(0),
        churned: 0,
        leaf: true,
        names: None,
    };
    let member = process::ledger(sample);
    let ledger = cgroup::ledger(&cgroup, Ok(&[&member]));
    findings(Subject::Cgroup(&ledger)).into_iter().find(|f| f.id == "gc-churn")
}

#[test]
fn a_ballast_is_found() {
    let ballast = found(&sample(1024 * MIB, 64 * MIB, None), "ballast").expect("found");
    assert_eq!(ballast.bytes.point(), Some((960 * MIB).cast_signed()));
    assert_eq!(found(&sample(1024 * MIB, 1000 * MIB, None), "ballast"), None);
    assert_eq!(found(&sample(32 * MIB, 0, None), "ballast"), None);
}

#[test]
fn what_may_not_be_in_use_at_all_is_no_ballast() {
    let open = |least: u64| {
        let mut sample = sample(1024 * MIB, 64 * MIB, None);
        for runtime in sample.runtimes.iter_mut().flatten() {
            runtime.in_use_bounds = Some((least * MIB, 1024 * MIB));
        }
        found(&sample, "ballast")
    };
    // 64 MiB are in memory: of 624 that are in use at the least 560 are not.
    let ballast = open(624).expect("found");
    assert_eq!(ballast.bytes, Figure::interval(560 << 20, 960 << 20, 960 << 20));
    assert!(ballast.summary.starts_with("at least 560 MiB"), "{}", ballast.summary);
    assert_eq!(open(100), None);
}

#[test]
fn a_walk_of_another_time_proves_no_ballast() {
    let mut dated = sample(1024 * MIB, 64 * MIB, None);
    dated.walk.as_mut().expect("walked").age = Duration::from_mins(5);
    assert_eq!(found(&dated, "ballast"), None);
}

#[test]
fn churn_is_found_where_memory_is_to_spare() {
    let of = |gc| found(&sample(100 * MIB, 100 * MIB, Some(gc)), "gc-churn");
    let churn = of(busy(20, 10, Some(1024 * MIB))).expect("120 a minute, a tenth of the limit");
    assert_eq!(churn.bytes.point(), Some((924 * MIB).cast_signed()));
    assert!(churn.summary.contains("120 times a minute"), "{}", churn.summary);
    for quiet in [
        busy(9, 10, Some(1024 * MIB)),
        busy(20, 10, Some(300 * MIB)),
        busy(20, 10, None),
        busy(20, 0, Some(1024 * MIB)),
        Gc { goal: Some(512 * MIB), ..busy(20, 10, Some(1024 * MIB)) },
        Gc { limit: Some(1024 * MIB), ..Gc::default() },
    ] {
        assert_eq!(of(quiet.clone()), None, "{quiet:?}");
    }
}

#[test]
fn a_container_is_held_against_its_own_limit() {
    let busy = sample(100 * MIB, 100 * MIB, Some(busy(20, 10, None)));
    let churn = found_in_cgroup(&busy, Some(1024 * MIB)).expect("found");
    assert!(churn.evidence[0].contains("api (pid 7)"), "{:?}", churn.evidence);
    assert_eq!(found_in_cgroup(&busy, Some(256 * MIB)), None);
    assert_eq!(found_in_cgroup(&busy, None), None);
}
