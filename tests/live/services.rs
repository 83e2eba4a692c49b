//! Servers that nobody here wrote: redis, PostgreSQL and nginx. Stopped with
//! SIGSTOP, so that their figures can be compared with the kernel's to the byte.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use memgap_ledger::account::{self, Account};
use memgap_ledger::finding::{self, Subject};
use memgap_ledger::{Figure, MissingKind, ProcessLedger, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::{Frozen, Kernel};
use memgap_tests::release::lag;
use memgap_tests::service::Service;

/// A ledger and the kernel's figures at the same moment: shared libraries have
/// other users, so Pss moves even while the process stands still.
fn read(frozen: &Frozen) -> (ProcessLedger, Kernel) {
    const TRIES: usize = 100;
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let mut last = None;
    for _ in 0..TRIES {
        let before = frozen.kernel().expect("smaps_rollup and statm are readable");
        let sample = reader.process(frozen.pid(), Depth::Full).expect("it is running");
        if frozen.kernel().expect("still readable") == before {
            let made = process::ledger(&sample);
            // A program that came and went meanwhile has left the kernel's figures as they were.
            if is_rounded(&made, &before) {
                return (made, before);
            }
            last = Some((made, before));
        }
    }
    last.unwrap_or_else(|| panic!("the figures of {} never stood still", frozen.pid()))
}

/// Each mapping's Pss is rounded down to a kilobyte, the rollup's only once.
fn is_rounded(made: &ProcessLedger, kernel: &Kernel) -> bool {
    let pss = made.headline.pss.point().expect("walked");
    let rounding = i64::try_from(kernel.areas * 1024).expect("small");
    let rollup = i64::try_from(kernel.pss).expect("small");
    (rollup - rounding..=rollup).contains(&pss)
}

/// Explains a stopped process and holds it against the kernel's own words.
fn explain(frozen: &Frozen) -> ProcessLedger {
    let (made, kernel) = read(frozen);
    let h = &made.headline;
    assert_eq!(h.vsz, Figure::exact(kernel.vsz), "VSZ");
    assert_eq!(h.rss, Figure::exact(kernel.rss), "RSS");
    assert!(is_rounded(&made, &kernel), "PSS {:?}, kernel {}", h.pss, kernel.pss);
    assert_eq!(made.ledger.figure(Account::LazyFree), Figure::exact(kernel.lazy_free));
    assert_eq!(made.ledger.sum(account::RSS), h.rss.point().expect("known"));
    assert_eq!(made.ledger.total(), h.vsz.point().expect("known"));
    let lag = lag(frozen.pid()).expect("the kernel has a release");
    let bound = (h.rss.point().expect("known") / 200).max(lag);
    let skew = made.ledger.booked(Account::Skew);
    assert!(skew.abs() <= bound, "{skew} of at most {bound}: {:?}", made.ledger);
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
fn what_others_may_have_written_is_not_called_unwritten() {
    let postgres = Service::postgres_with(&["shared_buffers=1GB"]).expect("postgres starts");
    for frozen in Frozen::family(postgres.pid()).expect("the processes are ours") {
        let made = explain(&frozen);
        // Most of the buffers is mapped and not in this process's memory.
        assert!(made.ledger.booked(Account::Untouched) > 512 << 20, "{:?}", made.ledger);
        let found = finding::findings(Subject::Process(&made));
        let ids: Vec<_> = found.iter().map(|finding| finding.id).collect();
        assert!(!ids.contains(&"address-space") && !ids.contains(&"ballast"), "{found:?}");
    }
}

#[test]
fn memcached_and_mariadb() {
    let memcached = Service::memcached().expect("memcached starts");
    heap_is_explained(&explain(&Frozen::stop(memcached.pid()).expect("the process is ours")));
    let mariadb = Service::mariadb().expect("mariadb starts");
    let frozen = Frozen::stop(mariadb.pid()).expect("the process is ours");
    let made = explain(&frozen);
    assert!(made.ledger.booked(Account::HeapInUse) > 16 << 20, "{:?}", made.ledger);
    // The pool of its pages, which it maps itself, as far as it is filled.
    let unexplained = made.ledger.figure(Account::Unexplained);
    let point = made.ledger.booked(Account::Unexplained);
    assert!(point < 64 << 20, "{:?}", made.ledger);
    let is_pool = |size: u64, access: &[u8]| size >= 128 << 20 && access == b"rw-p";
    let is_listed = made
        .largest
        .iter()
        .any(|held| held.account == Account::Unexplained && is_pool(held.size, &held.access));
    // Blocks that the C library maps one by one have an amount and no addresses: they may be
    // taken for the pool. Then the interval still has room for what of it is in memory.
    let (_, high) = unexplained.bounds().expect("walked");
    let pools = anonymous(&frozen).into_iter().filter(|area| is_pool(area.size, &area.access));
    let pool = pools.map(|area| area.resident).min().expect("it has mapped one");
    assert!(
        is_listed || high - point >= i64::try_from(pool).expect("small"),
        "{pool} bytes are not in {unexplained:?}: {:?}",
        made.largest
    );
}

/// A mapping as the kernel shows it, sizes in bytes.
struct Area {
    size: u64,
    resident: u64,
    access: Vec<u8>,
}

/// The mappings of a process that have neither a file nor a name.
fn anonymous(frozen: &Frozen) -> Vec<Area> {
    let smaps =
        std::fs::read_to_string(format!("/proc/{}/smaps", frozen.pid())).expect("it is ours");
    let mut areas: Vec<Area> = Vec::new();
    let mut is_anonymous = false;
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words[0], is_anonymous, areas.last_mut()) {
            ("Size:", true, Some(area)) => area.size = kilobytes(&words),
            ("Rss:", true, Some(area)) => area.resident = kilobytes(&words),
            (word, _, _) if !word.ends_with(':') => {
                is_anonymous = words.len() == 5;
                let access = words[1].into();
                areas.extend(is_anonymous.then_some(Area { size: 0, resident: 0, access }));
            }
            _ => {}
        }
    }
    areas
}

fn kilobytes(words: &[&str]) -> u64 {
    words[1].parse::<u64>().expect("a number") * 1024
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
