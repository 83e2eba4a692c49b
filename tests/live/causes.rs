//! Findings that tell one kind of memory from others: each fires on a program made for it, and
//! on none that looks alike; where a program can take the remedy, it does, and it is gone.

use anyhow::{Context, Result};
use memgap_ledger::finding::{self, Finding, Subject};
use memgap_ledger::{ProcessLedger, cgroup, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::cgroup::{Cgroup, Version};
use memgap_tests::rights::{Need, left_out, machine_lacks};
use memgap_tests::target::{Target, compiled};

const MIB: i64 = 1 << 20;

fn of_process(pid: u32, id: &str) -> Result<Option<Finding>> {
    let reader = Reader::open(Roots::default())?;
    let mut made = process::ledger(&reader.process(pid, Depth::Walk)?);
    made.sockets = Some(reader.sockets(&[pid]));
    Ok(pick(&made.name, finding::findings(Subject::Process(&made)), id))
}

fn of_group(group: &Cgroup, id: &str) -> Result<Option<Finding>> {
    let reader = Reader::open(Roots::default())?;
    let members = reader.members(group.path(), Depth::Walk)?;
    let ledgers: Vec<ProcessLedger> = members.iter().map(process::ledger).collect();
    let inside: Vec<&ProcessLedger> = ledgers.iter().collect();
    let mut made = cgroup::ledger(&reader.cgroup(group.path())?, Ok(&inside));
    made.sockets = Some(reader.sockets(&reader.member_pids(group.path())?));
    Ok(pick(group.path(), finding::findings(Subject::Cgroup(&made)), id))
}

fn pick(of: &str, found: Vec<Finding>, id: &str) -> Option<Finding> {
    println!("{of}: {found:#?}");
    found.into_iter().find(|finding| finding.id == id)
}

fn bytes(found: &Finding) -> Result<i64> {
    found.bytes.point().context("an amount")
}

#[test]
fn stacks_are_found_where_threads_use_them() -> Result<()> {
    let mut target = Target::start("stacks")?;
    assert_eq!(of_process(target.pid(), "stacks")?, None, "no thread was started yet");
    target.step()?;
    let said = i64::try_from(target.holds("stacks")?)?;
    let found = of_process(target.pid(), "stacks")?.context("8 threads")?;
    assert!((bytes(&found)? - said).abs() < MIB, "{said}: {found:?}");
    // As much where many threads use little each.
    let threads = Target::run(&compiled("threads")?, &[("THREADS", "2500")])?;
    let many = of_process(threads.pid(), "stacks")?.context("2,500 threads")?;
    assert!(many.summary.contains("by and large 8 KiB each"), "{many:?}");
    for other in ["fork", "views"] {
        assert_eq!(of_process(Target::start(other)?.pid(), "stacks")?, None, "{other}");
    }
    Ok(())
}

#[test]
fn what_waits_in_sockets_is_found_in_which_direction() -> Result<()> {
    if left_out(Need::Buffers) || left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("sockets")?;
    let mut target = Target::start_in("queues", &group)?;
    assert_eq!(of_process(target.pid(), "sockets")?, None, "nothing was sent yet");
    assert_eq!(of_group(&group, "sockets")?, None, "nothing was sent yet");
    target.step()?;
    for found in [of_process(target.pid(), "sockets")?, of_group(&group, "sockets")?] {
        let found = found.context("datagrams wait")?;
        assert!(bytes(&found)? > 48 * MIB, "{found:?}");
        assert!(found.evidence[0].ends_with("UDP received and not read"), "{found:?}");
        assert!(found.remedy.starts_with("have the program read"), "{found:?}");
    }
    if group.version() == Version::V2 {
        let sock = i64::try_from(group.stat("sock")?)?;
        let found = of_group(&group, "sockets")?.context("it still waits")?;
        assert!((bytes(&found)? - sock).abs() <= MIB, "{sock}: {found:?}");
    }
    // Kernel memory of other kinds.
    for other in ["tables", "inflight"] {
        assert_eq!(of_process(Target::start(other)?.pid(), "sockets")?, None, "{other}");
    }
    Ok(())
}

#[test]
fn a_file_is_found_that_is_locked_until_it_is_no_longer() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("locked")?;
    let mut target = Target::start_in("locked", &group)?;
    for (is_locked, why) in [(false, "only mapped"), (true, "locked"), (false, "unlocked")] {
        let said = i64::try_from(target.holds("locked")?)?;
        for found in [of_process(target.pid(), "locked-cache")?, of_group(&group, "locked-cache")?]
        {
            assert_eq!(found.is_some(), is_locked, "{why}: {found:?}");
            if let Some(found) = found {
                let (low, high) = found.bytes.bounds().context("an amount")?;
                assert!(low <= said + MIB && said - MIB <= high && low > said / 2, "{found:?}");
            }
        }
        if why != "unlocked" {
            target.step()?;
        }
    }
    // Anonymous memory that is locked is no file.
    assert_eq!(of_process(Target::start("mlock")?.pid(), "locked-cache")?, None);
    Ok(())
}

#[test]
fn what_is_swapped_out_is_found_until_it_is_touched() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let swaps = std::fs::read_to_string("/proc/swaps")?;
    if swaps.lines().count() < 2 {
        machine_lacks("", "the machine has no swap, see /proc/swaps");
        return Ok(());
    }
    let group = Cgroup::new("swapped")?;
    let mut target = Target::start_in("swapped", &group)?;
    assert_eq!(of_process(target.pid(), "swapped")?, None, "it is in memory");
    target.step()?;
    for found in [of_process(target.pid(), "swapped")?, of_group(&group, "swapped")?] {
        let found = found.context("it was swapped out")?;
        let written = i64::try_from(target.holds("written")?)?;
        assert!((bytes(&found)? - written).abs() < 2 * MIB, "{found:?}");
    }
    target.step()?;
    assert_eq!(of_process(target.pid(), "swapped")?, None, "it is in memory again");
    // What was given back, or never touched, is not swapped out.
    for other in ["ballast", "lazyfree"] {
        assert_eq!(of_process(Target::start(other)?.pid(), "swapped")?, None, "{other}");
    }
    Ok(())
}
