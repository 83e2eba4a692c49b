//! What is said of cgroups that are watched from one time to the next.

use std::sync::Arc;
use std::time::Duration;

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::finding::{Finding, Severity, Subject, findings};
use memgap_ledger::sample::{
    Area, CgroupSample, CgroupVersion, Counters, HostSample, MemoryStat, ProcessKind,
    ProcessSample, Walk,
};
use memgap_ledger::{
    Account, CgroupLedger, Events, Machines, Missing, ProcessLedger, Runtime, process,
};

const MIB: u64 = 1 << 20;
const STEP: Duration = Duration::from_secs(10);
const LIMIT: u64 = 512 * MIB;

fn program(pid: u32, cgroup: &str, in_use: u64, runtime: &str) -> Arc<ProcessLedger> {
    let heap = Area {
        start: 0x10_0000,
        end: 0x10_0000 + in_use,
        accessible: true,
        writable: true,
        rss: in_use,
        pss: in_use,
        anonymous: in_use,
        private: in_use,
        ..Area::default()
    };
    let claim = Claim {
        priority: Priority::Runtime,
        owner: runtime.to_owned(),
        extent: Extent::Ranges(vec![(heap.start, heap.end)]),
        parts: vec![Part { account: Account::HeapInUse, bytes: in_use }],
    };
    let counters = Counters { vsz: in_use, rss: in_use, anon: in_use, ..Counters::default() };
    Arc::new(process::ledger(&ProcessSample {
        lazily_freed: None,
        one_memory: None,
        pid,
        name: "api".to_owned(),
        kind: ProcessKind::User,
        counters: Ok(counters),
        walk: Ok(Walk { areas: [heap].into(), ..Walk::default() }),
        claims: vec![claim],
        runtimes: vec![Ok(Runtime { in_use: Some(in_use), ..Runtime::named(runtime) })],
        cgroup: Ok(cgroup.to_owned()),
    }))
}

/// One whose anonymous memory is that much, beside page cache that can be taken back.
fn cgroup(path: &str, anon: u64, cache: u64) -> CgroupSample {
    let none = Missing::absent("a test");
    CgroupSample {
        path: path.to_owned(),
        version: CgroupVersion::V2,
        root: false,
        usage: Ok(anon + cache),
        limit: Ok(Some(LIMIT)),
        swap_limit: Ok(Some(0)),
        stat: Ok(MemoryStat {
            anon,
            active_anon: anon,
            file: cache,
            inactive_file: cache,
            ..MemoryStat::default()
        }),
        limit_is_pods: false,
        kmem: Err(none.clone()),
        events: Events::missing(&none),
        cpus: 1,
        unmarked_files: Some(0),
        churned: 0,
        leaf: true,
        names: None,
    }
}

fn host() -> HostSample {
    let none = || Missing::absent("a test");
    HostSample {
        meminfo: Err(none()),
        pcp: Err(none()),
        sock: Err(none()),
        vmstat: Err(none()),
        huge_pages: Err(none()),
        cpus: 1,
    }
}

/// A machine that is read every ten seconds.
struct Watch {
    machines: Machines,
    at: Duration,
}

impl Watch {
    fn new() -> Self {
        Self { machines: Machines::default(), at: Duration::ZERO }
    }

    /// Reads it that often; the last ledgers.
    fn read(
        &mut self,
        times: u64,
        made: impl Fn(u64) -> (Vec<CgroupSample>, Vec<Arc<ProcessLedger>>),
    ) -> Vec<Arc<CgroupLedger>> {
        let host = host();
        let mut last = Vec::new();
        for nth in 0..times {
            let (cgroups, processes) = made(nth);
            let machine = self.machines.next(Some(self.at), &host, &Ok(cgroups), processes);
            last = machine.cgroups.expect("they are known");
            self.at += STEP;
        }
        last
    }
}

fn found(ledger: &CgroupLedger, id: &str) -> Option<Finding> {
    findings(Subject::Cgroup(ledger)).into_iter().find(|finding| finding.id == id)
}

/// Beside a program that leaks one that does not, whose page cache grows as much.
fn leaking(nth: u64) -> (Vec<CgroupSample>, Vec<Arc<ProcessLedger>>) {
    let grown = nth * MIB / 10;
    let go = 60 * MIB + grown;
    let cgroups =
        vec![cgroup("/leaks", go + 50 * MIB, 0), cgroup("/caches", 80 * MIB, 5 * MIB + grown)];
    let processes = vec![
        program(1, "/leaks", go, "go"),
        program(2, "/leaks", 50 * MIB, "glibc"),
        program(3, "/caches", 80 * MIB, "go"),
    ];
    (cgroups, processes)
}

