//! Servers that nobody here wrote: redis, PostgreSQL and nginx. Stopped with
//! SIGSTOP, so that their figures can be compared with the kernel's to the byte.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use memgap_ledger::account::{self, Account};
use memgap_ledger::{Figure, ProcessLedger, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::service::Service;

/// Explains a stopped process and holds it against the kernel's own words.
fn explain(pid: u32) -> ProcessLedger {
    let frozen = Frozen::stop(pid).expect("the process is ours");
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let made = process::ledger(&reader.process(pid, Depth::Walk).expect("it is running"));
    let kernel = frozen.kernel().expect("smaps_rollup and statm are readable");
    let h = &made.headline;
    assert_eq!(h.vsz, Figure::exact(kernel.vsz), "VSZ");
    assert_eq!(h.rss, Figure::exact(kernel.rss), "RSS");
    // Each mapping's Pss is rounded down to a kilobyte, the rollup's only once.
    let pss = h.pss.point().expect("walked");
    let rounding = i64::try_from(kernel.areas * 1024).expect("small");
    let rollup = i64::try_from(kernel.pss).expect("small");
    assert!((rollup - rounding..=rollup).contains(&pss), "PSS {pss}, kernel {rollup}");
    assert_eq!(made.ledger.figure(Account::LazyFree), Figure::exact(kernel.lazy_free));
    assert_eq!(made.ledger.sum(account::RSS), h.rss.point().expect("known"));
    assert_eq!(made.ledger.total(), h.vsz.point().expect("known"));
    let bound = (h.rss.point().expect("known") / 200).max(64 << 10);
    assert!(made.ledger.booked(Account::Skew).abs() <= bound);
    made
}

/// No books are read yet, so the heap is known as a whole: nothing of it may lie
/// on `unexplained`, and what lies on `heap_unprobed` is within the anonymous memory.
fn heap_is_unprobed(made: &ProcessLedger, at_least: i64) {
    let heap = made.ledger.booked(Account::HeapUnprobed);
    assert!(heap >= at_least, "heap_unprobed {heap}");
    assert_eq!(made.ledger.booked(Account::Unexplained), 0);
    assert_eq!(made.ledger.booked(Account::Unreadable), 0);
}

#[test]
fn redis_with_data() {
    let redis = Service::redis().expect("redis starts");
    let mut socket = UnixStream::connect(redis.socket()).expect("redis answers");
    socket.write_all(b"DEBUG POPULATE 200000 key 100\r\n").expect("sent");
    let mut reply = [0; 5];
    socket.read_exact(&mut reply).expect("answered");
    assert_eq!(&reply, b"+OK\r\n");
    heap_is_unprobed(&explain(redis.pid()), 200_000 * 100);
}

#[test]
fn postgres_and_its_backends() {
    let postgres = Service::postgres().expect("postgres starts");
    let made = explain(postgres.pid());
    // shared_buffers is anonymous shared memory; the page tables are touched lazily.
    assert!(made.ledger.booked(Account::Shmem) > 0);
    assert!(made.headline.pss.point() < made.headline.rss.point(), "it shares with its children");
    let children = memgap_tests::frozen::children(postgres.pid()).expect("procfs is readable");
    assert!(!children.is_empty());
    for child in children {
        explain(child);
    }
}

#[test]
fn nginx_after_a_request() {
    let nginx = Service::nginx().expect("nginx starts");
    let mut socket = UnixStream::connect(nginx.socket()).expect("nginx answers");
    socket.write_all(b"GET /nginx.conf HTTP/1.0\r\n\r\n").expect("sent");
    let mut reply = String::new();
    socket.read_to_string(&mut reply).expect("answered");
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    heap_is_unprobed(&explain(nginx.pid()), 1);
}
