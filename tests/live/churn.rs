//! A cgroup whose processes come, grow and go all the time: no memory of it has moved, and
//! no collection may say so.

use std::process::Stdio;

use anyhow::{Context, Result};
use memgap_ledger::account::Account;
use memgap_reader::{Collector, Reader, Roots, WalkPolicy};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::rights::{Need, left_out};

const MIB: i64 = 1 << 20;

/// What processors hold back of the counters of processes that run.
const NOISE: i64 = 2 * MIB;

const COLLECTIONS: usize = 60;

/// Grows to 48 MiB and ends, again and again, several at a time.
const CHURN: &str = "
    one() { while :; do head -c 48M /dev/zero | tail -c 48M >/dev/null; done; }
    one & one & one";

#[test]
fn nothing_has_moved_where_processes_come_and_go() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("churn")?;
    let mut shell = group.command("sh").args(["-c", CHURN]).stdout(Stdio::null()).spawn()?;
    let mut collector = Collector::new(Reader::open(Roots::default())?, WalkPolicy::default());
    let (mut most, mut least) = (i64::MIN, i64::MAX);
    for nth in 0..COLLECTIONS {
        let (machine, _) = collector.machine()?;
        let cgroups = machine.cgroups.as_ref().expect("cgroups are readable");
        let ledger = cgroups.iter().find(|ledger| ledger.path == group.path());
        let ledger = &ledger.context("the cgroup was not read")?.ledger;
        let held = ledger.sum(&[Account::HeapUnprobed, Account::HeapInUse, Account::Unexplained]);
        (most, least) = (most.max(held), least.min(held));
        let moved = ledger.figure(Account::MovedCharges);
        let (low, high) = moved.bounds().context("it is not known")?;
        assert!(low <= NOISE && high >= -NOISE, "collection {nth}: {moved:?}");
    }
    assert!(most - least > 16 * MIB, "{least}..{most}: nothing came and went");
    group.kill()?;
    shell.wait()?;
    Ok(())
}
