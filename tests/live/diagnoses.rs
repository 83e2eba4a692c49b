//! Findings that rest on the kernel's figures: each fires on a program made for it, and on
//! none that looks alike.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memgap_ledger::finding::{self, Finding, Severity, Subject};
use memgap_ledger::process;
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::cgroup::{Cgroup, Version};
use memgap_tests::rights::{Need, left_out};
use memgap_tests::room;
use memgap_tests::target::{Target, compiled};

const MIB: i64 = 1 << 20;

/// A file of this many MiB on a disk, removed with the value.
struct Cached(PathBuf);

impl Cached {
    /// Written by a program in the cgroup, which is charged for it.
    fn write(group: &Cgroup, mib: u32) -> Result<Self> {
        let name = format!("memgap-cached-{}-{mib}", std::process::id());
        let file = Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name));
        let of = format!("of={}", file.0.display());
        let mut dd = group.command("dd");
        let status = dd.args(["if=/dev/zero", "bs=1M", &of, &format!("count={mib}")]).status()?;
        ensure!(status.success(), "dd: {status}");
        Ok(file)
    }
}

impl Drop for Cached {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Limits the cgroup to what it uses and this much more, without swap.
fn leave(group: &Cgroup, of: &Cgroup, mib: u64) -> Result<()> {
    group.limit(Some(of.usage()? + (mib << 20)))?;
    group.swap_limit(0)
}

fn of_group(group: &Cgroup, id: &str) -> Result<Option<Finding>> {
    let made = room::ledger(group.path())?;
    let found = finding::findings(Subject::Cgroup(&made));
    println!("{}: {found:#?}", group.path());
    Ok(found.into_iter().find(|finding| finding.id == id))
}

fn of_process(pid: u32, id: &str) -> Result<Option<Finding>> {
    let made = process::ledger(&Reader::open(Roots::default())?.process(pid, Depth::Walk)?);
    let found = finding::findings(Subject::Process(&made));
    println!("{pid}: {found:#?}");
    Ok(found.into_iter().find(|finding| finding.id == id))
}

/// Waits until the cgroup is charged for no more than that: the kernel gives back what it frees for a
/// program a while after (RCU).
fn falls_to(group: &Cgroup, usage: i64) -> Result<()> {
    let begin = Instant::now();
    while i64::try_from(group.usage()?)? > usage {
        let left = i64::try_from(group.usage()?)? - usage;
        ensure!(begin.elapsed() < Duration::from_secs(30), "{left} too many are charged");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn a_limit_is_near_whose_memory_can_not_be_taken_back() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("near")?;
    let _target = Target::start_in("fork", &group)?;
    leave(&group, &group, 1)?;
    let near = of_group(&group, "limit-near")?.context("32 MiB and 1 more")?;
    assert!(near.severity >= Severity::Warning, "{near:?}");
    assert!(near.bytes.point().is_some_and(|bytes| bytes > 30 * MIB), "{near:?}");
    // The same program under twice that limit.
    leave(&group, &group, 32)?;
    assert_eq!(of_group(&group, "limit-near")?, None);
    Ok(())
}

/// Its usage stands at its limit just the same.
#[test]
fn a_limit_is_not_near_that_page_cache_fills() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("cached")?;
    let _file = Cached::write(&group, 64)?;
    leave(&group, &group, 1)?;
    assert_eq!(of_group(&group, "limit-near")?, None);
    Ok(())
}

#[test]
fn a_limit_further_up_is_near_for_who_has_none() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let above = Cgroup::new("near-above")?;
    let group = above.child("free")?;
    let _target = Target::start_in("fork", &group)?;
    leave(&above, &above, 1)?;
    let near = of_group(&group, "limit-near")?.context("32 MiB and 1 more")?;
    assert!(near.summary.contains(above.path()), "{near:?}");
    Ok(())
}

#[test]
fn shared_memory_that_nobody_maps_is_found_and_what_somebody_maps_is_not() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("unmapped")?;
    let target = Target::start_in("held", &group)?;
    let unmapped = i64::try_from(target.holds("memfd")? + target.holds("sysv")?)?;
    let found = of_group(&group, "tmpfs")?.context("memory files and a segment")?;
    let (low, high) = found.bytes.bounds().context("an amount")?;
    assert!(low <= unmapped && unmapped - low < MIB && unmapped <= high, "{found:?}");
    assert_eq!(found.severity, Severity::Info);
    // Where it makes much of a limit it is what to look at first.
    leave(&group, &group, 8)?;
    let found = of_group(&group, "tmpfs")?.context("still there")?;
    assert_eq!(found.severity, Severity::Warning);

    let mapped = Cgroup::new("mapped")?;
    let _views = Target::start_in("views", &mapped)?;
    assert_eq!(of_group(&mapped, "tmpfs")?, None);
    let cached = Cgroup::new("on-disk")?;
    let _file = Cached::write(&cached, 32)?;
    assert_eq!(of_group(&cached, "tmpfs")?, None);
    Ok(())
}

