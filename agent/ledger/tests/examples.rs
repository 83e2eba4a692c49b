//! The stories that the ledger must tell, in small.

mod lists;

use std::time::Duration;

use lists::{cgroup_sample, lists};
use memgap_ledger::account::Account;
use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::finding::{self, Severity, Subject};
use memgap_ledger::sample::{Area, AreaKind, Counters, ProcessKind, ProcessSample, Walk};
use memgap_ledger::{
    CgroupLedger, Coverage, Figure, Missing, MissingKind, ProcessLedger, Runtime, Unread, cgroup,
    process,
};

const MIB: u64 = 1 << 20;

fn mib(n: i64) -> i64 {
    n << 20
}

fn area(start: u64, size: u64, rss: u64) -> Area {
    Area {
        start,
        end: start + size,
        accessible: true,
        writable: true,
        rss,
        pss: rss,
        anonymous: rss,
        private: rss,
        ..Area::default()
    }
}

fn sample(areas: Vec<Area>, claims: Vec<Claim>) -> ProcessSample {
    let rss = areas.iter().map(|a| a.rss).sum();
    let counters = Counters {
        source: "status",
        vsz: areas.iter().map(Area::size).sum(),
        rss,
        anon: rss,
        file: Some(0),
        shmem: Some(0),
        swap: Some(0),
        threads: Some(3),
        ..Counters::default()
    };
    ProcessSample {
        lazily_freed: None,
        one_memory: None,
        pid: 1,
        name: "example".to_owned(),
        kind: ProcessKind::User,
        counters: Ok(counters),
        walk: Ok(Walk { areas: areas.into(), ..Walk::default() }),
        claims,
        runtimes: Vec::new(),
        cgroup: Ok("/example".to_owned()),
    }
}

fn explain(areas: Vec<Area>, claims: Vec<Claim>) -> ProcessLedger {
    process::ledger(&sample(areas, claims))
}

fn claim(priority: Priority, ranges: &[(u64, u64)], parts: &[(Account, u64)]) -> Claim {
    Claim {
        priority,
        owner: "example".to_owned(),
        extent: Extent::Ranges(ranges.to_vec()),
        parts: parts
            .iter()
            .map(|(account, bytes)| Part { account: *account, bytes: *bytes })
            .collect(),
    }
}

#[test]
fn a_ballast_is_in_use_and_not_resident() {
    let heap = area(0x10_0000, 1100 * MIB, 60 * MIB);
    let whole = (heap.start, heap.end);
    let parts = [(Account::HeapInUse, 1050 * MIB), (Account::AllocatorFree, 20 * MIB)];
    let made = explain(vec![heap], vec![claim(Priority::Runtime, &[whole], &parts)]);
    // Of the 30 MiB that no claim names nothing is known: they may be in use too.
    assert_eq!(made.headline.in_use, Figure::interval(mib(1050), mib(1050), mib(1080)));
    assert_eq!(made.ledger.booked(Account::HeapInUse), mib(60));
    // Only a walk over the runtime's bitmaps could tell: 10 to 60 MiB of it.
    assert_eq!(made.ledger.figure(Account::HeapInUse).bounds(), Some((mib(10), mib(60))));
    assert_eq!(made.ledger.booked(Account::Untouched), mib(1040));
    let in_use = made.in_use.expect("claimed");
    assert_eq!(in_use.untouched.point(), Some(mib(990)));
}

#[test]
fn kept_statistics_claim_no_more_than_a_newer_walk_found_and_are_dated() {
    // The walk saw what was given back since the heap statistics were read.
    let heap = area(0x10_0000, 40 * MIB, 40 * MIB);
    let then = (heap.start, heap.start + 100 * MIB);
    let claims = vec![claim(Priority::Runtime, &[then], &[(Account::HeapInUse, 100 * MIB)])];
    let age = Duration::from_mins(2);
    let runtimes = vec![Ok(Runtime { age, ..Runtime::named("example") })];
    let made = process::ledger(&ProcessSample { runtimes, ..sample(vec![heap], claims) });
    assert_eq!(made.ledger.booked(Account::HeapInUse), mib(40));
    assert_eq!((made.ledger.booked(Account::Skew), made.cut), (0, 60 * MIB));
    let entry = made.ledger.entries().find(|e| e.account == Account::HeapInUse);
    assert_eq!(entry.expect("of the scope").age, age);
    // What looks like a ballast need not be one.
    let untouched = made.in_use.expect("claimed").untouched;
    assert_eq!((untouched.point(), untouched.bounds()), (Some(mib(60)), Some((0, mib(100)))));
}

