//! Python programs against CPython's own words, `sys._debugmallocstats`.

use anyhow::{Context, Result, bail};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::python::{own, pythons};
use memgap_tests::target::Target;
use memgap_tests::traces::of_a_thousand_looks;

fn explain(target: &Target, depth: Depth) -> Result<ProcessLedger> {
    let _frozen = Frozen::stop(target.pid())?;
    let made = process::ledger(&Reader::open(Roots::default())?.process(target.pid(), depth)?);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok(made)
}

fn cpython(made: &ProcessLedger) -> Result<&Runtime> {
    let found = made.runtimes.iter().find(|r| r.name == "cpython");
    found.with_context(|| format!("{:?}", made.absent))
}

/// The figures that both tell, and how far apart they may be: the interpreter
/// allocates a few blocks itself while it speaks.
fn assert_near(what: &str, ours: Option<u64>, said: u64, allowed: u64) -> Result<()> {
    let ours = ours.with_context(|| format!("{what} is not reported"))?;
    println!("{what}: {ours}, said {said}");
    assert!(ours.abs_diff(said) <= allowed, "{what}: {ours}, said {said}, allowed {allowed}");
    Ok(())
}

#[test]
fn every_block_is_counted_by_the_headers_of_pools() -> Result<()> {
    for python in pythons()? {
        let mut target = python.run(&[])?;
        for step in ["full", "patchy", "thin"] {
            if step != "full" {
                target.step()?;
            }
            let made = explain(&target, Depth::Pages)?;
            let runtime = cpython(&made)?;
            let said = |name| target.holds(name);
            let what = |part: &str| format!("CPython {} {step}: {part}", python.version);
            assert!(runtime.version.as_ref().is_some_and(|v| v.starts_with(&python.version)));
            let sum = said("blocks")? + said("available")?;
            let free = said("available")? + said("unused")? + said("alignment")?;
            // 0.001 % of the heap, and what the interpreter needs to say so.
            let allowed = sum / 100_000 + 1024;
            assert_near(&what("in use"), runtime.in_use, said("blocks")?, allowed)?;
            assert_near(&what("free"), runtime.free, free, allowed)?;
            let lost = u64::try_from(made.ledger.booked(Account::AllocatorMetadata))?;
            assert!(lost >= said("headers")? + said("quantization")?, "{lost}");
        }
    }
    Ok(())
}

#[test]
fn a_scheduled_reading_estimates_how_full_pools_are() -> Result<()> {
    for python in pythons()? {
        let mut target = python.run(&[])?;
        for step in ["full", "patchy", "thin"] {
            if step != "full" {
                target.step()?;
            }
            let made = explain(&target, Depth::Full)?;
            let runtime = cpython(&made)?;
            let (blocks, available) = (target.holds("blocks")?, target.holds("available")?);
            // As exact as a sample of a hundred pools and more; the sum of both is by the
            // table, thus exact.
            let allowed = (blocks + available) / 10;
            let what = format!("CPython {} {step}", python.version);
            assert_near(&what, runtime.in_use, blocks, allowed)?;
            let (low, high) = runtime.in_use_bounds.context("most pools were not read")?;
            assert!((low..=high).contains(&blocks), "{what}: {low} to {high}");
            let by_table = target.holds("unused")? + target.holds("alignment")?;
            let sum = runtime.in_use.zip(runtime.free).map(|(used, free)| used + free);
            let said = blocks + available + by_table + target.holds("quantization")?;
            assert_near(&what, sum, said, said / 10_000)?;
        }
    }
    Ok(())
}

#[test]
fn another_allocator_is_refused_by_name() -> Result<()> {
    let target = own()?.run(&[("PYTHONMALLOC", "malloc")])?;
    let made = explain(&target, Depth::Full)?;
    assert!(cpython(&made).is_err());
    let why = made.absent.iter().find(|a| a.missing.why.contains("ython")).context("no reason")?;
    assert!(why.missing.why.contains("PYTHONMALLOC"), "{why:?}");
    Ok(())
}

#[test]
fn a_heap_that_changes_is_answered_soundly_or_refused() -> Result<()> {
    let mut target = own()?.run(&[])?;
    target.step()?;
    target.step()?;
    target.proceed()?;
    let reader = Reader::open(Roots::default())?;
    let mut answered = 0;
    for turn in 0..400 {
        let depth = if turn % 2 == 0 { Depth::Runtimes } else { Depth::Pages };
        let made = process::ledger(&reader.process(target.pid(), depth)?);
        let Ok(runtime) = cpython(&made) else {
            let lack = made.absent.iter().find(|a| a.missing.why.contains("ython"));
            println!("{:?}", lack.context("no reason")?.missing.why);
            continue;
        };
        answered += 1;
        let (Some(used), Some(free)) = (runtime.in_use, runtime.free) else { bail!("{runtime:?}") };
        let rss = made.headline.rss.point().context("no RSS")?;
        assert!(i64::try_from(used)? <= rss + (4 << 20), "{used} in use, {free} free of {rss}");
    }
    assert!(answered > 300, "{answered} of 400 looks were answered");
    Ok(())
}

#[test]
fn a_thousand_probes_leave_no_trace() -> Result<()> {
    let target = own()?.run(&[])?;
    let _frozen = Frozen::stop(target.pid())?;
    let (more, rss) = of_a_thousand_looks(target.pid(), "cpython")?;
    assert!(more <= rss / 100, "{more} bytes referenced");
    Ok(())
}
