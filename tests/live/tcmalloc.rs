//! Programs that run on tcmalloc of gperftools, against `generic.current_allocated_bytes`.

use std::process::Command;

use anyhow::{Context, Result};
use memgap_ledger::account::{self, Account};
use memgap_ledger::finding::{self, Subject};
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::fetch::{fetch, versioned};
use memgap_tests::frozen::Frozen;
use memgap_tests::target::{Target, compiled};
use memgap_tests::traces::of_a_thousand_looks;

/// `tests/targets/tcmalloc.c` on every tcmalloc that is fetched, with its version.
fn targets() -> Result<Vec<(String, Target)>> {
    let program = compiled("tcmalloc")?;
    let lines = fetch("tcmalloc")?;
    lines
        .iter()
        .map(|line| {
            let (version, words) = versioned(line)?;
            let mut words = words.split(' ');
            let mut command = Command::new(words.next().context("no command")?);
            Ok((version.to_owned(), Target::spawn(command.args(words).arg(&program))?))
        })
        .collect()
}

fn explain(target: &Target, depth: Depth) -> Result<ProcessLedger> {
    let _frozen = Frozen::stop(target.pid())?;
    let made = process::ledger(&Reader::open(Roots::default())?.process(target.pid(), depth)?);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok(made)
}

fn tcmalloc(made: &ProcessLedger) -> Result<&Runtime> {
    let found = made.runtimes.iter().find(|r| r.name == "tcmalloc");
    found.with_context(|| format!("{:?}", made.absent))
}

#[test]
fn in_use_is_what_tcmalloc_says() -> Result<()> {
    for (version, mut target) in targets()? {
        for step in ["full", "thin", "freed by others", "given back", "threads gone"] {
            if step != "full" {
                target.step()?;
            }
            for depth in [Depth::Full, Depth::Pages] {
                let made = explain(&target, depth)?;
                let runtime = tcmalloc(&made)?;
                println!("{version} {step}: {} said, {runtime:?}", target.holds("allocated")?);
                let said = |name| target.holds(name).map(Some);
                assert_eq!(runtime.in_use, said("allocated")?, "{version} {step}");
                assert_eq!(runtime.in_use_bounds, None);
                if step == "freed by others" {
                    let caches = |n| format!("caches of threads ({n})");
                    let is_it = |e: &String| e.contains(&caches(5)) || e.contains(&caches(6));
                    assert!(runtime.evidence.iter().any(is_it), "{:?}", runtime.evidence);
                }
                assert_eq!(runtime.released, said("unmapped")?);
                assert_eq!(runtime.trimmable, said("free")?);
                let all = target.holds("heap")? - target.holds("allocated")?;
                assert_eq!(runtime.free, Some(all));
                let unprobed = made.ledger.booked(Account::HeapUnprobed);
                let left = made.ledger.booked(Account::Unexplained) + unprobed;
                let left = left + i64::try_from(made.cut)?;
                let rss = made.headline.rss.point().context("no RSS")?;
                let own = made.ledger.booked(Account::AllocatorMetadata);
                println!("{left} left and {own} metadata of {rss}");
                // Spans are described by 48 bytes; the tables of pages and classes come to it.
                assert!((1 << 20..8 << 20).contains(&own), "{own}");
                assert!(left * 50 <= rss, "{left} bytes unexplained or cut: {:?}", made.ledger);
            }
        }
    }
    Ok(())
}

/// The third step gives back what its page heap has.
#[test]
fn what_is_retained_is_given_back() -> Result<()> {
    for (version, mut target) in targets()? {
        target.step()?;
        target.step()?;
        let made = explain(&target, Depth::Full)?;
        let found = finding::findings(Subject::Process(&made));
        let found = found.iter().find(|f| f.id == "retention").context("much is free")?;
        let said = found.bytes.point().context("an amount")?;
        let rss = |made: &ProcessLedger| made.headline.rss.point().context("no RSS");
        target.step()?;
        let fell = rss(&made)? - rss(&explain(&target, Depth::Counters)?)?;
        println!("{version}: {said} said, fell by {fell}");
        assert!((said - fell).abs() <= said / 50 + (1 << 20), "{version}: {said} {fell}");
        assert!(found.remedy.contains("ReleaseFreeMemory"), "{}", found.remedy);
    }
    Ok(())
}

#[test]
fn in_use_of_a_program_at_work_is_an_interval_that_is_near() -> Result<()> {
    for (version, mut target) in targets()? {
        for _ in 0..4 {
            target.step()?;
        }
        // It goes on and does not say when.
        target.proceed()?;
        let reader = Reader::open(Roots::default())?;
        let mut seen = 0;
        for _ in 0..15 {
            let made = process::ledger(&reader.process(target.pid(), Depth::Full)?);
            let Ok(runtime) = tcmalloc(&made) else { continue };
            let in_use = runtime.in_use.context("no amount")?;
            let (low, high) = runtime.in_use_bounds.unwrap_or((in_use, in_use));
            let _frozen = Frozen::stop(target.pid())?;
            let still = explain(&target, Depth::Full)?;
            let now = tcmalloc(&still)?.in_use.context("no amount")?;
            println!("{version}: {low} to {high}, then {now}");
            assert!(low <= in_use && in_use <= high && high - low <= in_use / 50);
            // It allocates as much as it frees.
            assert!(now.abs_diff(in_use) <= in_use / 50);
            seen += 1;
        }
        assert!(seen >= 13, "read {seen} times of 15");
    }
    Ok(())
}

#[test]
fn a_thousand_probes_leave_no_trace() -> Result<()> {
    for (version, target) in targets()? {
        let _frozen = Frozen::stop(target.pid())?;
        let (more, rss) = of_a_thousand_looks(target.pid(), "tcmalloc")?;
        println!("{version}: {more} bytes referenced of {rss}");
        assert!(more * 100 <= rss, "{version}: {more}");
    }
    Ok(())
}
