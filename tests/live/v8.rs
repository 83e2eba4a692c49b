//! Node programs against V8's own words: `v8.getHeapSpaceStatistics` and
//! `process.memoryUsage`.

use std::fs;

use anyhow::{Context, Result};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::node::nodes;
use memgap_tests::target::Target;
use memgap_tests::traces::traces;

fn explain(target: &Target) -> Result<ProcessLedger> {
    let _frozen = Frozen::stop(target.pid())?;
    let reader = Reader::open(Roots::default())?;
    let made = process::ledger(&reader.process(target.pid(), Depth::Books)?);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok(made)
}

fn v8(made: &ProcessLedger) -> Result<&Runtime> {
    let found = made.runtimes.iter().find(|r| r.name == "v8");
    found.with_context(|| format!("{:?}", made.absent))
}

/// What is used in the spaces whose chunks count it.
fn used_in_old_spaces(target: &Target) -> u64 {
    let spaces = ["old_space", "large_object_space", "map_space", "trusted_space"];
    let used = spaces.iter().filter_map(|space| target.holds(&format!("{space}.used")).ok());
    used.sum()
}

#[test]
fn chunks_are_what_v8_has_committed() -> Result<()> {
    for node in nodes()? {
        let mut target = node.run()?;
        for step in ["full", "thin"] {
            if step == "thin" {
                target.step()?;
            }
            let made = explain(&target)?;
            let runtime = v8(&made)?;
            let what = format!("node {} {step}", node.version);
            let committed: u64 = runtime.in_use.unwrap_or(0) + runtime.free.unwrap_or(0);
            let said = target.holds("heapTotal")?;
            println!("{what}: {committed} in chunks less headers, heapTotal {said}");
            // Headers are at most 2 % of a chunk; code stands on an account of its own.
            assert!(committed <= said && committed * 100 >= said * 97, "{what}");

            let young = target.holds("new_space.size")? / 2;
            let in_use = runtime.in_use.context("no amount")?;
            let old = used_in_old_spaces(&target);
            println!("{what}: {in_use} in use, {old} said of old spaces, {young} new");
            // Chunks that wait to be swept count what died in them.
            let slack = said / 100;
            let (low, high) = runtime.in_use_bounds.context("new space has an end")?;
            assert!(low <= target.holds("heapUsed")? + slack && high == in_use, "{what}");
            assert!(in_use + slack >= old && in_use <= old + young + slack, "{what}");
        }
    }
    Ok(())
}

#[test]
fn hardly_anything_of_a_node_is_unexplained() -> Result<()> {
    for node in nodes()? {
        let made = explain(&node.run()?)?;
        let left = made.ledger.booked(Account::Unexplained) + i64::try_from(made.cut)?;
        let rss = made.headline.rss.point().context("no RSS")?;
        println!("node {}: {left} of {rss} bytes unexplained or cut", node.version);
        assert!(left * 50 <= rss, "{left} of {rss}");
        assert!(made.ledger.booked(Account::JitCode) > 0);
    }
    Ok(())
}

#[test]
fn a_thousand_probes_leave_no_trace() -> Result<()> {
    for node in nodes()? {
        let target = node.run()?;
        let _frozen = Frozen::stop(target.pid())?;
        let reader = Reader::open(Roots::default())?;
        // Found already: that is once for each program.
        reader.process(target.pid(), Depth::Runtimes)?;
        fs::write(format!("/proc/{}/clear_refs", target.pid()), "1")?;
        let mut before = traces(target.pid())?;
        for _ in 0..1000 {
            let sample = reader.process(target.pid(), Depth::Runtimes)?;
            assert!(sample.runtimes.iter().flatten().any(|r| r.name == "v8"), "{sample:?}");
        }
        let after = traces(target.pid())?;
        let key = "Referenced".to_owned();
        let was = before.insert(key, after["Referenced"]).context("no figure")?;
        let more = after["Referenced"] - was;
        println!("node {}: {more} bytes referenced of {}", node.version, after["VmRSS"]);
        // The page of each chunk's header, and of what it leads to: one or two of 64.
        // And what the C library's free lists may take, one of a hundred.
        assert!(more * 25 <= after["VmRSS"], "{more}");
        assert_eq!(before, after);
    }
    Ok(())
}
