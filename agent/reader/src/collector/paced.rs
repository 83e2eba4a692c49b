//! What runs all the time is not read all the time, and what is shown of it meanwhile closes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use memgap_ledger::account::{RSS, VSZ};
use memgap_ledger::{Machine, ProcessLedger};

use super::*;
use crate::reader::Roots;

/// A shell that does what it is told, gone with the test.
struct Shell(Child, BufReader<ChildStdout>);

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Shell {
    fn start() -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "while read -r line; do eval \"$line\"; echo done; done"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("sh runs");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        Self(child, said)
    }

    /// Returns when it is done, and waits again.
    fn does(&mut self, what: &str) {
        let stdin = self.0.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{what}").expect("it reads");
        let mut said = String::new();
        self.1.read_line(&mut said).expect("it answers");
        assert_eq!(said, "done\n");
    }
}

/// The ledger of that process, whose accounts sum to its RSS and VSZ.
fn closed(machine: &Machine, pid: u32) -> Arc<ProcessLedger> {
    let found = machine.processes.iter().find(|ledger| ledger.pid == pid).expect("it runs");
    let sum = |accounts: &[memgap_ledger::Account]| {
        accounts.iter().map(|a| found.ledger.booked(*a)).sum::<i64>()
    };
    assert_eq!(Some(sum(RSS)), found.headline.rss.point());
    assert_eq!(Some(sum(RSS) + sum(VSZ)), found.headline.vsz.point());
    Arc::clone(found)
}

#[test]
fn one_that_runs_is_read_when_its_statistics_are_old_or_it_has_grown() {
    let mut shell = Shell::start();
    let pid = shell.0.id();
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let policy = WalkPolicy { budget_share: 0.0, ..WalkPolicy::default() };
    let mut collector = Collector::new(reader, policy).with_probe_share(1.0);
    let collect = |collector: &mut Collector| {
        let (machine, stats) = collector.machine().expect("procfs is readable");
        let ledger = closed(&machine, pid);
        (ledger, collector.tracked[&pid].probes.served(), stats)
    };
    let end = Instant::now() + Duration::from_mins(3);
    // Each time it has run it is read.
    let mut read = 0;
    while read < 4 {
        assert!(Instant::now() < end, "it was read {read} times");
        shell.does(":");
        let (ledger, served, _) = collect(&mut collector);
        let is_read = served == collector.round && !ledger.runtimes.is_empty();
        read = if is_read { read + 1 } else { 0 };
    }
    // Until a look is due all the same, which comes with a size that has changed, too.
    collector.set_statistics_min_age(Duration::from_hours(1));
    let (before, served, _) = collect(&mut collector);
    let mut times = 0;
    for _ in 0..8 {
        shell.does(":");
        let (ledger, again, stats) = collect(&mut collector);
        times += u32::from(again != served);
        assert_eq!(ledger.in_use_by, before.in_use_by);
        assert!(stats.oldest_statistics > Duration::ZERO, "they are as old as they are");
    }
    assert_eq!(times, 0, "it was read again");
    // What is new is not left unexplained.
    shell.does("grown=$(printf %8000000s)");
    let (grown, again, _) = collect(&mut collector);
    assert_ne!(again, served);
    let in_use = |ledger: &ProcessLedger| ledger.in_use_by.iter().map(|(_, b)| *b).sum::<u64>();
    assert!(in_use(&grown) > in_use(&before) + 7_000_000, "{:?}", grown.in_use_by);
    // And with time all are read again.
    collector.set_statistics_min_age(Duration::ZERO);
    shell.does(":");
    assert_eq!(collect(&mut collector).1, collector.round);
}
