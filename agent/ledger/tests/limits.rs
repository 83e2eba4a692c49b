//! Situations that operators reported, in figures: what a limit has to hold, what the
//! kernel can take back, and whose limit is met first.

use memgap_ledger::finding::{Severity, Subject, findings};
use memgap_ledger::note::notes;
use memgap_ledger::sample::{
    CgroupSample, CgroupVersion, Counters, MemoryStat, ProcessKind, ProcessSample,
};
use memgap_ledger::{Account, CgroupLedger, Events, Figure, Missing, cgroup, gap, limits, process};

const MIB: u64 = 1 << 20;

fn mib(bytes: i64) -> i64 {
    bytes << 20
}

fn absent() -> Missing {
    Missing::absent("a test")
}

/// A leaf of cgroup v2 whose usage is what the lists and the kernel hold.
fn sample(path: &str, limit: Option<u64>, stat: &MemoryStat) -> CgroupSample {
    let usage = stat.anon + stat.file + stat.kernel.unwrap_or(0);
    CgroupSample {
        path: path.to_owned(),
        version: CgroupVersion::V2,
        root: path == "/",
        usage: Ok(usage),
        limit: Ok(limit.map(|mib| mib * MIB)),
        limit_is_pods: false,
        swap_limit: Ok(Some(0)),
        stat: Ok(*stat),
        kmem: Err(absent()),
        events: Events::missing(&absent()),
        cpus: 0,
        unmarked_files: Some(0),
        churned: 0,
        leaf: true,
        names: None,
    }
}

fn alone(sample: &CgroupSample) -> CgroupLedger {
    cgroup::ledger(sample, Err(&absent()))
}

fn why(made: &CgroupLedger, from: &str, to: &str) -> String {
    let gaps = gap::of_cgroup(made);
    let gap = gaps.into_iter().find(|gap| (gap.from, gap.to) == (from, to));
    gap.map(|gap| gap.why).unwrap_or_default()
}

/// 230 MiB of page cache, 229 of them locked by a process of another cgroup.
fn locked_by_a_stranger() -> MemoryStat {
    MemoryStat {
        anon: 16 * MIB,
        file: 230 * MIB,
        active_anon: 16 * MIB,
        inactive_file: MIB,
        unevictable: 229 * MIB,
        ..MemoryStat::default()
    }
}

#[test]
fn cache_that_a_stranger_locked_is_required_and_said() {
    let made = alone(&sample("/app", Some(300), &locked_by_a_stranger()));
    assert_eq!(made.headline.required, Figure::Exact(mib(16 + 229)));
    assert_eq!(
        why(&made, "usage", "required"),
        "the kernel can take back 1.0 MiB page cache; 229 MiB of page cache are locked in memory, or of ramfs, and stay"
    );
}

#[test]
fn lazily_freed_memory_does_not_hide_locked_cache_where_the_kernel_counts_it() {
    let stat = MemoryStat { ever_lazily_freed: Some(0), ..locked_by_a_stranger() };
    // 40 MiB of what is unevictable may be the heap's: the lists tell that it is not.
    let stat = MemoryStat { unevictable: 250 * MIB, anon: 56 * MIB, ..stat };
    let made = alone(&sample("/app", Some(300), &stat));
    assert_eq!(made.headline.required, Figure::Exact(mib(56 + 229)));
}

/// Folios that a lock does not cover as a whole stay on the lists of reclaim, which can not
/// take them.
#[test]
fn cache_that_somebody_may_have_locked_on_the_lists_may_be_required() {
    let stat = MemoryStat {
        inactive_file: 100 * MIB,
        active_file: 98 * MIB,
        unevictable: 32 * MIB,
        file_mapped: Some(64 * MIB),
        ..locked_by_a_stranger()
    };
    let required = |unmarked_files, file_mapped| {
        let stat = MemoryStat { file_mapped, ..stat };
        let sample = CgroupSample { unmarked_files, ..sample("/app", Some(300), &stat) };
        alone(&sample).headline.required
    };
    assert_eq!(required(Some(0), Some(64 * MIB)), Figure::Exact(mib(16 + 32)));
    for (locked, mapped) in [(Some(20 * MIB), 64), (Some(900 * MIB), 20), (None, 20)] {
        let expected = Figure::interval(mib(48), mib(48), mib(48 + 20));
        assert_eq!(required(locked, Some(mapped * MIB)), expected);
    }
    // Nobody knows: all of the page cache may be.
    assert_eq!(required(None, None), Figure::interval(mib(48), mib(48), mib(16 + 230)));
}

