//! Shared memory that stays although nobody maps it: who holds it, by pid and name. What
//! the target wrote is the oracle, and the cgroup's own `shmem`.

use anyhow::{Context, Result};
use memgap_ledger::account::Account;
use memgap_ledger::finding::Subject;
use memgap_ledger::held::{HolderKind, SharedHeld};
use memgap_ledger::{Missing, ProcessLedger, cgroup, note, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::rights::{Need, left_out, machine_lacks};
use memgap_tests::target::Target;

fn held(reader: &Reader, pid: u32) -> Result<SharedHeld> {
    Ok(reader.shared_held(&[pid])?)
}

#[test]
fn memory_files_and_segments_that_nobody_maps_are_the_targets() -> Result<()> {
    let reader = Reader::open(Roots::default())?;
    let target = Target::start("held")?;
    let found = held(&reader, target.pid())?;
    let of = |kind: &HolderKind| found.holders.iter().find(|holder| holder.kind == *kind);
    let pool = of(&HolderKind::MemoryFile("buffer-pool".to_owned())).context("the pool")?;
    assert_eq!((pool.pid, pool.bytes), (target.pid(), target.holds("memfd")?));
    assert_eq!(pool.count, target.holds("files")?);
    let segment = of(&HolderKind::Segment).context("the segment")?;
    assert_eq!((segment.count, segment.bytes), (1, target.holds("sysv")?));
    assert_eq!(of(&HolderKind::MemoryFile("mapped".to_owned())), None);
    assert!(found.is_whole && !found.other_ipc, "{found:?}");
    Ok(())
}

#[test]
fn a_cgroup_says_who_holds_its_shared_memory() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let reader = Reader::open(Roots::default())?;
    let group = Cgroup::new("held")?;
    let target = Target::start_in("held", &group)?;
    let unasked = Missing::absent("not asked for");
    let mut made = cgroup::ledger(&reader.cgroup(group.path())?, Err(&unasked));
    made.held = Some(reader.shared_held(&reader.member_pids(group.path())?));
    let all = target.holds("memfd")? + target.holds("sysv")? + target.holds("mapped")?;
    assert!(made.ledger.booked(Account::Shmem) >= i64::try_from(all)?);
    let notes = note::notes(Subject::Cgroup(&made)).join("\n");
    let said = format!("pid {} holds 8 memfd:buffer-pool, 16.0 MiB", target.pid());
    assert!(notes.contains(&said), "{notes}");
    assert!(notes.contains("1 System V segment made by pid"), "{notes}");
    Ok(())
}

/// The kernel shows nobody what a socket keeps of files that are on their way.
#[test]
fn what_is_on_its_way_between_sockets_is_said_not_to_be_found() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let reader = Reader::open(Roots::default())?;
    let group = Cgroup::new("sent")?;
    let mut target = Target::start_in("inflight", &group)?;
    let said = || -> Result<(String, u64)> {
        let members = reader.members(group.path(), Depth::Walk)?;
        let ledgers: Vec<ProcessLedger> = members.iter().map(process::ledger).collect();
        let ledgers: Vec<&ProcessLedger> = ledgers.iter().collect();
        let mut made = cgroup::ledger(&reader.cgroup(group.path())?, Ok(&ledgers));
        let held = reader.shared_held(&reader.member_pids(group.path())?)?;
        let elsewhere = held.tmpfs.iter().map(|tmpfs| tmpfs.bytes).sum::<u64>() + held.mapped;
        made.held = Some(Ok(held));
        Ok((note::notes(Subject::Cgroup(&made)).join("\n"), elsewhere))
    };
    let (notes, _) = said()?;
    assert!(notes.contains("holds 1 memfd:sent, 32.0 MiB"), "{notes}");
    assert!(!notes.contains("were not found"), "{notes}");
    target.step()?;
    let (notes, elsewhere) = said()?;
    if elsewhere < target.holds("sent")? / 2 {
        assert!(notes.contains("MiB of shared memory were not found"), "{notes}");
        assert!(notes.contains("SCM_RIGHTS"), "{notes}");
    } else {
        machine_lacks("", "a tmpfs that its processes see holds as much");
    }
    Ok(())
}
