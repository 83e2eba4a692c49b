//! One process that is made to cost does not fatten who looks at it: what is read and kept
//! of it is bounded, by memory and by work. The attacks need no rights of their own.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use memgap_ledger::MissingKind;
use memgap_ledger::sample::{MachineSample, ProcessSample};
use memgap_reader::{CollectionStats, Collector, Reader, Roots, WalkPolicy};
use memgap_tests::target::{Target, compiled};

/// What one attack may add to the memory of who collects.
const FATTER: u64 = 32 << 20;

/// Collections after which each process was looked at, also where many wait.
const COLLECTIONS: usize = 400;

/// The memory of this process is measured: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a target as nobody, where that may be done, and else as who runs the test.
fn attack(name: &str) -> Result<Target> {
    let program = compiled(name)?;
    let mut command = Command::new(program);
    if rustix::process::getuid().is_root() {
        command.uid(65534).gid(65534);
    }
    Target::spawn(&mut command)
}

fn own(key: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)).context("no such line")?;
    let kilobytes = line.trim_matches([':', '\t', ' ']).trim_end_matches(" kB");
    Ok(kilobytes.parse::<u64>()? * 1024)
}

fn collector() -> Result<Collector> {
    let reader = Reader::open(Roots::default())?;
    let policy = WalkPolicy { budget_share: 1.0, ..WalkPolicy::default() };
    Ok(Collector::new(reader, policy).with_probe_share(1.0))
}

/// Collects until `is_done` says so of the target: what it was then, and the memory that
/// was taken at the most meanwhile.
fn collected(
    target: &Target,
    collector: &mut Collector,
    mut is_done: impl FnMut(&ProcessSample, &CollectionStats) -> bool,
) -> Result<(ProcessSample, u64)> {
    // One collection takes what any does.
    collector.collect()?;
    fs::write("/proc/self/clear_refs", "5").context("the high-water mark is not reset")?;
    let before = own("VmRSS")?;
    for _ in 0..COLLECTIONS {
        let (MachineSample { processes, .. }, stats) = collector.collect()?;
        let sample = processes.into_iter().find(|p| p.pid == target.pid());
        let sample = sample.context("the target is not in the sample")?;
        if is_done(&sample, &stats) {
            return Ok((sample, own("VmHWM")?.saturating_sub(before)));
        }
    }
    anyhow::bail!("the target was not looked at in {COLLECTIONS} collections")
}

/// Whether it is said of a process why it is not looked at to its end.
fn is_given_up(sample: &ProcessSample, why: &str) -> bool {
    let lacks = sample.runtimes.iter().filter_map(|runtime| runtime.as_ref().err());
    lacks
        .map(|unread| &unread.why)
        .any(|lack| lack.kind == MissingKind::Refused && lack.why.contains(why))
}

#[test]
fn mappings_of_long_names_are_not_held() -> Result<()> {
    let _alone = alone();
    let target = attack("longnames")?;
    let mut collector = collector()?;
    let (sample, grown) =
        collected(&target, &mut collector, |sample, _| is_given_up(sample, "maps is longer than"))?;
    println!("grown by {grown}; walk: {:?}", sample.walk.as_ref().map(|walk| walk.areas.len()));
    ensure!(grown <= FATTER, "{grown} bytes more at the most");
    Ok(())
}

#[test]
fn mounts_and_small_programs_are_looked_at_by_and_by() -> Result<()> {
    let _alone = alone();
    let target = attack("mounts")?;
    let programs = target.holds("programs")?;
    let mut collector = collector()?;
    let (mut most, mut looks) = (0, 0);
    let (_, grown) = collected(&target, &mut collector, |sample, stats| {
        let is_part = is_given_up(sample, "yet to be looked at");
        if is_part {
            most = most.max(stats.files.misses);
            looks += 1;
        }
        looks > 0 && !is_part
    })?;
    println!("{looks} looks, {most} files at the most, grown by {grown}");
    ensure!(grown <= FATTER, "{grown} bytes more at the most");
    // The collection that is not looked at may have been the first to look.
    let least = (programs / 256).saturating_sub(1);
    ensure!(looks >= least && most < programs, "{looks} looks, {most} files in one collection");
    Ok(())
}

#[test]
fn so_many_threads_that_a_walk_is_dear_are_not_walked() -> Result<()> {
    let _alone = alone();
    let target = attack("threads")?;
    let mut collector = collector()?;
    let (sample, grown) = collected(&target, &mut collector, |sample, stats| {
        sample.walk.is_err() && stats.refused > 0
    })?;
    let lack = sample.walk.err().context("it was walked")?;
    ensure!(lack.kind == MissingKind::Refused && lack.why.contains("over the cap"), "{lack}");
    ensure!(grown <= FATTER, "{grown} bytes more at the most");
    Ok(())
}