#[test]
fn a_leak_is_found_with_whose_heap_grows_and_not_in_a_neighbour_whose_cache_grows() {
    let mut watch = Watch::new();
    let early = watch.read(60, leaking);
    assert!(early.iter().all(|ledger| found(ledger, "leak-suspected").is_none()));
    let last = watch.read(240, |nth| leaking(60 + nth));
    let leak = found(&last[0], "leak-suspected").expect("it leaks");
    // 36 MiB an hour.
    assert!(leak.summary.contains("grows by 36"), "{}", leak.summary);
    assert!(leak.evidence.iter().any(|line| line.contains("in use by go")), "{leak:?}");
    assert!(leak.remedy.contains("pprof"), "{}", leak.remedy);
    assert_eq!(found(&last[1], "leak-suspected"), None);
    assert!(early.iter().all(|ledger| found(ledger, "no-leak").is_none()));
    let cache = found(&last[1], "no-leak").expect("page cache grew");
    assert!(cache.summary.contains("page cache or lazily freed memory grew"), "{cache:?}");
    assert_eq!(found(&last[0], "no-leak"), None);
    assert_eq!(found(&last[1], "room-shrinking"), None);

    // It stops.
    let last = watch.read(400, |_| leaking(300));
    assert_eq!(found(&last[0], "leak-suspected"), None);
}

#[test]
fn room_that_shrinks_is_said_to_last_as_long_as_it_does() {
    let mut watch = Watch::new();
    let last = watch.read(180, leaking);
    let shrinking = last[0].outlook.shrinking.expect("it shrinks");
    // Of 512 MiB 110 were taken when it began, and 18 since.
    let left = Duration::from_hours(512 - 110 - 18) / 36;
    assert!(shrinking.lasts.abs_diff(left) < left / 50, "{shrinking:?}");
    let (low, high) = shrinking.bounds;
    assert!(low <= left.mul_f64(1.01) && high.is_some_and(|high| high >= left.mul_f64(0.99)));
    let finding = found(&last[0], "room-shrinking").expect("it is found");
    assert_eq!(finding.severity, Severity::Warning);

    let last = watch.read(3_700, |nth| leaking(180 + nth));
    let finding = found(&last[0], "room-shrinking").expect("it is found");
    assert_eq!(finding.severity, Severity::Critical);
    assert!(finding.brief.contains("no room left in"), "{}", finding.brief);
}

#[test]
fn room_of_who_has_no_limit_any_more_does_not_shrink() {
    let mut watch = Watch::new();
    let last = watch.read(180, leaking);
    assert!(last[0].outlook.shrinking.is_some());
    let unlimited = |nth: u64| {
        let (mut cgroups, processes) = leaking(180 + nth);
        cgroups[0].limit = Ok(None);
        (cgroups, processes)
    };
    let last = watch.read(70, unlimited);
    assert_eq!(last[0].outlook.shrinking, None);
}

#[test]
fn the_limit_that_is_advised_is_of_the_peak_of_the_last_day() {
    let mut watch = Watch::new();
    let anon = |nth: u64| if nth == 20 { 200 * MIB } else { 100 * MIB };
    let made = |nth| (vec![cgroup("/a", anon(nth), 50 * MIB)], Vec::new());
    let last = watch.read(100, made);
    assert_eq!(last[0].outlook.advised_limit, None);
    let last = watch.read(300, |nth| made(100 + nth));
    assert_eq!(last[0].outlook.advised_limit, Some((210 * MIB).cast_signed()));
    let last = watch.read(24 * 360, |_| made(0));
    assert_eq!(last[0].outlook.advised_limit, Some((105 * MIB).cast_signed()));
}

/// Nothing is said by one reading, and a cgroup that comes again begins anew.
#[test]
fn who_was_not_watched_has_no_outlook() {
    let mut watch = Watch::new();
    watch.read(300, leaking);
    let gone = watch.read(1, |_| (Vec::new(), Vec::new()));
    assert!(gone.is_empty());
    let again = watch.read(1, |_| leaking(300));
    assert_eq!(again[0].outlook, memgap_ledger::outlook::Outlook::default());
}

#[test]
fn nobody_is_left_out_where_many_grow() {
    let mut watch = Watch::new();
    let made = |nth: u64| {
        let grown = nth * MIB / 10;
        let paths = (0..300u32).map(|at| (at, format!("/{at:03}")));
        let made = paths.map(|(at, path)| {
            let in_use = 60 * MIB + grown;
            (cgroup(&path, in_use, 0), program(at + 1, &path, in_use, "go"))
        });
        made.unzip()
    };
    let last = watch.read(300, made);
    let found = last.iter().filter(|ledger| found(ledger, "leak-suspected").is_some()).count();
    assert_eq!(found, 300);
}