#[test]
fn a_worker_costs_what_it_wrote_since_it_was_forked() -> Result<()> {
    let mut target = Target::start("fork")?;
    assert_eq!(of_process(target.pid(), "copy-on-write")?, None, "nobody was forked yet");
    target.step()?;
    let child = u32::try_from(target.holds("child")?)?;
    let found = of_process(child, "copy-on-write")?.context("forked")?;
    // Of 28 MiB each of three carries a third.
    let carried = found.bytes.point().context("an amount")?;
    assert!((carried - 28 * MIB * 2 / 3).abs() < MIB, "{found:?}");
    // It maps the same memory several times itself, and shares it with nobody.
    let views = Target::start("views")?;
    assert_eq!(of_process(views.pid(), "copy-on-write")?, None);
    Ok(())
}

/// Whether it names what the kernel's memory of a cgroup mostly is; on v1 nobody tells.
fn is_mostly(found: &Finding, group: &Cgroup, what: &str) -> bool {
    let untold = "of a kind that cgroup v1 does not tell";
    found.brief.contains(if group.version() == Version::V1 { untold } else { what })
}

#[test]
fn names_that_were_looked_up_in_vain_are_kernel_memory_that_can_be_dropped() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("missing")?;
    let mut target = Target::start_in("missing", &group)?;
    assert_eq!(of_group(&group, "kernel-memory")?, None, "nothing was looked up yet");
    target.step()?;
    let found = of_group(&group, "kernel-memory")?.context("200,000 names")?;
    let said = found.bytes.point().context("an amount")?;
    assert!(said > 30 * MIB && is_mostly(&found, &group, "can drop"), "{found:?}");

    // The remedy.
    let before = i64::try_from(group.usage()?)?;
    match group.version() {
        Version::V1 => group.set("memory.force_empty", &0)?,
        // It says that it did not get all of what it was asked for.
        Version::V2 if group.directory().join("memory.reclaim").exists() => {
            let _ = group.set("memory.reclaim", &"1G");
        }
        Version::V2 => return Ok(()),
    }
    falls_to(&group, before - said * 8 / 10)?;
    assert_eq!(of_group(&group, "kernel-memory")?, None, "it was dropped");
    Ok(())
}

#[test]
fn page_tables_are_kernel_memory_that_goes_with_the_mapping() -> Result<()> {
    let of_tables = |found: &Finding, said: i64| {
        let bytes = found.bytes.point().unwrap_or(0);
        assert!(bytes >= said && bytes < said + 4 * MIB, "{said}: {found:?}");
        assert!(found.summary.contains("mostly page tables"), "{found:?}");
    };
    let mut target = Target::start("tables")?;
    assert_eq!(of_process(target.pid(), "kernel-memory")?, None, "nothing is mapped yet");
    target.step()?;
    let said = i64::try_from(target.holds("tables")?)?;
    of_tables(&of_process(target.pid(), "kernel-memory")?.context("tables")?, said);
    target.step()?;
    assert_eq!(of_process(target.pid(), "kernel-memory")?, None, "it is unmapped");
    // As much memory in one piece.
    let dense = Target::start("fork")?;
    assert_eq!(of_process(dense.pid(), "kernel-memory")?, None);
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("tables")?;
    let mut target = Target::start_in("tables", &group)?;
    assert_eq!(of_group(&group, "kernel-memory")?, None, "nothing is mapped yet");
    target.step()?;
    of_tables(&of_group(&group, "kernel-memory")?.context("tables")?, said);
    let before = i64::try_from(group.usage()?)?;
    target.step()?;
    falls_to(&group, before - said * 9 / 10)?;
    assert_eq!(of_group(&group, "kernel-memory")?, None, "it is unmapped");
    Ok(())
}

#[test]
fn stacks_in_the_kernel_are_named_where_there_are_many_threads() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("threads")?;
    // No more than a small machine allows (kernel.threads-max).
    let target = Target::run_in(&compiled("threads")?, &[("THREADS", "2500")], &group)?;
    let stacks = i64::try_from(target.holds("threads")?)? * (16 << 10);
    for found in [of_process(target.pid(), "kernel-memory")?, of_group(&group, "kernel-memory")?] {
        let found = found.context("2,500 threads")?;
        assert!(found.bytes.point().is_some_and(|bytes| bytes >= stacks), "{found:?}");
        assert!(found.summary.contains("mostly stacks of threads"), "{found:?}");
    }
    // Page cache is charged to the kernel's account by nobody.
    let cached = Cgroup::new("no-kernel")?;
    let _file = Cached::write(&cached, 48)?;
    assert_eq!(of_group(&cached, "kernel-memory")?, None);
    Ok(())
}
