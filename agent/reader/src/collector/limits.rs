//! The limits of a collector: open files, and mappings that are kept.

use std::process::{Child, Command};

use memgap_kernel::memory::Live;

use super::*;
use crate::reader::Roots;

#[test]
fn beyond_the_limit_of_open_files_processes_are_read_all_the_same() {
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let mut collector = Collector::new(reader, WalkPolicy::default());
    collector.max_handles = 1;
    for _ in 0..3 {
        let (machine, stats) = collector.collect().expect("procfs is readable");
        assert_eq!((stats.handles, stats.processes), (1, machine.processes.len()));
        let own = machine.processes.iter().find(|p| p.pid == std::process::id());
        assert!(own.and_then(|p| p.counters.as_ref().ok()).is_some_and(|c| c.rss > 0));
    }
}

/// A child that is ended with the test, be it a failure.
struct Kid(Child);

impl Drop for Kid {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn beyond_the_limit_of_open_files_statistics_are_read_all_the_same() {
    let kid = Kid(Command::new("sleep").arg("600").spawn().expect("it starts"));
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let mut collector = Collector::new(reader, WalkPolicy::default()).with_probe_share(1.0);
    collector.max_handles = 0;
    // Where many processes start at once some wait for the next collection.
    for _ in 0..100 {
        let (machine, stats) = collector.collect().expect("procfs is readable");
        assert_eq!(stats.handles, 0);
        let sample = machine.processes.iter().find(|p| p.pid == kid.0.id());
        let runtimes = sample.map(|p| p.runtimes.as_slice()).unwrap_or_default();
        if runtimes.iter().flatten().any(|runtime| runtime.name == "glibc") {
            assert!(stats.reopened > 0);
            return;
        }
    }
    panic!("the heap statistics of its malloc were never read");
}

#[test]
fn handles_stay_within_the_limit() {
    let kids: Vec<Kid> =
        (0..4).map(|_| Kid(Command::new("sleep").arg("600").spawn().expect("it starts"))).collect();
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let mut collector = Collector::new(reader, WalkPolicy::default()).with_probe_share(1.0);
    collector.collect().expect("procfs is readable");
    for tracked in collector.tracked.values_mut() {
        tracked.probes = probe_state::ProbeState::new(0);
    }
    // Room for some memories beside the handles for each process.
    let limit = collector.handles() + 2 * Live::HANDLES + 1;
    collector.max_handles = limit;
    for _ in 0..100 {
        let (_, stats) = collector.collect().expect("procfs is readable");
        assert!(stats.handles <= limit, "{} of {limit}", stats.handles);
        if stats.reopened > 0 && stats.handles + Live::HANDLES > limit {
            return drop(kids);
        }
    }
    panic!("the limit was never reached");
}

#[test]
fn the_oldest_walks_make_room_for_newer_ones() {
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let all = WalkPolicy { min_bytes: 0, budget_share: 1.0, ..WalkPolicy::default() };
    let mut collector = Collector::new(reader, all);
    // Fewer than any program has.
    collector.max_kept = 1;
    let (machine, stats) = collector.collect().expect("procfs is readable");
    assert!(machine.processes.iter().all(|p| p.walk.is_err()));
    assert!(stats.dropped > 0 && stats.dropped <= stats.walks.len() as u64);
    let own = collector.tracked.get(&std::process::id()).expect("it runs");
    assert!(own.no_walk.why.contains("make room"), "{}", own.no_walk);
    assert!(own.cost.areas.is_some());
    // They are not walked again at once, to be dropped again.
    assert!(own.retry > collector.round + 1);
}