/// ZGC of Java 11 to 17 maps its heap three times: two thirds of the Rss are the same
/// pages again.
#[test]
fn a_heap_that_is_mapped_several_times_counts_once() {
    let view = |start: u64, rss: u64, pss: u64| Area {
        kind: AreaKind::Shmem,
        anonymous: 0,
        pss: pss * MIB,
        ..area(start, 100 * MIB, rss * MIB)
    };
    let views = [view(1 << 42, 80, 30), view(1 << 43, 60, 20), view(1 << 44, 10, 5)];
    let other = view(1 << 45, 7, 7);
    let heap = vec![(1 << 42, 3 << 42), (1 << 44, 1 << 45)];
    let parts = [(Account::HeapInUse, 40 * MIB), (Account::AllocatorFree, 60 * MIB)];
    let ranged = claim(Priority::Runtime, &[], &parts);
    let claims = vec![Claim { extent: Extent::Shared(heap), ..ranged }];
    let made = explain([&views[..], &[other]].concat(), claims.clone());
    assert_eq!(made.ledger.booked(Account::HeapInUse), mib(40));
    assert_eq!(made.ledger.booked(Account::AllocatorFree), mib(15));
    assert_eq!(made.ledger.booked(Account::Shmem), mib(150 + 7 - 55));
    assert_eq!((made.ledger.booked(Account::Skew), made.cut), (0, 0));
    // Nothing tells which of its pages were never touched: at most the other 45.
    assert_eq!(made.ledger.figure(Account::HeapInUse).bounds(), Some((0, mib(40))));

    // Without a walk nothing tells how often a page counts.
    let mut unwalked = sample(Vec::new(), claims);
    unwalked.walk = Err(Missing::absent("not walked"));
    let counters = unwalked.counters.as_mut().expect("read");
    (counters.rss, counters.shmem) = (157 * MIB, Some(157 * MIB));
    let made = process::ledger(&unwalked);
    assert_eq!(made.ledger.figure(Account::AllocatorFree).bounds(), Some((0, mib(60))));
    assert_eq!(made.ledger.booked(Account::Shmem), mib(57));
    assert_eq!(made.ledger.booked(Account::Skew), 0);
}

#[test]
fn lazily_freed_memory_leaves_the_allocators_free() {
    let mut heap = area(0x10_0000, 100 * MIB, 100 * MIB);
    heap.lazy_free = 30 * MIB;
    let whole = (heap.start, heap.end);
    let parts = [(Account::HeapInUse, 50 * MIB), (Account::AllocatorFree, 50 * MIB)];
    let made = explain(vec![heap], vec![claim(Priority::Malloc, &[whole], &parts)]);
    assert_eq!(made.ledger.figure(Account::LazyFree), Figure::Exact(mib(30)));
    assert_eq!(made.ledger.booked(Account::HeapInUse), mib(50));
    assert_eq!(made.ledger.booked(Account::AllocatorFree), mib(20));
    assert_eq!(made.ledger.booked(Account::Unexplained), 0);
}

#[test]
fn the_more_specific_claim_keeps_the_bytes_and_the_rest_is_cut() {
    let heap = area(0x10_0000, 64 * MIB, 64 * MIB);
    let (start, end) = (heap.start, heap.end);
    let arena = (start, start + 16 * MIB);
    let nested = claim(Priority::Nested, &[arena], &[(Account::HeapInUse, 16 * MIB)]);
    let malloc = claim(Priority::Malloc, &[(start, end)], &[(Account::HeapInUse, 64 * MIB)]);
    let made = explain(vec![heap], vec![malloc, nested]);
    assert_eq!(made.ledger.booked(Account::HeapInUse), mib(64));
    assert_eq!(made.ledger.booked(Account::Unexplained), 0);
    assert_eq!(made.cut, 16 * MIB);
}

