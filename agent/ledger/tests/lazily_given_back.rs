//! Lazily freed memory of a process without a walk: where it is booked, and what is said of it.

mod lists;

use lists::{cgroup_sample, lists};
use memgap_ledger::account::Account;
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::finding::{self, Subject};
use memgap_ledger::sample::{Counters, ProcessSample};
use memgap_ledger::{Missing, MissingKind, Runtime, cgroup, process};

const MIB: u64 = 1 << 20;

fn mib(count: i64) -> i64 {
    count << 20
}

/// The allocator says that it has 140 MiB free, of which it gave back 120 lazily: without a walk they
/// are booked as free, until the lists tell of them.
#[test]
fn what_an_allocator_gave_back_lazily_has_not_moved() {
    let claims = &[(Account::HeapInUse, 60 * MIB), (Account::AllocatorFree, 140 * MIB)];
    let claims = vec![Claim::new(Priority::Malloc, "example", Extent::Anywhere, claims)];
    let counters =
        Counters { vsz: 200 * MIB, rss: 200 * MIB, anon: 200 * MIB, ..Counters::default() };
    let mut unwalked = ProcessSample {
        counters: Ok(counters),
        claims,
        ..ProcessSample::missing(7, &Missing::new(MissingKind::Refused, "over hold"))
    };
    unwalked.runtimes = vec![Ok(Runtime {
        free: Some(140 * MIB),
        released: Some(120 * MIB),
        lazily_freed: Some(120 * MIB),
        trimmable: Some(20 * MIB),
        ..Runtime::named("example")
    })];
    let member = process::ledger(&unwalked);
    let found = |subject, id| {
        let found = finding::findings(subject).into_iter().find(|finding| finding.id == id);
        found.map(|finding| finding.bytes.point())
    };
    assert_eq!(found(Subject::Process(&member), "retention"), Some(Some(mib(20))));
    assert_eq!(found(Subject::Process(&member), "fragmentation"), None);
    let made = cgroup::ledger(&cgroup_sample(&lists(200 * MIB, 120 * MIB)), Ok(&[&member]));
    let accounts = [Account::LazyFree, Account::HeapInUse, Account::AllocatorFree];
    assert_eq!(accounts.map(|a| made.ledger.booked(a)), [mib(120), mib(60), mib(20)]);
    assert_eq!(made.ledger.booked(Account::MovedCharges), 0);
    assert_eq!(found(Subject::Cgroup(&made), "moved-charges"), None);
}
