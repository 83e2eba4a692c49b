//! Programs built with musl, against what they asked it for.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::target::{Target, directory};
use memgap_tests::traces::of_a_thousand_looks;

/// Builds `tests/targets/blocks.c` with Debian's musl.
fn run(name: &str, flags: &[&str]) -> Result<Target> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/blocks.c");
    let thread = std::thread::current().id();
    let program = directory()?.join(format!("blocks-{name}-{}-{thread:?}", std::process::id()));
    let output = Command::new("musl-gcc")
        .args(["-O1", "-o"])
        .args([&program, &source])
        .args(flags)
        .output()
        .context("failed to start musl-gcc: run tests/install")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let target = Target::run(&program, &[]);
    fs::remove_file(&program)?;
    target
}

fn explain(target: &Target) -> Result<ProcessLedger> {
    let _frozen = Frozen::stop(target.pid())?;
    let reader = Reader::open(Roots::default())?;
    let made = process::ledger(&reader.process(target.pid(), Depth::Full)?);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok(made)
}

#[test]
fn slots_in_use_are_what_was_asked_for_and_their_ends() -> Result<()> {
    let variants: [(&str, &[&str]); 3] =
        [("dynamic", &[]), ("static", &["-static"]), ("stripped", &["-static", "-s"])];
    for (name, flags) in variants {
        let mut target = run(name, flags)?;
        for step in ["full", "thin"] {
            if step == "thin" {
                target.step()?;
            }
            let made = explain(&target)?;
            let runtime = made.runtimes.iter().find(|r| r.name == "musl");
            let runtime = runtime.with_context(|| format!("{:?}", made.absent))?;
            let in_use = runtime.in_use.context("no amount")?;
            let asked = target.holds("asked")?;
            println!("{name} {step}: {in_use} in slots, {asked} asked for, {runtime:?}");
            // A slot is up to a fifth larger, and holds four bytes of its own.
            assert!(in_use >= asked && in_use * 100 <= asked * 118, "{in_use} for {asked}");
            let left = made.ledger.booked(Account::Unexplained) + i64::try_from(made.cut)?;
            assert!(left < 128 << 10, "{left} bytes unexplained or cut: {:?}", made.ledger);
        }
    }
    Ok(())
}

#[test]
fn a_thousand_probes_leave_no_trace() -> Result<()> {
    let target = run("probed", &[])?;
    let _frozen = Frozen::stop(target.pid())?;
    let (more, rss) = of_a_thousand_looks(target.pid(), "musl")?;
    assert!(more * 100 <= rss, "{more}");
    Ok(())
}
