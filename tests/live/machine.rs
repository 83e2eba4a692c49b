//! Every process and cgroup of this machine: the sums close on their points, and
//! what is left over stays within what the kernel's own batching can hide.

use std::time::{Duration, Instant};

use memgap_ledger::account::{self, Account};
use memgap_ledger::sample::{CgroupSample, ProcessKind, ProcessSample};
use memgap_ledger::{CgroupLedger, Figure, MissingKind, ProcessLedger, cgroup, host, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::release::lag;

fn reader() -> Reader {
    Reader::open(Roots::default()).expect("procfs is mounted")
}

/// 0.5 % of RSS, and what the kernel's counters may lag by.
fn skew_bound(ledger: &ProcessLedger) -> i64 {
    let rss = ledger.headline.rss.point().unwrap_or(0);
    (rss / 200).max(lag(ledger.pid).expect("the kernel has a release"))
}

/// A process that allocates while it is read is read again: a skew that comes
/// from the reading and not from the process stays.
fn walked(reader: &Reader, pid: u32) -> Option<(ProcessSample, ProcessLedger)> {
    const TRIES: usize = 5;
    let mut best: Option<(ProcessSample, ProcessLedger)> = None;
    for _ in 0..TRIES {
        let sample = reader.process(pid, Depth::Walk).ok()?;
        let made = process::ledger(&sample);
        let skew = made.ledger.booked(Account::Skew).abs();
        let done = skew <= skew_bound(&made);
        best = Some((sample, made));
        if done {
            break;
        }
    }
    best
}

#[test]
fn every_process_closes() {
    let reader = reader();
    let mut walks = 0;
    for pid in reader.pids().expect("procfs can be listed") {
        let Some((sample, made)) = walked(&reader, pid) else { continue };
        let (Some(rss), Some(vsz)) = (made.headline.rss.point(), made.headline.vsz.point()) else {
            // It ended while it was read, which the sample must say.
            assert!(matches!(&sample.counters, Err(m) if m.kind == MissingKind::Gone), "{pid}");
            continue;
        };
        assert_eq!(made.ledger.sum(account::RSS), rss, "{pid} {}", made.name);
        assert_eq!(made.ledger.total(), vsz, "{pid} {}", made.name);
        if sample.kind == ProcessKind::User && sample.walk.is_ok() {
            walks += 1;
            let skew = made.ledger.booked(Account::Skew);
            assert!(skew.abs() <= skew_bound(&made), "{pid} {} skew {skew} of {rss}", made.name);
        }
    }
    assert!(walks > 0, "no process could be walked: the tests need root");
}

fn closes(sample: &CgroupSample, made: &CgroupLedger) {
    let Some(usage) = made.headline.usage.point() else {
        assert!(sample.usage.is_err(), "{}", made.path);
        return;
    };
    assert_eq!(made.ledger.total(), usage, "{}", made.path);
}

/// How long a cgroup may be too busy to be read in one piece.
const BUSY: Duration = Duration::from_secs(30);

/// A cgroup in which memory moves between the reads of its files is read again.
#[test]
fn every_cgroup_closes_within_the_kernels_batches() {
    let reader = reader();
    let all = reader.cgroups().expect("the memory controller is mounted");
    assert!(!all.is_empty());
    for first in &all {
        let prefix = format!("{}/", first.path.trim_end_matches('/'));
        let below = all.iter().filter(|c| c.path.starts_with(&prefix)).count();
        let mut residual = i64::MAX;
        let bound = i64::try_from(CgroupLedger::residual_bound(first.cpus, below)).expect("small");
        let started = Instant::now();
        while started.elapsed() < BUSY {
            let Ok(sample) = reader.cgroup(&first.path) else {
                // It is gone by now.
                residual = 0;
                break;
            };
            let lack = memgap_ledger::Missing::absent("not asked for");
            let made = cgroup::ledger(&sample, Err(&lack));
            closes(&sample, &made);
            residual = made.ledger.booked(Account::ChargeResidual);
            if residual.abs() <= bound {
                break;
            }
        }
        // The v1 root is no account of ours to close: the kernel charges it nothing
        // and derives its usage from the counters.
        if !first.root {
            assert!(residual.abs() <= bound, "{}: residual {residual}", first.path);
        }
    }
}

#[test]
fn the_host_closes() {
    let sample = reader().host();
    let made = host::ledger(&sample);
    let total = made.headline.total.point().expect("meminfo is readable");
    assert_eq!(made.ledger.total(), total);
    let unaccounted = made.ledger.booked(Account::KernelUnaccounted);
    assert!(unaccounted.abs() < total / 20, "unaccounted {unaccounted} of {total}");
}

#[test]
fn a_kernel_thread_has_no_memory_and_says_so() {
    let reader = reader();
    let pid = reader
        .pids()
        .expect("procfs can be listed")
        .into_iter()
        .find(|pid| {
            reader.process(*pid, Depth::Counters).is_ok_and(|s| s.kind == ProcessKind::Kernel)
        })
        .expect("kernel threads are visible");
    let made = process::ledger(&reader.process(pid, Depth::Walk).expect("it does not end"));
    assert!(made.ledger.entries().all(|e| e.figure == Figure::Exact(0)));
    assert!(made.ledger.entries().all(|e| e.age == Duration::ZERO));
}
