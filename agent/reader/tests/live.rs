//! Readings of this machine, against parsers that others wrote and the kernel's
//! own sums.
#![allow(clippy::unwrap_used, reason = "tests")]

use memgap_ledger::MissingKind;
use memgap_ledger::sample::ProcessKind;
use memgap_reader::{Depth, Error, Found, Reader, Roots, Target, find};

fn reader() -> Reader {
    Reader::open(Roots::default()).unwrap()
}

fn is_before_6_2() -> bool {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = text.split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) < (Some(6), Some(2))
}

#[test]
fn our_own_statistics_close() {
    let sample = reader().process(std::process::id(), Depth::Walk).unwrap();
    assert_eq!(sample.kind, ProcessKind::User);
    let made = memgap_ledger::process::ledger(&sample);
    assert_eq!(made.ledger.total(), made.headline.vsz.point().unwrap());
    let walked: u64 = sample.walk.unwrap().areas.iter().map(|a| a.rss).sum();
    let counted = sample.counters.unwrap().rss;
    let lag = if is_before_6_2() {
        // Each thread's 64 faults, of which one maps up to 16 pages of a file.
        std::fs::read_dir("/proc/self/task").unwrap().count() as u64 * 64 * 16 * 4096
    } else {
        1 << 20
    };
    assert!(walked.abs_diff(counted) <= lag, "{walked} {counted}");
}

#[test]
fn every_process_of_the_machine_is_read() {
    let reader = reader();
    let mut walked = 0;
    for pid in reader.pids().unwrap() {
        match reader.process(pid, Depth::Walk) {
            Ok(sample) => walked += usize::from(sample.walk.is_ok()),
            Err(lack) => assert_eq!(lack.kind, MissingKind::Gone, "{lack}"),
        }
    }
    assert!(walked > 0);
}

#[test]
fn a_pid_that_no_process_has_is_gone() {
    for pid in [0, u32::MAX] {
        let lack = reader().process(pid, Depth::Walk).unwrap_err();
        assert_eq!(lack.kind, MissingKind::Gone);
        assert!(lack.why.contains(&pid.to_string()), "{lack}");
    }
}

#[test]
fn our_own_process_is_found_by_pid_name_and_self() {
    let reader = reader();
    let own = std::process::id();
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    for word in ["self", &own.to_string(), comm.trim_end()] {
        let target: Target = word.parse().unwrap();
        let Found::Process { pid, others } = find(&reader, &target).unwrap() else { panic!() };
        assert!(pid == own || others.contains(&own), "{word}");
    }
}

#[test]
fn what_is_not_there_is_not_found_by_name() {
    for word in ["4294967295", "no such process", "cgroup:/no/such", "container/zz", "pod/a/b"] {
        let target: Target = word.parse().unwrap();
        let error = find(&reader(), &target).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        assert!(error.to_string().starts_with(word), "{error}");
    }
}
