//! Address space without memory behind it: of private memory nobody else can have any.

use std::time::Duration;

use memgap_ledger::finding::{Finding, Subject, findings};
use memgap_ledger::sample::{Area, AreaKind, Counters, ProcessKind, ProcessSample, Walk};
use memgap_ledger::{Figure, process};

const MIB: u64 = 1 << 20;

/// What is found of a program that mapped a GiB of such memory and touched little.
fn found(kind: AreaKind) -> Option<Finding> {
    let (size, rss) = (1024 * MIB, MIB);
    let area = Area {
        start: 1 << 32,
        end: (1 << 32) + size,
        kind,
        accessible: true,
        writable: true,
        shared: kind == AreaKind::Shmem,
        rss,
        pss: rss,
        ..Area::default()
    };
    let counters = Counters { source: "status", vsz: size, rss, ..Counters::default() };
    let made = process::ledger(&ProcessSample {
        lazily_freed: None,
        one_memory: None,
        pid: 1,
        name: "postgres".to_owned(),
        kind: ProcessKind::User,
        counters: Ok(counters),
        walk: Ok(Walk { areas: vec![area].into(), age: Duration::ZERO, ..Walk::default() }),
        claims: Vec::new(),
        runtimes: Vec::new(),
        cgroup: Ok("/".to_owned()),
    });
    let found = findings(Subject::Process(&made));
    found.into_iter().find(|finding| finding.id == "address-space")
}

#[test]
fn what_others_may_have_written_is_not_called_empty() {
    let private = found(AreaKind::Anonymous).expect("a GiB of it");
    assert_eq!(private.bytes, Figure::exact(1023 * MIB));
    assert_eq!(found(AreaKind::Shmem), None);
    assert_eq!(found(AreaKind::File), None);
}