#[test]
fn what_no_claim_holds_is_unexplained_only_once_statistics_were_read() {
    let areas = || vec![area(0x10_0000, 8 * MIB, 8 * MIB), area(0x1000_0000, 4 * MIB, 4 * MIB)];
    let unread = explain(areas(), Vec::new());
    assert_eq!(unread.ledger.booked(Account::HeapUnprobed), mib(12));
    assert_eq!(unread.ledger.figure(Account::HeapInUse), Figure::Absent);
    let heap = areas()[0].clone();
    let parts = [(Account::HeapInUse, 8 * MIB)];
    let read = explain(areas(), vec![claim(Priority::Malloc, &[(heap.start, heap.end)], &parts)]);
    assert_eq!(read.ledger.booked(Account::HeapUnprobed), 0);
    assert_eq!(read.ledger.booked(Account::Unexplained), mib(4));
}

#[test]
fn what_may_be_of_an_allocator_that_was_not_read_is_unprobed() {
    let heap = area(0x10_0000, 8 * MIB, 8 * MIB);
    let claims = vec![claim(
        Priority::Malloc,
        &[(heap.start, heap.start + MIB)],
        &[(Account::HeapInUse, MIB)],
    )];
    for (within_another, unprobed) in [(false, mib(7)), (true, 0)] {
        let mut sample = sample(vec![heap.clone()], claims.clone());
        let why = Missing::absent("no probe reads it");
        let (name, file) = ("zend".to_owned(), "/usr/bin/php".to_owned());
        sample.runtimes.push(Err(Unread { name, file, why, within_another }));
        let made = process::ledger(&sample);
        assert_eq!(made.ledger.booked(Account::HeapUnprobed), unprobed);
        assert_eq!(made.ledger.booked(Account::Unexplained), mib(7) - unprobed);
        let said = "zend in /usr/bin/php: no probe reads it";
        assert_eq!(made.unread.iter().map(ToString::to_string).collect::<Vec<_>>(), [said]);
        assert!(made.absent.iter().any(|a| a.what == "runtime" && *a.missing.why == *said));
        let of_group = cgroup::ledger(&cgroup_sample(&lists(8 * MIB, 0)), Ok(&[&made]));
        assert_eq!(of_group.unread, ["zend"]);
        assert_eq!(Coverage::of([&made]).unread, ["zend".to_owned()].into());
    }
}

#[test]
fn stacks_and_program_data_are_reported_by_what_lies_below_them() {
    let data = Area { kind: AreaKind::File, ..area(0x40_0000, MIB, MIB) };
    let bss = area(data.end, MIB, MIB);
    let guard = Area { accessible: false, writable: false, ..area(0x7000_0000, 4096, 0) };
    let stack = area(guard.end, 8 * MIB, MIB / 2);
    let other = area(0x7800_0000, MIB, MIB);
    let made = explain(vec![data, bss, guard, stack, other], Vec::new());
    assert_eq!(made.ledger.booked(Account::ElfData), mib(2));
    assert_eq!(made.ledger.figure(Account::Stack).bounds(), Some((0, mib(1) / 2)));
    assert_eq!(made.ledger.booked(Account::HeapUnprobed), mib(1));
    assert_eq!(made.ledger.booked(Account::Reserved), 4096);
}

#[test]
fn a_refused_walk_and_a_denied_one_are_reported_apart() {
    let heap = || vec![area(0x10_0000, 8 * MIB, 8 * MIB)];
    for (kind, account) in
        [(MissingKind::Refused, Account::HeapUnprobed), (MissingKind::Denied, Account::Unreadable)]
    {
        let mut sample = sample(heap(), Vec::new());
        sample.walk = Err(Missing::new(kind, "why"));
        let made = process::ledger(&sample);
        assert_eq!(made.ledger.booked(account), mib(8), "{kind:?}");
        assert_eq!(made.ledger.figure(Account::LazyFree), Figure::Absent);
    }
}

