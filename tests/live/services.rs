//! Servers that nobody here wrote: redis, PostgreSQL and nginx. Stopped with
//! SIGSTOP, so that their figures can be compared with the kernel's to the byte.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use memgap_ledger::account::{self, Account};
use memgap_ledger::{Figure, MissingKind, ProcessLedger, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::{Frozen, Kernel};
use memgap_tests::service::Service;

/// A ledger and the kernel's figures at the same moment: shared libraries have
/// other users, so Pss moves even while the process stands still.
fn read(frozen: &Frozen) -> (ProcessLedger, Kernel) {
    const TRIES: usize = 100;
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    for _ in 0..TRIES {
        let before = frozen.kernel().expect("smaps_rollup and statm are readable");
        let sample = reader.process(frozen.pid(), Depth::Full).expect("it is running");
        if frozen.kernel().expect("still readable") == before {
            return (process::ledger(&sample), before);
        }
    }
    panic!("the figures of {} never stood still", frozen.pid());
}

/// Explains a stopped process and holds it against the kernel's own words.
fn explain(frozen: &Frozen) -> ProcessLedger {
    let (made, kernel) = read(frozen);
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

/// The C library's heap statistics are read, and hardly anything is left that none explain.
fn heap_is_explained(made: &ProcessLedger) {
    assert!(made.runtimes.iter().any(|r| r.name == "glibc"), "{:?}", made.absent);
    assert!(made.ledger.booked(Account::HeapInUse) > 0);
    let left = [Account::HeapUnprobed, Account::Unexplained, Account::Unreadable];
    let (left, rss) = (made.ledger.sum(&left), made.headline.rss.point().expect("known"));
    assert!(left < 256 << 10, "{left} of {rss} bytes not explained: {:?}", made.ledger);
}

#[test]
fn redis_with_data() {
    let redis = Service::redis().expect("redis starts");
    let mut socket = UnixStream::connect(redis.socket()).expect("redis answers");
    socket.write_all(b"DEBUG POPULATE 200000 key 100\r\n").expect("sent");
    let mut reply = [0; 5];
    socket.read_exact(&mut reply).expect("answered");
    assert_eq!(&reply, b"+OK\r\n");
    let made = explain(&Frozen::stop(redis.pid()).expect("the process is ours"));
    let heap = made.ledger.booked(Account::HeapInUse);
    assert!(heap >= 200_000 * 100, "heap {heap}");
    assert_eq!(made.ledger.booked(Account::Unreadable), 0);
}

#[test]
fn postgres_and_its_backends() {
    let postgres = Service::postgres().expect("postgres starts");
    // All of them, because what one touches changes the Pss of the others.
    let family = Frozen::family(postgres.pid()).expect("the processes are ours");
    assert!(family.len() > 1, "postgres has started no process of its own");
    for frozen in &family {
        let made = explain(frozen);
        assert!(made.headline.pss.point() < made.headline.rss.point(), "they share memory");
    }
    let made = explain(&family[0]);
    heap_is_explained(&made);
    // shared_buffers is anonymous shared memory.
    assert!(made.ledger.booked(Account::Shmem) > 0);
}

#[test]
fn memcached_and_mariadb() {
    let memcached = Service::memcached().expect("memcached starts");
    heap_is_explained(&explain(&Frozen::stop(memcached.pid()).expect("the process is ours")));
    let mariadb = Service::mariadb().expect("mariadb starts");
    let made = explain(&Frozen::stop(mariadb.pid()).expect("the process is ours"));
    assert!(made.ledger.booked(Account::HeapInUse) > 16 << 20, "{:?}", made.ledger);
    // The pool of its pages, which it maps itself, as far as it is filled.
    assert!(made.ledger.booked(Account::Unexplained) < 64 << 20, "{:?}", made.ledger);
}

#[test]
fn postgres_at_work_is_read_all_the_time() {
    let postgres = Service::postgres().expect("postgres starts");
    let run = |args: &[&str]| postgres.pgbench(args).expect("pgbench is beside it");
    assert!(run(&["-i", "-q"]).wait().expect("it ends").success());
    let mut load = run(&["-c", "4", "-T", "5"]);
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let (mut read, mut refused) = (0, Vec::new());
    while load.try_wait().expect("ours").is_none() {
        for pid in family(postgres.pid()) {
            // A server's process may just have ended, or not be one yet.
            let Ok(sample) = reader.process(pid, Depth::Runtimes) else { continue };
            read += sample.runtimes.iter().flatten().count();
            refused.extend(sample.runtimes.into_iter().filter_map(Result::err));
        }
    }
    refused.retain(|lack| lack.why.kind != MissingKind::Gone);
    println!("{read} readings, refused: {refused:?}");
    assert!(read > 10 && refused.len() * 100 <= read, "{read}: {refused:?}");
}

fn family(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).chain([pid]).collect()
}

#[test]
fn nginx_after_a_request() {
    let nginx = Service::nginx().expect("nginx starts");
    let mut socket = UnixStream::connect(nginx.socket()).expect("nginx answers");
    socket.write_all(b"GET /nginx.conf HTTP/1.0\r\n\r\n").expect("sent");
    let mut reply = String::new();
    socket.read_to_string(&mut reply).expect("answered");
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    heap_is_explained(&explain(&Frozen::stop(nginx.pid()).expect("the process is ours")));
}
