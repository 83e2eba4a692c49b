//! A cgroup whose processes come, grow and go all the time: no memory of it has moved, and
//! no collection may say so.

use std::process::Stdio;

use anyhow::{Context, Result};
use memgap_ledger::account::Account;
use memgap_ledger::finding::Subject;
use memgap_ledger::{CgroupLedger, cgroup, note, process};
use memgap_reader::{Collector, Depth, Reader, Roots, WalkPolicy};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::rights::{Need, left_out};

const MIB: i64 = 1 << 20;

/// What processors hold back of the counters of processes that run.
const NOISE: i64 = 2 * MIB;

const COLLECTIONS: usize = 60;

/// How often all processes are looked into.
const LOOKS: usize = 20;

/// Grows to 48 MiB and ends, again and again, several at a time.
const CHURN: &str = "
    one() { while :; do head -c 48M /dev/zero | tail -c 48M >/dev/null; done; }
    one & one & one";

fn assert_nothing_moved(made: &CgroupLedger) -> Result<()> {
    let moved = made.ledger.figure(Account::MovedCharges);
    let (low, high) = moved.bounds().context("it is not known")?;
    assert!(low <= NOISE && high >= -NOISE, "{moved:?}");
    let notes = note::notes(Subject::Cgroup(made)).join("\n");
    assert!(!notes.contains("has moved") && !notes.contains("they moved"), "{notes}");
    Ok(())
}

#[test]
fn nothing_has_moved_where_processes_come_and_go() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("churn")?;
    let mut shell = group.command("sh").args(["-c", CHURN]).stdout(Stdio::null()).spawn()?;
    let mut collector = Collector::new(Reader::open(Roots::default())?, WalkPolicy::default());
    let (mut most, mut least) = (i64::MIN, i64::MAX);
    for _ in 0..COLLECTIONS {
        let (machine, _) = collector.machine()?;
        let cgroups = machine.cgroups.as_ref().expect("cgroups are readable");
        let ledger = cgroups.iter().find(|ledger| ledger.path == group.path());
        let ledger = ledger.context("the cgroup was not read")?;
        let held =
            ledger.ledger.sum(&[Account::HeapUnprobed, Account::HeapInUse, Account::Unexplained]);
        (most, least) = (most.max(held), least.min(held));
        assert_nothing_moved(ledger)?;
    }
    assert!(most - least > 16 * MIB, "{least}..{most}: nothing came and went");
    for _ in 0..LOOKS {
        let (sample, members) = collector.reader().cgroup_and_members(group.path(), Depth::Walk)?;
        let ledgers: Vec<_> = members?.iter().map(process::ledger).collect();
        let members: Vec<_> = ledgers.iter().collect();
        assert_nothing_moved(&cgroup::ledger(&sample, Ok(&members)))?;
    }
    group.kill()?;
    shell.wait()?;
    Ok(())
}