#[test]
fn a_look_at_every_page_that_failed_says_why() {
    let mut sample = sample(vec![area(0x10_0000, 8 * MIB, 6 * MIB)], Vec::new());
    let why = Missing::new(MissingKind::Denied, "/proc/1/pagemap may not be read");
    let walk = sample.walk.as_mut().expect("walked");
    walk.resident = Some(Err(why.clone()));
    let made = process::ledger(&sample);
    let pages = made.absent.iter().find(|a| a.what == "pages").map(|a| &a.missing);
    assert_eq!(pages, Some(&why));
    assert!(made.is_denied() && made.is_walked());
}

/// Measured on Linux 6.18: 256 of 512 MiB lazily freed, then all written again.
#[test]
fn memory_written_again_is_hidden_from_the_working_set() {
    let member = explain(vec![area(0x10_0000, 512 * MIB, 512 * MIB)], Vec::new());
    let sample = cgroup_sample(&lists(512 * MIB, 256 * MIB));
    let made = cgroup::ledger(&sample, Ok(&[&member]));
    assert_eq!(made.headline.working_set, Figure::exact(256 * MIB));
    assert_eq!(made.headline.working_set_hidden.point(), Some(mib(256)));
    assert_eq!(made.headline.required.point(), Some(mib(512)));
    assert_eq!(made.ledger.booked(Account::MovedCharges), 0);
    assert_eq!(severity_of_hidden(&made), Severity::Critical);
}

fn severity_of_hidden(made: &CgroupLedger) -> Severity {
    let found = finding::findings(Subject::Cgroup(made));
    found.iter().find(|f| f.id == "hidden-working-set").expect("memory is hidden").severity
}

/// 160 MiB on the lists, of which a walk some time ago saw 64 MiB still lazy.
#[test]
fn a_dated_walk_tells_hidden_memory_from_lazy_memory() {
    let mut heap = area(0x10_0000, 200 * MIB, 200 * MIB);
    heap.lazy_free = 64 * MIB;
    let mut dated = sample(vec![heap], Vec::new());
    if let Ok(walk) = &mut dated.walk {
        walk.age = Duration::from_secs(30);
    }
    let member = process::ledger(&dated);
    let made = cgroup::ledger(&cgroup_sample(&lists(200 * MIB, 160 * MIB)), Ok(&[&member]));
    let lazy = made.ledger.figure(Account::LazyFree);
    assert_eq!((lazy.point(), lazy.quality()), (Some(mib(64)), "interval"));
    assert_eq!(made.headline.working_set_hidden.point(), Some(mib(96)));
    assert_eq!(made.headline.working_set_hidden.bounds().map(|(low, _)| low), Some(0));
    assert_eq!(severity_of_hidden(&made), Severity::Warning, "by what the walk saw");
    assert_eq!(made.ledger.booked(Account::MovedCharges), 0);
}

/// Nothing was walked: what the lists hold is taken for lazy, once.
#[test]
fn without_a_walk_lazy_memory_counts_once() {
    let mut unwalked = sample(vec![area(0x10_0000, 200 * MIB, 200 * MIB)], Vec::new());
    unwalked.walk = Err(Missing::new(MissingKind::Refused, "over budget"));
    let member = process::ledger(&unwalked);
    let made = cgroup::ledger(&cgroup_sample(&lists(200 * MIB, 160 * MIB)), Ok(&[&member]));
    assert_eq!(made.ledger.booked(Account::LazyFree), mib(160));
    assert_eq!(made.ledger.booked(Account::HeapUnprobed), mib(40));
    assert_eq!(made.ledger.booked(Account::MovedCharges), 0);
}

/// Of 200 MiB 60 are in use, and 120 the allocator gave back lazily.
#[test]
fn without_a_walk_statistics_tell_what_is_lazily_freed() {
    let in_use = &[(Account::HeapInUse, 60 * MIB)];
    let claims = vec![Claim::new(Priority::Malloc, "example", Extent::Anywhere, in_use)];
    let mut unwalked = sample(vec![area(0x10_0000, 200 * MIB, 200 * MIB)], claims);
    unwalked.walk = Err(Missing::new(MissingKind::Refused, "over budget"));
    let lazily_freed = Some(120 * MIB);
    unwalked.runtimes = vec![Ok(Runtime { lazily_freed, ..Runtime::named("example") })];
    let member = process::ledger(&unwalked);
    let lazy = member.ledger.figure(Account::LazyFree);
    assert_eq!(lazy, Figure::interval(0, mib(120), mib(120)));
    assert_eq!(member.ledger.booked(Account::Unexplained), mib(20));
    assert_eq!(member.ledger.booked(Account::Skew), 0);
    let made = cgroup::ledger(&cgroup_sample(&lists(200 * MIB, 120 * MIB)), Ok(&[&member]));
    let accounts = [Account::LazyFree, Account::HeapInUse, Account::Unexplained];
    assert_eq!(accounts.map(|a| made.ledger.booked(a)), [mib(120), mib(60), mib(20)]);
    assert_eq!(made.ledger.booked(Account::MovedCharges), 0);
}

