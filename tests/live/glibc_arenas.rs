//! Threads with an arena each against their own `mallinfo2`: what a collection reads of
//! many arenas, while nothing changes, before and after blocks were freed at random.

use std::process::Command;

use anyhow::{Context, Result};
use memgap_ledger::{Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::target::{Target, compiled};
use memgap_tests::traces::of_a_thousand_looks;

/// So that threads keep nothing for themselves, which the library counts as in use.
const NO_CACHES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");

const ARENAS: [u32; 4] = [4, 16, 64, 256];

fn start(arenas: u32, kind: &str) -> Result<Target> {
    let mut command = Command::new(compiled("arenas")?);
    command.arg(arenas.to_string()).arg(kind);
    Target::spawn(command.envs([NO_CACHES]))
}

fn glibc(pid: u32, depth: Depth) -> Result<Runtime> {
    let made = process::ledger(&Reader::open(Roots::default())?.process(pid, depth)?);
    let found = made.runtimes.iter().find(|runtime| runtime.name == "glibc");
    found.cloned().with_context(|| format!("{:?}; {:?}", made.runtimes, made.absent))
}

/// Reads targets after each of their steps: the interval holds what is in use. What was judged
/// by a sample is off by so many percent of the heap at most, in the median: where a target's
/// memory lies is another time another place, and so are the pages of the sample.
fn assert_within(percent: u64, kind: &str) -> Result<()> {
    let mut off = Vec::new();
    for arenas in ARENAS {
        let sampled = sampled_errors(arenas, kind)?;
        // Few large blocks are all on lists that can be followed.
        assert!(!sampled.is_empty() || kind == "large" && arenas <= 4, "{arenas}: no sample");
        off.extend(sampled);
    }
    off.sort_unstable();
    println!("{kind}: off by {off:?} thousandths of the heap");
    assert!(off[off.len() / 2] <= percent * 10, "{kind}: {off:?}");
    Ok(())
}

/// By how many thousandths of the heap each estimate of what is in use is off.
fn sampled_errors(arenas: u32, kind: &str) -> Result<Vec<u64>> {
    let mut target = start(arenas, kind)?;
    let mut off = Vec::new();
    for step in 0..3 {
        if step > 0 {
            target.step()?;
        }
        let what = format!("{arenas} arenas, {kind}, step {step}");
        let frozen = Frozen::stop(target.pid())?;
        let (said, free) = (target.holds("in_use")?, target.holds("free")?);
        let read = glibc(target.pid(), Depth::Full)?;
        let in_use = read.in_use.context("none")?;
        match read.in_use_bounds {
            None => assert_eq!(in_use, said, "{what}"),
            Some((low, high)) => {
                assert!((low..=high).contains(&said), "{what}: {low} {high} {said}");
                off.push(in_use.abs_diff(said) * 1000 / (said + free));
            }
        }

        let read = glibc(target.pid(), Depth::Pages)?;
        assert_eq!((read.in_use, read.in_use_bounds), (Some(said), None), "{what}");
        drop(frozen);
    }
    Ok(off)
}

#[test]
fn small_blocks_are_within_three_percent_of_the_heap() -> Result<()> {
    assert_within(3, "small")
}

#[test]
fn large_blocks_are_within_ten_percent_of_the_heap() -> Result<()> {
    assert_within(10, "large")
}

#[test]
fn blocks_of_all_sizes_are_within_ten_percent_of_the_heap() -> Result<()> {
    assert_within(10, "mixed")
}

/// One page of a hundred, or where that is more 128, or 96 beside the arenas' own.
#[test]
fn many_arenas_are_read_without_a_trace() -> Result<()> {
    for (arenas, kind) in [(16, "small"), (64, "large")] {
        let mut target = start(arenas, kind)?;
        target.step()?;
        let _frozen = Frozen::stop(target.pid())?;
        let (more, rss) = of_a_thousand_looks(target.pid(), "glibc")?;
        let least = 128.max(96 + u64::from(arenas) + 1) << 12;
        assert!(more <= (rss / 100).max(least), "{arenas} {kind}: {more} of {rss}");
    }
    Ok(())
}
