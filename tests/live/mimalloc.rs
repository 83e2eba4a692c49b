//! Programs that run on mimalloc, against what it says that their blocks can hold.

use std::process::Command;

use anyhow::{Context, Result};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::fetch::{fetch, versioned};
use memgap_tests::frozen::Frozen;
use memgap_tests::target::{Target, compiled};
use memgap_tests::traces::of_a_thousand_looks;

/// What the C library allocates to read and to write lines, and to start a thread.
const OF_THE_C_LIBRARY: u64 = 16 << 10;

/// `tests/targets/usable.c` on every mimalloc that is fetched, with its version.
fn targets() -> Result<Vec<(String, Target)>> {
    let program = compiled("usable")?;
    let lines = fetch("mimalloc")?;
    lines
        .iter()
        .map(|line| {
            let (version, library) = versioned(line)?;
            let mut command = Command::new(&program);
            Ok((version.to_owned(), Target::spawn(command.env("LD_PRELOAD", library))?))
        })
        .collect()
}

fn is_read(version: &str) -> bool {
    version.starts_with('2')
}

fn explain(target: &Target, depth: Depth) -> Result<ProcessLedger> {
    let _frozen = Frozen::stop(target.pid())?;
    let made = process::ledger(&Reader::open(Roots::default())?.process(target.pid(), depth)?);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok(made)
}

#[test]
fn blocks_in_use_are_what_they_can_hold() -> Result<()> {
    for (version, mut target) in targets()? {
        for step in ["full", "thin", "freed by another thread"] {
            if step != "full" {
                target.step()?;
            }
            for depth in [Depth::Full, Depth::Pages] {
                let made = explain(&target, depth)?;
                let runtime = made.runtimes.iter().find(|r| r.name == "mimalloc");
                if !is_read(&version) {
                    assert!(runtime.is_none());
                    let is_named = made.absent.iter().any(|a| a.missing.why.contains(&version));
                    assert!(is_named, "{:?}", made.absent);
                    continue;
                }
                let runtime = runtime.with_context(|| format!("{:?}", made.absent))?;
                let in_use = runtime.in_use.context("no amount")?;
                let usable = target.holds("usable")?;
                println!("{version} {step}: {in_use} in use, {usable} said, {runtime:?}");
                match runtime.in_use_bounds {
                    None => assert!((usable..=usable + OF_THE_C_LIBRARY).contains(&in_use)),
                    Some((low, high)) => {
                        assert!(low <= usable && usable <= high, "{low} to {high}");
                        assert_eq!(step, "freed by another thread");
                    }
                }
                let left = made.ledger.booked(Account::Unexplained) + i64::try_from(made.cut)?;
                let rss = made.headline.rss.point().context("no RSS")?;
                assert!(left * 50 <= rss, "{left} bytes unexplained or cut: {:?}", made.ledger);
            }
        }
    }
    Ok(())
}

#[test]
fn a_thousand_probes_leave_no_trace() -> Result<()> {
    for (version, target) in targets()? {
        if is_read(&version) {
            let _frozen = Frozen::stop(target.pid())?;
            let (more, rss) = of_a_thousand_looks(target.pid(), "mimalloc")?;
            assert!(more * 100 <= rss, "{version}: {more}");
        }
    }
    Ok(())
}