/// 50 MiB came since the walk: heap, as far as anyone knows, and no moved charge.
#[test]
fn what_came_since_a_dated_walk_is_heap() {
    let mut grown = sample(vec![area(0x10_0000, 200 * MIB, 100 * MIB)], Vec::new());
    if let (Ok(walk), Ok(counters)) = (&mut grown.walk, &mut grown.counters) {
        walk.age = Duration::from_secs(30);
        counters.rss += 50 * MIB;
        counters.anon += 50 * MIB;
    }
    let member = process::ledger(&grown);
    assert_eq!(member.ledger.booked(Account::HeapUnprobed), mib(150));
    assert_eq!(member.ledger.booked(Account::Skew), 0);
    let made = cgroup::ledger(&cgroup_sample(&lists(150 * MIB, 0)), Ok(&[&member]));
    assert_eq!(made.ledger.booked(Account::MovedCharges), 0);
}

#[test]
fn what_stands_behind_a_librarys_data_is_likely_its_bss() {
    let data = Area { kind: AreaKind::File, ..area(0x10_0000, MIB, 4 << 10) };
    let behind = |size: u64| area(data.end, size, size);
    let of = |below: &Area, size| {
        let made = explain(vec![below.clone(), behind(size)], Vec::new());
        [Account::ElfData, Account::HeapUnprobed].map(|account| made.ledger.figure(account))
    };
    let (page, size) = (4 << 10, 64 << 10);
    let bss = [Figure::interval(page, page + size, page + size), Figure::interval(0, 0, size)];
    assert_eq!(of(&data, 64 << 10), bss);
    // The kernel merges heap memory with the .bss below it.
    let merged = [Figure::interval(page, page, page + mib(8)), Figure::interval(0, mib(8), mib(8))];
    assert_eq!(of(&data, 8 * MIB), merged);
    // Behind a file that is shared, and so without pages of its own, is no .bss.
    let shared = Area { anonymous: 0, private: 0, ..data.clone() };
    assert_eq!(of(&shared, 64 << 10), [Figure::Exact(0), Figure::Exact(size)]);
}

#[test]
fn memory_that_may_be_a_stack_may_be_heap() {
    let guard = Area { accessible: false, writable: false, ..area(0x10_0000, 4 << 10, 0) };
    let stack = area(guard.end, 8 * MIB, 40 << 10);
    let made = explain(vec![guard, stack], Vec::new());
    let likely = 40 << 10;
    assert_eq!(made.ledger.figure(Account::Stack), Figure::interval(0, likely, likely));
    assert_eq!(made.ledger.figure(Account::HeapUnprobed), Figure::interval(0, 0, likely));
}

#[test]
fn lazily_freed_pages_that_a_fork_shares_are_charged_once() {
    let shared = Area {
        pss: 50 * MIB,
        private: 0,
        lazy_free: 60 * MIB,
        ..area(0x10_0000, 100 * MIB, 100 * MIB)
    };
    let parent = explain(vec![shared.clone()], Vec::new());
    let child = explain(vec![shared], Vec::new());
    let group = cgroup_sample(&lists(100 * MIB, 60 * MIB));
    let made = cgroup::ledger(&group, Ok(&[&parent, &child]));
    assert_eq!(made.ledger.figure(Account::LazyFree), Figure::Exact(mib(60)));
    assert_eq!(made.ledger.figure(Account::HeapUnprobed), Figure::Exact(mib(40)));
    // As well known as what memory.stat says.
    assert_eq!(made.ledger.figure(Account::MovedCharges), Figure::interval(-mib(1), 0, mib(1)));
}
