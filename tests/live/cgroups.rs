//! What the tests' own cgroups do, by the kernel: the same on v1 and v2.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use anyhow::{Result, ensure};
use memgap_tests::cgroup::{Cgroup, Version};
use memgap_tests::rights::{Need, left_out};
use memgap_tests::target::Target;

const MIB: u64 = 1 << 20;

/// Runs a program that touches so much memory and ends.
fn touch(group: &Cgroup, mib: u64) -> Result<ExitStatus> {
    let mut command = group.command("dd");
    command.args(["if=/dev/zero", "of=/dev/null", "count=1"]).arg(format!("bs={mib}M"));
    Ok(command.stderr(Stdio::null()).status()?)
}

#[test]
fn what_goes_beyond_a_limit_is_killed_and_counted() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("limit")?;
    // A machine with swap would swap out what is too much.
    group.limit(Some(32 * MIB))?;
    group.swap_limit(0)?;
    ensure!(touch(&group, 16)?.success());
    ensure!(group.events()?.oom_kills == 0);
    ensure!(touch(&group, 64)?.signal() == Some(9));
    let events = group.events()?;
    ensure!(events.oom_kills == 1, "{events:?}");
    ensure!(events.limit_met > 0 || group.version() == Version::V1, "{events:?}");
    group.limit(None)?;
    ensure!(touch(&group, 64)?.success());
    Ok(())
}

#[test]
fn the_limit_of_a_parent_binds_its_children_together() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let parent = Cgroup::new("parent")?;
    parent.limit(Some(32 * MIB))?;
    parent.swap_limit(0)?;
    let (one, other) = (parent.child("one")?, parent.child("other")?);
    ensure!(other.path() == format!("{}/other", parent.path()));
    ensure!(touch(&one, 16)?.success());
    ensure!(touch(&one, 64)?.signal() == Some(9));
    ensure!(one.events()?.oom_kills == 1 && other.events()?.oom_kills == 0);
    Ok(())
}

#[test]
fn a_process_that_is_moved_leaves_its_charges_and_ends_with_its_cgroup() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let (from, to) = (Cgroup::new("from")?, Cgroup::new("to")?);
    let mut target = Target::start_in("lazyfree", &from)?;
    target.step()?;
    let held = from.usage()?;
    to.admit(target.pid())?;
    ensure!(from.usage()? * 2 > held && to.usage()? * 2 < held, "{held}, {}", from.usage()?);
    to.kill()?;
    ensure!(std::fs::read_to_string(to.procs())?.is_empty());
    Ok(())
}
