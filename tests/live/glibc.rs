//! C programs against their own `mallinfo2`, frozen after they said it.

use anyhow::{Context, Result};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::target::{self, Target};

/// Runs the steps and freezes the program after the last one.
fn run(steps: &str) -> Result<(Target, Frozen)> {
    let mut target = Target::run(&target::compiled("malloc")?, &[("STEPS", steps)])?;
    for _ in 1..steps.split(' ').count() {
        target.step()?;
    }
    let frozen = Frozen::stop(target.pid())?;
    Ok((target, frozen))
}

fn explain(pid: u32, depth: Depth) -> Result<ProcessLedger> {
    let made = process::ledger(&Reader::open(Roots::default())?.process(pid, depth)?);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok(made)
}

fn glibc(made: &ProcessLedger) -> Result<&Runtime> {
    let found = made.runtimes.iter().find(|runtime| runtime.name == "glibc");
    found.with_context(|| format!("{:?}; {:?}", made.runtimes, made.absent))
}

#[test]
fn in_use_is_what_the_library_says() -> Result<()> {
    for steps in ["steady", "last", "mapped", "last trim"] {
        let (target, _frozen) = run(steps)?;
        let made = explain(target.pid(), Depth::Books)?;
        let runtime = glibc(&made)?;
        assert_eq!(runtime.in_use, Some(target.holds("in_use")?), "{steps}");
        assert_eq!(runtime.free, Some(target.holds("free")?), "{steps}");
        assert!(runtime.version.as_deref().is_some_and(|v| v.starts_with("2.")), "{runtime:?}");
        assert_eq!(made.ledger.booked(Account::HeapUnprobed), 0, "{steps}");
        let left = made.ledger.booked(Account::Unexplained);
        assert!(left < 64 << 10, "{steps}: {left} unexplained");
    }
    Ok(())
}
