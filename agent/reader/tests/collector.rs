//! Collections over this machine.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Child, Command};
use std::time::Duration;

use memgap_ledger::MissingKind;
use memgap_ledger::sample::{MachineSample, ProcessKind, ProcessSample};
use memgap_reader::{Collector, Reader, Roots, WalkPolicy};

/// A child that is ended with the test, be it a failure.
struct Kid(Child);

impl Kid {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn collector(policy: WalkPolicy) -> Collector {
    Collector::new(Reader::open(Roots::default()).unwrap(), policy)
}

fn of(machine: &MachineSample, pid: u32) -> Option<&ProcessSample> {
    machine.processes.iter().find(|p| p.pid == pid)
}

#[test]
fn a_process_is_there_as_long_as_it_lives() {
    let mut collector = collector(WalkPolicy::default());
    let kid = Kid::new();
    let pid = kid.pid();
    for _ in 0..3 {
        let (machine, _) = collector.collect().unwrap();
        let sample = of(&machine, pid).unwrap();
        assert!(sample.counters.as_ref().unwrap().rss > 0);
        assert!(sample.cgroup.is_ok() == machine.cgroups.is_ok());
    }
    drop(kid);
    let (machine, stats) = collector.collect().unwrap();
    assert_eq!(of(&machine, pid), None);
    assert_eq!(stats.processes, machine.processes.len());
}

#[test]
fn a_process_that_is_not_reaped_becomes_a_zombie_without_memory() {
    let mut collector = collector(WalkPolicy::default());
    let mut kid = Kid::new();
    collector.collect().unwrap();
    kid.0.kill().unwrap();
    // The kill is done when the parent can reap; waitid leaves that undone.
    let pid = rustix::process::Pid::from_raw(kid.pid().cast_signed()).unwrap();
    let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
    rustix::process::waitid(rustix::process::WaitId::Pid(pid), options).unwrap();
    let (machine, _) = collector.collect().unwrap();
    let sample = of(&machine, kid.pid()).unwrap();
    assert_eq!(sample.kind, ProcessKind::Zombie);
    assert_eq!(sample.walk.as_ref().unwrap_err().kind, MissingKind::Absent);
}

#[test]
fn walks_are_made_refused_and_skipped_by_policy() {
    let all = WalkPolicy {
        cap: Duration::from_hours(1),
        budget_share: 1.0,
        min_bytes: 0,
        ..WalkPolicy::default()
    };
    let own = std::process::id();
    // A machine that is too slow to answer within a collection is asked anew, not for ever.
    let walk = |policy| {
        let is = |sample: &ProcessSample, why: &str| {
            sample.walk.as_ref().is_err_and(|lack| lack.why.contains(why))
        };
        let mut collections = (0..20).map(|_| collector(policy).collect().unwrap());
        let in_time = collections.find(|(machine, _)| {
            !is(of(machine, own).unwrap(), "takes too long to be read")
                && !machine.processes.iter().any(|sample| is(sample, "answered late"))
        });
        let (machine, stats) = in_time.expect("a collection in which all answer");
        (of(&machine, own).unwrap().walk.clone(), stats)
    };

    let (walked, stats) = walk(all);
    assert!(!walked.unwrap().areas.is_empty());
    assert!(!stats.walks.is_empty() && stats.refused == 0 && stats.skipped == 0);

    let (walked, stats) = walk(WalkPolicy { cap: Duration::ZERO, ..all });
    let lack = walked.unwrap_err();
    assert_eq!(lack.kind, MissingKind::Refused);
    assert!(lack.why.contains("over the cap of 0 ms"), "{lack}");
    assert!(stats.walks.is_empty() && stats.refused > 0);

    let (walked, stats) = walk(WalkPolicy { budget_share: 0.0, ..all });
    assert!(walked.unwrap_err().why.contains("budget"));
    assert!(stats.walks.is_empty() && stats.skipped > 0);
}

#[test]
fn a_walk_is_kept_and_dated() {
    let min_bytes = 64 << 10;
    let budget_share = 1.0;
    let mut collector =
        collector(WalkPolicy { min_bytes, budget_share, change: 1e9, ..WalkPolicy::default() });
    let own = std::process::id();
    let (first, _) = collector.collect().unwrap();
    let (second, _) = collector.collect().unwrap();
    let age = |machine: &MachineSample| of(machine, own).unwrap().walk.as_ref().unwrap().age;
    assert!(age(&second) > age(&first));
}