/// 100 MiB of kernel memory on v1, of which a process has 4 MiB of page tables and 64
/// stacks.
#[test]
fn kernel_memory_of_v1_is_an_interval_and_said() {
    let stat = MemoryStat { anon: 16 * MIB, active_anon: 16 * MIB, ..MemoryStat::default() };
    let mut v1 = sample("/app", Some(300), &stat);
    (v1.version, v1.kmem, v1.usage) = (CgroupVersion::V1, Ok(100 * MIB), Ok(116 * MIB));
    let counters = Counters {
        source: "status",
        rss: 16 * MIB,
        anon: 16 * MIB,
        threads: Some(64),
        page_tables: Some(4 * MIB),
        ..Counters::default()
    };
    let member = ProcessSample {
        kind: ProcessKind::User,
        counters: Ok(counters),
        ..ProcessSample::missing(7, &absent())
    };
    let made = cgroup::ledger(&v1, Ok(&[&process::ledger(&member)]));
    assert_eq!(made.headline.required, Figure::interval(mib(21), mib(116), mib(116)));
    let said = notes(Subject::Cgroup(&made)).join("\n");
    assert!(said.contains("how much of 100 MiB of kernel memory can be dropped"), "{said}");
    assert!(said.contains("4.0 MiB page tables and 1.0 MiB stacks of 64 threads"), "{said}");
}

#[test]
fn kernel_memory_of_v2_is_told_apart() {
    let stat = MemoryStat {
        anon: MIB,
        active_anon: MIB,
        kernel: Some(60 * MIB),
        slab_reclaimable: Some(20 * MIB),
        slab_unreclaimable: Some(10 * MIB),
        kernel_stack: Some(4 * MIB),
        pagetables: Some(3 * MIB),
        sec_pagetables: Some(2 * MIB),
        percpu: Some(MIB),
        vmalloc: Some(5 * MIB),
        zswap: Some(6 * MIB),
        ..MemoryStat::default()
    };
    let made = alone(&sample("/app", None, &stat));
    let booked = memgap_ledger::account::KERNEL.iter().map(|a| made.ledger.booked(*a) >> 20);
    assert_eq!(booked.collect::<Vec<_>>(), [10, 4, 5, 1, 5, 6, 9]);
    assert_eq!(made.headline.required, Figure::interval(mib(41), mib(41), mib(61)));
}

/// A container that ended left 250 MiB of tmpfs to its pod, whose limit is 300 MiB.
#[test]
fn room_is_the_pods_and_names_what_nobody_holds() {
    let files = |mib: u64| MemoryStat {
        anon: 7 * MIB,
        active_anon: 7 * MIB,
        file: mib * MIB,
        shmem: mib * MIB,
        inactive_anon: mib * MIB,
        ..MemoryStat::default()
    };
    let mut made = [
        alone(&sample("/", None, &files(900))),
        alone(&sample("/pod", Some(300), &files(250))),
        alone(&sample("/pod/app", Some(280), &files(0))),
    ];
    limits::settle(&mut made, &Ok(0));
    let room = made[2].room.as_ref().expect("limited");
    assert_eq!((room.bytes, room.limit.path.as_str()), (Figure::Exact(mib(43)), "/pod"));
    let said = notes(Subject::Cgroup(&made[2])).join("\n");
    assert!(said.contains("the limit 300 MiB of /pod"), "{said}");
    assert!(said.contains("250 MiB of it are charged to no cgroup that lives"), "{said}");
    let found = findings(Subject::Cgroup(&made[2]));
    assert!(found.iter().any(|f| f.id == "ancestor-limit"), "{found:?}");
    // Nothing limits the root, and of a part of a hierarchy not all limits are known.
    assert!(made[0].room.is_err());
    let mut part = [alone(&CgroupSample { root: false, ..sample("/", Some(280), &files(0)) })];
    limits::settle(&mut part, &Ok(0));
    let room = part[0].room.as_ref().expect("limited");
    assert_eq!((room.bytes, room.is_whole), (Figure::interval(0, mib(273), mib(273)), false));
}

