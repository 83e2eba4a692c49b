//! What an endpoint tells, where a probe answered and where none did.

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::sample::{Counters, ProcessSample};
use memgap_ledger::{Account, Figure, Missing, MissingKind, Report, Runtime, Unread, process};

const MIB: u64 = 1 << 20;

/// A process of 100 MiB, all anonymous, by its counters.
fn sample() -> ProcessSample {
    let unread = Missing::new(MissingKind::Refused, "not asked for");
    let counters = Counters {
        source: "status",
        vsz: 200 * MIB,
        rss: 100 * MIB,
        anon: 100 * MIB,
        file: Some(0),
        shmem: Some(0),
        swap: Some(0),
        threads: Some(1),
        ..Counters::default()
    };
    ProcessSample { counters: Ok(counters), ..ProcessSample::missing(7, &unread) }
}

fn runtime(name: &str, in_use: u64) -> Runtime {
    Runtime { in_use: Some(in_use), ..Runtime::named(name) }
}

fn reported(name: &str, in_use: u64, resident: Option<u64>) -> Report {
    let claim = Claim {
        priority: Priority::Runtime,
        owner: name.to_owned(),
        extent: Extent::Anywhere,
        parts: vec![Part { account: Account::HeapInUse, bytes: in_use }],
    };
    let statistics = vec![(runtime(name, in_use), vec![claim])];
    Report { source: "http://127.0.0.1:1/metrics".to_owned(), resident, statistics }
}

#[test]
fn where_no_probe_answered_the_endpoint_counts() {
    let mut sample = sample();
    sample.runtimes.push(Err(Unread::process(Missing::absent("go 1.12 is not read from outside"))));
    sample.add_report(Ok(reported("go", 30 * MIB, Some(100 * MIB))));
    let made = process::ledger(&sample);
    // What its figures do not speak of may be in use too.
    assert_eq!(made.headline.in_use, Figure::interval(30 << 20, 30 << 20, 100 << 20));
    assert_eq!(made.ledger.booked(Account::HeapInUse), 30 << 20);
    assert_eq!(made.ledger.booked(Account::HeapUnprobed), 70 << 20);
    assert_eq!((made.runtimes.len(), &made.runtimes[0].second_source), (1, &None));
    assert!(made.absent.iter().any(|a| a.what == "runtime"), "why no probe did is still said");
}

#[test]
fn where_a_probe_answered_the_endpoint_is_compared() {
    let mut sample = sample();
    let beside = runtime("glibc", 29 * MIB);
    sample.runtimes = [runtime("go", 2 * MIB), runtime("go", 31 * MIB), beside].map(Ok).to_vec();
    let claims = sample.claims.clone();
    sample.add_report(Ok(reported("go", 30 * MIB, None)));
    assert_eq!(sample.claims, claims, "no byte is claimed by both");
    let made = process::ledger(&sample);
    let second: Vec<_> =
        made.runtimes.iter().map(|r| r.second_source.as_ref().map(|s| s.differs_by)).collect();
    assert_eq!(second, [None, None, Some(-(1 << 20))], "with the nearer of two Go runtimes");
}

#[test]
fn another_process_is_not_heard() {
    for (resident, received) in [(50, true), (200, true), (49, false), (202, false), (0, false)] {
        let mut sample = sample();
        sample.add_report(Ok(reported("go", 30 * MIB, Some(resident * MIB))));
        assert_eq!(sample.claims.len(), usize::from(received), "{resident}");
        assert_eq!(sample.runtimes[0].is_ok(), received, "{resident}");
    }
}

#[test]
fn absurd_amounts_do_not_open_the_statistics() {
    for in_use in [i64::MAX as u64, u64::MAX] {
        let mut sample = sample();
        sample.runtimes.push(Ok(runtime("jemalloc", 0)));
        sample.add_report(Ok(reported("jemalloc", in_use, None)));
        sample.add_report(Ok(reported("go", in_use, None)));
        let made = process::ledger(&sample);
        assert_eq!(made.ledger.total(), made.headline.vsz.point().expect("known"));
        let compared = made.runtimes[1].second_source.as_ref().expect("compared");
        assert_eq!(compared.differs_by, i64::MAX);
    }
}
