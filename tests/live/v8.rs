//! Node programs against V8's own words: `v8.getHeapSpaceStatistics` and
//! `process.memoryUsage`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::node::nodes;
use memgap_tests::target::Target;
use memgap_tests::traces::of_a_thousand_looks;

fn explain(target: &Target) -> Result<ProcessLedger> {
    let _frozen = Frozen::stop(target.pid())?;
    let reader = Reader::open(Roots::default())?;
    let made = process::ledger(&reader.process(target.pid(), Depth::Full)?);
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

/// How long V8's workers may take to sweep.
const SWEPT: Duration = Duration::from_secs(20);

/// Looks until the workers have swept the chunks, and unmapped those that a collection
/// emptied: V8 says nothing of when they have. The last look stands in any case.
fn swept(
    target: &mut Target,
    is_swept: impl Fn(&Target, &ProcessLedger) -> Result<bool>,
) -> Result<ProcessLedger> {
    let started = Instant::now();
    loop {
        target.again()?;
        let made = explain(target)?;
        if is_swept(target, &made)? || started.elapsed() > SWEPT {
            return Ok(made);
        }
    }
}

/// Spaces count the buffers that objects are allocated from as a whole, and V8 goes on
/// while it speaks.
const SLACK: u64 = 1 << 20;

/// The most that can be in use by V8's own words: half of new space is to copy to.
fn at_most(target: &Target) -> Result<u64> {
    let young = target.holds("new_space.size")? / 2;
    Ok(used_in_old_spaces(target) + young + SLACK)
}

fn is_hardly_anything_unexplained(made: &ProcessLedger) -> Result<bool> {
    let left = made.ledger.booked(Account::Unexplained) + i64::try_from(made.cut)?;
    let rss = made.headline.rss.point().context("no RSS")?;
    println!("{left} of {rss} bytes unexplained or cut");
    Ok(left * 50 <= rss)
}

#[test]
fn chunks_are_what_v8_has_committed() -> Result<()> {
    for node in nodes()? {
        let mut target = node.run()?;
        for step in ["full", "thin"] {
            if step == "thin" {
                target.step()?;
            }
            let made = swept(&mut target, |target, made| {
                let runtime = v8(made)?;
                let in_use = runtime.in_use.context("no amount")?;
                let committed = in_use + runtime.free.context("no amount")?;
                Ok(in_use <= at_most(target)? && committed <= target.holds("heapTotal")? + SLACK)
            })?;
            let runtime = v8(&made)?;
            let what = format!("node {} {step}", node.version);
            let in_use = runtime.in_use.context("no amount")?;
            let committed = in_use + runtime.free.context("no amount")?;
            let said = target.holds("heapTotal")?;
            println!("{what}: {committed} in chunks less headers, heapTotal {said}");
            // Headers are at most 2 % of a chunk; code stands on an account of its own. A
            // chunk that V8 keeps for its next one is in its total no more.
            assert!(committed <= said + SLACK && committed * 100 >= said * 97, "{what}");

            let (old, most) = (used_in_old_spaces(&target), at_most(&target)?);
            println!("{what}: {in_use} in use, {old} said of old spaces, {most} at most");
            let (low, high) = runtime.in_use_bounds.context("new space has an end")?;
            assert!((old..=old + SLACK).contains(&low), "{what}: {low}");
            assert!(in_use <= most, "{what}");
            assert!(old + target.holds("new_space.used")? <= high, "{what}: {high}");
        }
    }
    Ok(())
}

#[test]
fn the_heaps_of_workers_are_added_and_those_that_ended_are_not() -> Result<()> {
    for node in nodes()? {
        let target = node.run_target("workers")?;
        let made = explain(&target)?;
        let runtime = v8(&made)?;
        let (low, high) = runtime.in_use_bounds.context("new space has an end")?;
        let (old, used) = (target.holds("old")?, target.holds("used")?);
        println!("node {}: {low} to {high}, {old} of {used} in old spaces", node.version);
        // Three heaps, each with its own buffers.
        assert!(low <= old + 3 * SLACK && low + 3 * SLACK >= old, "node {}", node.version);
        assert!(used <= high, "node {}", node.version);
    }
    Ok(())
}

#[test]
fn hardly_anything_of_a_node_is_unexplained() -> Result<()> {
    for node in nodes()? {
        let made = swept(&mut node.run()?, |_, made| is_hardly_anything_unexplained(made))?;
        assert!(is_hardly_anything_unexplained(&made)?, "node {}", node.version);
        assert!(made.ledger.booked(Account::JitCode) > 0);
    }
    Ok(())
}

#[test]
fn memory_of_webassembly_is_listed_and_not_in_use_by_v8() -> Result<()> {
    for node in nodes()? {
        let target = node.run_target("wasm")?;
        let made = explain(&target)?;
        let wasm = target.holds("wasm")?;
        let listed = made.largest.iter().find(|held| held.account == Account::Unexplained);
        let listed = listed.with_context(|| format!("node {}: nothing is listed", node.version))?;
        // Where V8's own amounts lie is not all known: a little of them may be in it.
        assert!(listed.bytes.abs_diff(wasm) <= SLACK, "node {}: {listed:?}", node.version);
        assert!(listed.resident >= wasm && &listed.access == b"rw-p", "{listed:?}");
        let in_use = v8(&made)?.in_use.context("no amount")?;
        assert!(in_use < wasm / 2, "node {}: {in_use}", node.version);
        // In use is at least what was read: the memory stands between the bounds.
        let (low, high) = made.headline.in_use.bounds().context("an interval")?;
        let wasm = i64::try_from(wasm)?;
        assert!(low < wasm / 2 && high >= wasm, "node {}: {low} to {high}", node.version);
    }
    Ok(())
}

#[test]
fn a_thousand_probes_leave_no_trace() -> Result<()> {
    for node in nodes()? {
        let target = node.run()?;
        let _frozen = Frozen::stop(target.pid())?;
        let (more, rss) = of_a_thousand_looks(target.pid(), "v8")?;
        // One header of eight, of 64 pages each, and what of the C library's free lists is
        // read.
        assert!(more * 100 <= rss, "node {}: {more}", node.version);
    }
    Ok(())
}
