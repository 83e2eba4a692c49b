//! Ledgers that are kept are those that would be made.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use memgap_ledger::account::Scope;
use memgap_ledger::{ProcessLedger, process};

use super::*;
use crate::reader::{Reader, Roots};
use crate::walk::WalkPolicy;

/// A child that is ended with the test, be it a failure.
struct Kid(Child);

impl Kid {
    fn sleeps() -> Self {
        Self(Command::new("sleep").arg("600").spawn().expect("sleep runs"))
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn collector(walks: f64) -> Collector {
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let policy = WalkPolicy { min_bytes: 1 << 20, budget_share: walks, ..WalkPolicy::default() };
    Collector::new(reader, policy).with_probe_share(1.0)
}

fn of(machine: &Machine, pid: u32) -> Option<&Arc<ProcessLedger>> {
    machine.processes.iter().find(|ledger| ledger.pid == pid)
}

/// All but ages.
fn assert_same(kept: &ProcessLedger, made: &ProcessLedger) {
    for account in Scope::Process.accounts() {
        let figures = [kept, made].map(|ledger| ledger.ledger.figure(account));
        assert_eq!(figures[0], figures[1], "{account:?} of {} ({})", kept.name, kept.pid);
    }
    assert_eq!((kept.headline, kept.kind), (made.headline, made.kind));
    assert_eq!((&kept.name, &kept.cgroup), (&made.name, &made.cgroup));
    assert_eq!((kept.in_use, &kept.in_use_by), (made.in_use, &made.in_use_by));
    assert_eq!((&kept.charged, &kept.owners), (&made.charged, &made.owners));
    assert_eq!((&kept.absent, kept.cut), (&made.absent, made.cut));
    assert_eq!((&kept.unread, kept.is_walked()), (&made.unread, made.is_walked()));
}

#[test]
fn what_is_kept_is_what_would_be_made() {
    let mut collector = collector(0.1);
    let mut kids = Vec::new();
    for round in 0..20 {
        // Some come, some go, and this test and others next to it are busy meanwhile.
        kids.push(Kid::sleeps());
        if round % 4 == 3 {
            kids.swap_remove(0);
        }
        let (machine, stats) = collector.machine().expect("procfs is readable");
        assert_eq!(machine.processes.len(), stats.processes);
        let now = Instant::now();
        for (kept, tracked) in machine.processes.iter().zip(collector.tracked.values()) {
            assert_same(kept, &process::ledger(&tracked.sample(now)));
        }
    }
}

#[test]
fn one_that_sleeps_keeps_its_ledger_until_it_changes() {
    const GROWS: &str = "read _; grown=$(printf %8000000s); read _";
    let mut command = Command::new("sh");
    let mut kid = Kid(command.args(["-c", GROWS]).stdin(Stdio::piped()).spawn().expect("sh runs"));
    let pid = kid.0.id();
    let mut collector = collector(0.0);
    let end = Instant::now() + Duration::from_mins(3);
    let mut before: Option<Arc<ProcessLedger>> = None;
    let mut same = 0;
    // With its heap statistics, and none of them read again.
    while same < 3 {
        assert!(Instant::now() < end, "it is made anew each time: {before:?}");
        let (machine, _) = collector.machine().expect("procfs is readable");
        let now = of(&machine, pid).expect("it runs");
        let is_same = before.as_ref().is_some_and(|before| Arc::ptr_eq(before, now));
        same = if is_same && !now.runtimes.is_empty() { same + 1 } else { 0 };
        before = Some(Arc::clone(now));
    }
    let before = before.expect("it was met");
    kid.0.stdin.as_mut().expect("a pipe").write_all(b"go\n").expect("it reads");
    let rss = |ledger: &ProcessLedger| ledger.headline.rss.point().expect("it runs");
    loop {
        assert!(Instant::now() < end, "it never grew");
        let (machine, _) = collector.machine().expect("procfs is readable");
        let now = of(&machine, pid).expect("it runs");
        if rss(now) > rss(&before) + (4 << 20) {
            return;
        }
    }
}