#[test]
fn room_counts_what_can_be_swapped_out_and_no_more() {
    let stat = MemoryStat { anon: 60 * MIB, active_anon: 60 * MIB, ..MemoryStat::default() };
    let room = |limit, used: u64, free: u64| {
        let mut app = sample("/app", Some(100), &stat);
        (app.swap_limit, app.events.swap) = (Ok(limit), Ok(used * MIB));
        let root = CgroupSample { swap_limit: Ok(None), ..sample("/", None, &stat) };
        let mut made = [alone(&root), alone(&app)];
        limits::settle(&mut made, &Ok(free * MIB));
        made[1].room.as_ref().map(|room| room.bytes).ok()
    };
    assert_eq!(room(Some(80 * MIB), 71, 500), Some(Figure::Exact(mib(40 + 9))));
    assert_eq!(room(Some(80 * MIB), 71, 5), Some(Figure::Exact(mib(40 + 5))));
    assert_eq!(room(None, 0, 500), Some(Figure::Exact(mib(40 + 500))));
    assert_eq!(room(Some(0), 0, 500), Some(Figure::Exact(mib(40))));
}

#[test]
fn no_sentence_says_no_danger_beside_oom_kills() {
    let stat = MemoryStat {
        anon: 20 * MIB,
        active_anon: 20 * MIB,
        file: 170 * MIB,
        active_file: 170 * MIB,
        ..MemoryStat::default()
    };
    let mut killed = sample("/app", Some(200), &stat);
    (killed.events.oom_kills, killed.events.peak) = (Ok(3), Ok(200 * MIB));
    for found in findings(Subject::Cgroup(&alone(&killed))) {
        assert!(!format!("{found:?}").contains("no danger"), "{found:?}");
        assert!(found.id != "reclaimable-working-set" || found.remedy.contains("OOM-killed"));
    }
    let said = notes(Subject::Cgroup(&alone(&killed))).join("\n");
    assert!(said.contains("the OOM killer ended 3 processes"), "{said}");
}

#[test]
fn at_memory_high_it_is_throttled_however_far_the_limit_is() {
    let stat = MemoryStat { anon: 60 * MIB, active_anon: 60 * MIB, ..MemoryStat::default() };
    let mut high = sample("/app", Some(200), &stat);
    (high.events.high, high.events.throttled) = (Ok(Some(60 * MIB)), Ok(900));
    let found = findings(Subject::Cgroup(&alone(&high)));
    let found = found.iter().find(|f| f.id == "throttled").expect("it is found");
    assert_eq!(found.severity, Severity::Warning);
    assert!(found.summary.contains("memory.high 60.0 MiB"), "{}", found.summary);
    high.events.throttled = Ok(0);
    assert!(findings(Subject::Cgroup(&alone(&high))).iter().all(|f| f.id != "throttled"));
}

/// On Linux 6.1 all that a program wrote within two seconds may be missing in memory.stat.
#[test]
fn what_memory_stat_lacks_yet_is_charged_to_nobody_else() {
    let counters = Counters { vsz: 64 * MIB, rss: 16 * MIB, anon: 16 * MIB, ..Counters::default() };
    let member = ProcessSample {
        kind: ProcessKind::User,
        counters: Ok(counters),
        ..ProcessSample::missing(7, &absent())
    };
    let said = |usage| {
        let stat = MemoryStat::default();
        let sample = CgroupSample { usage: Ok(usage), cpus: 2, ..sample("/app", None, &stat) };
        let made = cgroup::ledger(&sample, Ok(&[&process::ledger(&member)]));
        assert_eq!(made.ledger.booked(Account::MovedCharges), -mib(16));
        let found = findings(Subject::Cgroup(&made)).into_iter();
        found.map(|finding| finding.summary).collect::<Vec<_>>().join("\n")
    };
    let (charged, elsewhere) = (said(16 * MIB), said(0));
    assert!(!charged.contains("charged to it"), "{charged}");
    let sentence = "at least 15.0 MiB of its processes' anonymous memory are not charged to it";
    assert!(elsewhere.contains(sentence), "{elsewhere}");
}
