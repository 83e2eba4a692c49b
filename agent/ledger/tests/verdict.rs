//! The verdict: one sentence, whatever is known, that claims no more than that.

use memgap_ledger::finding::{self, Subject};
use memgap_ledger::sample::{
    Area, AreaKind, CgroupSample, CgroupVersion, Counters, MemoryStat, ProcessKind, ProcessSample,
    Walk,
};
use memgap_ledger::verdict::verdict;
use memgap_ledger::{Events, Missing, MissingKind, cgroup, limits, process};

const MIB: u64 = 1 << 20;

fn said(subject: Subject<'_>) -> String {
    verdict(subject, &finding::findings(subject))
}

fn of(sample: &ProcessSample) -> String {
    said(Subject::Process(&process::ledger(sample)))
}

fn denied() -> Missing {
    Missing::new(MissingKind::Denied, "/proc/7/smaps: permission denied")
}

fn sample(heap: u64, file: u64) -> ProcessSample {
    let area = |start: u64, kind, rss| Area {
        start: start << 40,
        end: (start << 40) + rss,
        kind,
        accessible: true,
        rss,
        pss: rss,
        private: rss,
        anonymous: if kind == AreaKind::File { 0 } else { rss },
        ..Area::default()
    };
    let areas = vec![area(1, AreaKind::Heap, heap), area(2, AreaKind::File, file)];
    let (rss, file) = (heap + file, Some(file));
    let counters =
        Counters { vsz: rss, rss, anon: heap, file, shmem: Some(0), ..Counters::default() };
    ProcessSample {
        name: "program".to_owned(),
        counters: Ok(counters),
        walk: Ok(Walk { areas: areas.into(), ..Walk::default() }),
        cgroup: Ok("/example".to_owned()),
        ..ProcessSample::missing(7, &denied())
    }
}

#[test]
fn of_a_small_process_it_is_short() {
    assert_eq!(
        of(&sample(0, 3 * MIB)),
        "program has 3.0 MiB in memory (RSS): 3.0 MiB mapped files; no fault found"
    );
    let none = sample(0, 0);
    assert_eq!(of(&none), "program has no memory (RSS is 0)");
}

#[test]
fn what_was_not_read_is_not_judged() {
    let heap = of(&sample(40 * MIB, 3 * MIB));
    assert!(heap.contains("40.0 MiB of a use that is not known"), "{heap}");
    assert!(heap.ends_with("no fault found in what was read"), "{heap}");
    let closed = of(&ProcessSample { walk: Err(denied()), ..sample(40 * MIB, 3 * MIB) });
    assert!(closed.ends_with("no fault found in what was read"), "{closed}");
    let lost = of(&ProcessSample::missing(7, &denied()));
    assert_eq!(
        lost,
        "nothing is known of the memory of process 7: /proc/7/smaps: permission denied"
    );
}

#[test]
fn who_has_no_memory_has_no_fault() {
    for (kind, word) in
        [(ProcessKind::Kernel, "thread of the kernel"), (ProcessKind::Zombie, "zombie")]
    {
        let text = of(&ProcessSample { kind, ..sample(MIB, MIB) });
        assert!(text.contains(word) && !text.contains("fault"), "{text}");
    }
}

fn container(limit: Option<u64>) -> CgroupSample {
    let stat = MemoryStat {
        anon: 60 * MIB,
        active_anon: 60 * MIB,
        file: 40 * MIB,
        inactive_file: 40 * MIB,
        ..MemoryStat::default()
    };
    CgroupSample {
        path: "/app".to_owned(),
        version: CgroupVersion::V2,
        root: false,
        usage: Ok(100 * MIB),
        limit: Ok(limit),
        limit_is_pods: false,
        swap_limit: Ok(Some(0)),
        stat: Ok(stat),
        kmem: Err(Missing::absent("cgroup v2")),
        events: Events::missing(&Missing::absent("a test")),
        cpus: 1,
        unmarked_files: Some(0),
        churned: 0,
        leaf: true,
        names: None,
    }
}

#[test]
fn of_a_cgroup_it_says_what_stays_and_how_much_more_it_can_have() {
    let root = CgroupSample { path: "/".to_owned(), root: true, ..container(None) };
    let made = |limit| {
        let unread = Missing::absent("a test");
        let of = |sample: &CgroupSample| cgroup::ledger(sample, Err(&unread));
        let mut made = [of(&root), of(&container(limit))];
        limits::settle(&mut made, &Ok(0));
        said(Subject::Cgroup(&made[1]))
    };
    let text = made(Some(200 * MIB));
    assert!(text.starts_with("/app is charged for 100 MiB: "), "{text}");
    assert!(text.contains("about 60.0 MiB of it can not be taken back, with room for 140 MiB under its limit 200 MiB"), "{text}");
    assert!(!made(None).contains("room"), "{}", made(None));
    let lost = CgroupSample { stat: Err(denied()), ..container(None) };
    let text = said(Subject::Cgroup(&cgroup::ledger(&lost, Err(&denied()))));
    assert!(text.contains("of what kind is not known") && !text.contains("fault"), "{text}");
}
