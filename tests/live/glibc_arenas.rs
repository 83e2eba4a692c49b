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

/// Reads a target after each of its steps: in use is within so many percent of the heap.
fn assert_within(percent: u64, arenas: u32, kind: &str) -> Result<()> {
    let mut target = start(arenas, kind)?;
    let mut sampled = 0;
    for step in 0..3 {
        if step > 0 {
            target.step()?;
        }
        let what = format!("{arenas} arenas, {kind}, step {step}");
        let frozen = Frozen::stop(target.pid())?;
        let (said, free) = (target.holds("in_use")?, target.holds("free")?);
        let read = glibc(target.pid(), Depth::Full)?;
        let in_use = read.in_use.context("none")?;
        let (low, high) = read.in_use_bounds.unwrap_or((in_use, in_use));
        println!("{what}: {in_use} in use ({low}..{high}), {said} of {}", said + free);
        assert!((low..=high).contains(&said), "{what}: {low} {high} {said}");
        let off = in_use.abs_diff(said);
        assert!(off <= (said + free) / 100 * percent, "{what}: {in_use} {said}");
        sampled += u32::from(read.in_use_bounds.is_some());

        let read = glibc(target.pid(), Depth::Pages)?;
        assert_eq!((read.in_use, read.in_use_bounds), (Some(said), None), "{what}");
        drop(frozen);
    }
    // Few large blocks are all on lists that can be followed.
    assert!(sampled > 0 || kind == "large" && arenas <= 4, "nothing was judged by a sample");
    Ok(())
}

/// Where the target's memory lies is another time another place, and so are the pages of
/// the sample: the bounds are three times what they are off by as a rule.
#[test]
fn small_blocks_are_within_seven_percent_of_the_heap() -> Result<()> {
    ARENAS.into_iter().try_for_each(|arenas| assert_within(7, arenas, "small"))
}

#[test]
fn large_blocks_are_within_thirty_percent_of_the_heap() -> Result<()> {
    ARENAS.into_iter().try_for_each(|arenas| assert_within(30, arenas, "large"))
}

#[test]
fn blocks_of_all_sizes_are_within_a_third_of_the_heap() -> Result<()> {
    ARENAS.into_iter().try_for_each(|arenas| assert_within(33, arenas, "mixed"))
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
