//! Erlang programs against what their system says of its allocators,
//! `erlang:system_info({allocator, Type})`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use memgap_ledger::account;
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::target::Target;
use memgap_tests::traces::of_a_thousand_looks;

/// What Erlang allocates to say what it has, and frees after that.
const FOR_A_LINE: u64 = 256 << 10;

fn beam() -> Result<Target> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets/beam.erl");
    Target::spawn(Command::new("escript").arg(script))
}

fn explain(target: &Target) -> Result<ProcessLedger> {
    let _frozen = Frozen::stop(target.pid())?;
    let made =
        process::ledger(&Reader::open(Roots::default())?.process(target.pid(), Depth::Full)?);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok(made)
}

fn statistics(made: &ProcessLedger) -> Result<&Runtime> {
    let found = made.runtimes.iter().find(|r| r.name == "beam");
    found.with_context(|| format!("{:?}", made.absent))
}

/// Bytes of blocks, of carriers, of those that malloc has, and of those in pools.
fn amounts(runtime: &Runtime) -> Result<[u64; 4]> {
    let words = runtime.evidence.first().context("no evidence")?.split(' ');
    let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    let amounts = numbers.get(1..).and_then(|amounts| amounts.try_into().ok());
    amounts.with_context(|| format!("{:?}", runtime.evidence))
}

#[test]
fn blocks_and_carriers_are_what_erlang_says() -> Result<()> {
    let mut target = beam()?;
    for step in ["full", "patchy", "ended"] {
        if step != "full" {
            target.step()?;
        }
        // What killed processes held comes back when their schedulers run again.
        target.again()?;
        let made = explain(&target)?;
        let runtime = statistics(&made)?;
        let [blocks, carriers, within, pooled] = amounts(runtime)?;
        let said = ["blocks", "carriers", "pooled"].map(|name| target.holds(name));
        let [said_blocks, said_carriers, said_pooled] = said;
        let (said_blocks, said_carriers, said_pooled) =
            (said_blocks?, said_carriers?, said_pooled?);
        println!("{step}: {blocks} of {said_blocks} in {carriers} of {said_carriers}");
        println!("{step}: pooled {pooled} of {said_pooled}, {runtime:?}");
        assert!(blocks.abs_diff(said_blocks) <= FOR_A_LINE, "{step}");
        assert!(carriers.abs_diff(said_carriers) <= FOR_A_LINE, "{step}");
        assert!(pooled.abs_diff(said_pooled) <= FOR_A_LINE, "{step}");
        let in_use = runtime.in_use.context("no amount")?;
        let (low, high) = runtime.in_use_bounds.unwrap_or((in_use, in_use));
        assert!(low <= said_blocks && said_blocks <= high + within + FOR_A_LINE, "{step}");
        assert_eq!(in_use + runtime.free.context("no amount")?, carriers - within);
    }
    Ok(())
}

#[test]
fn a_thousand_looks_leave_no_trace() -> Result<()> {
    let target = beam()?;
    let _frozen = Frozen::stop(target.pid())?;
    let (more, rss) = of_a_thousand_looks(target.pid(), "beam")?;
    println!("{more} bytes referenced of {rss}");
    assert!(more * 100 <= rss, "{more}");
    Ok(())
}
