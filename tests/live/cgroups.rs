//! What the tests' own cgroups do, by the kernel, and how they are read: the same on v1
//! and v2.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memgap_kernel::{Cgroups, Dir};
use memgap_ledger::MissingKind;
use memgap_ledger::sample::CgroupSample;
use memgap_tests::cgroup::{Cgroup, Version};
use memgap_tests::rights::{Need, left_out, machine_lacks};
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

fn opened() -> Result<Cgroups> {
    let proc = Dir::open(Path::new("/proc"))?;
    Ok(Cgroups::open(&proc, None, Path::new("/var/log/containers"))?)
}

/// The path of a process's cgroup below the mount point.
fn path_of(cgroups: &Cgroups, pid: &str) -> Result<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let lines = text.lines().filter_map(|l| l.split_once(':')?.1.split_once(':'));
    cgroups.path_of(lines).with_context(|| format!("process {pid} has no cgroup here"))
}

#[test]
fn a_cgroup_is_read_as_its_files_say() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let cgroups = opened()?;
    let made = Cgroup::new("read")?;
    let path = made.path().to_owned();
    // It waits: nothing in the cgroup moves.
    let member = Target::start_in("ballast", &made)?;
    let before = cgroups.one(&path)?;
    assert_eq!((before.limit, before.swap_limit), (Ok(None), Ok(None)));
    made.limit(Some(64 * MIB))?;
    made.swap_limit(32 * MIB)?;

    let all = cgroups.all()?;
    let sample = all.iter().find(|c| c.path == path).context("it is listed")?;
    assert_eq!(sample.usage, Ok(made.usage()?));
    if made.version() == Version::V1 {
        let kernel = made.file("memory.kmem.usage_in_bytes")?;
        assert_eq!(sample.kmem, Ok(kernel.trim().parse()?));
    }
    assert_eq!(sample.limit, Ok(Some(64 * MIB)));
    assert_eq!(sample.swap_limit, Ok(Some(32 * MIB)));
    assert!(sample.leaf && !sample.root);
    let parent = Path::new(&path).parent().context("it is below one")?;
    assert!(all.iter().any(|c| Path::new(&c.path) == parent && !c.leaf));
    assert_eq!(cgroups.pids(&path), Ok(vec![member.pid()]));

    drop((member, made));
    assert_eq!(cgroups.one(&path).err().context("it is gone")?.kind, MissingKind::Absent);
    assert!(cgroups.all()?.iter().all(|c| c.path != path));
    Ok(())
}

#[test]
fn what_stays_open_of_a_cgroup_tells_what_is_there_now() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let mut cgroups = opened()?;
    cgroups.keep_open(1 << 12);
    let parent = Cgroup::new("kept")?;
    let path = format!("{}/child", parent.path());
    let read = || -> Result<CgroupSample> {
        let found = cgroups.all()?.into_iter().find(|c| c.path == path);
        found.context("it is listed")
    };
    // Each time another cgroup has the name, and no collection saw it change hands.
    for mib in [64, 32, 16] {
        let child = parent.child("child")?;
        child.limit(Some(mib * MIB))?;
        assert_eq!(read()?.limit, Ok(Some(mib * MIB)));
        let target = Target::start_in("ballast", &child)?;
        let sample = read()?;
        assert_eq!(sample.usage, Ok(child.usage()?));
        assert!(sample.stat.is_ok_and(|stat| stat.anon > 0) && sample.leaf);
        child.limit(Some(2 * mib * MIB))?;
        assert_eq!(read()?.limit, Ok(Some(2 * mib * MIB)));
        drop((target, child));
    }
    assert!(cgroups.all()?.iter().all(|c| c.path != path));
    Ok(())
}

#[test]
fn what_has_not_changed_of_a_cgroup_is_not_read_again_but_now_and_then() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let mut cgroups = opened()?;
    cgroups.keep_open(1 << 12);
    let group = Cgroup::new("settled")?;
    let peak = || -> Result<u64> {
        let found = cgroups.all()?.into_iter().find(|c| c.path == group.path());
        Ok(found.context("it is listed")?.events.peak?)
    };
    // What came and went again between two collections is seen by the next one.
    if peak().is_err() {
        machine_lacks("", "the kernel tells no peak of a cgroup: Linux 6.5 does on cgroup v2");
        return Ok(());
    }
    ensure!(touch(&group, 16)?.success());
    ensure!(peak()? > 16 * MIB);
    ensure!(touch(&group, 32)?.success());
    let most = peak()?;
    ensure!(most > 32 * MIB);
    if group.version() == Version::V2 {
        return Ok(());
    }
    // What is left of a process that has ended goes later, and is a change.
    settled(&group)?;
    ensure!(peak()? == most);
    // On v1 the kernel can be made to forget it, which changes nothing else.
    group.set("memory.max_usage_in_bytes", &0)?;
    let told: Vec<u64> = (0..16).map(|_| peak()).collect::<Result<_>>()?;
    ensure!(told[0] == most, "it was read again: {told:?}");
    ensure!(told[15] < 32 * MIB, "it was not read in 16 collections: {told:?}");
    Ok(())
}

/// Waits until nothing has been charged or given back for a while.
fn settled(group: &Cgroup) -> Result<()> {
    const WHILE: Duration = Duration::from_secs(1);
    let end = Instant::now() + Duration::from_mins(1);
    let (mut usage, mut since) = (group.usage()?, Instant::now());
    while since.elapsed() < WHILE {
        ensure!(Instant::now() < end, "the cgroup does not come to rest");
        let now = group.usage()?;
        if now != usage {
            (usage, since) = (now, Instant::now());
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// The test starts itself again in a cgroup namespace of a cgroup of its own.
#[test]
fn paths_are_the_same_from_within_a_cgroup_namespace() -> Result<()> {
    const EXPECTED: &str = "MEMGAP_TEST_EXPECTED_CGROUP";
    let cgroups = opened()?;
    if let Ok(expected) = std::env::var(EXPECTED) {
        assert!(std::fs::read_to_string("/proc/1/cgroup")?.contains(":/.."));
        let found = format!("{} {}", path_of(&cgroups, "self")?, path_of(&cgroups, "1")?);
        assert_eq!(found, expected);
        return Ok(());
    }
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("namespace")?;
    // By its path: a shell may have one built in that knows no cgroups.
    let mut command = group.command("/usr/bin/unshare");
    command.arg("--cgroup").arg(std::env::current_exe()?).arg("--exact");
    command.arg("paths_are_the_same_from_within_a_cgroup_namespace");
    let output =
        command.env(EXPECTED, format!("{} {}", group.path(), path_of(&cgroups, "1")?)).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("1 passed"), "{said}{output:?}");
    Ok(())
}
