//! Programs in states that few are in: what is said of them is what the kernel and the
//! targets say.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use memgap_ledger::finding::{self, Subject};
use memgap_ledger::held::HolderKind;
use memgap_ledger::{
    Account, CgroupLedger, Figure, ProcessLedger, cgroup, gap, note, process, program,
};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::rights::{Need, left_out};
use memgap_tests::target::Target;

const MIB: u64 = 1 << 20;
/// What a program holds beyond the memory that it tells of: the C library.
const LIBRARY: u64 = 4 * MIB;

fn explain(pid: u32) -> Result<ProcessLedger> {
    Ok(process::ledger(&Reader::open(Roots::default())?.process(pid, Depth::Walk)?))
}

/// Waits until the first thread of a process has ended.
fn wait_until_leaderless(pid: u32) -> Result<()> {
    let until = Instant::now() + Duration::from_mins(1);
    while Instant::now() < until {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        if stat.rsplit_once(") ").context("no state")?.1.starts_with('Z') {
            return Ok(());
        }
        std::thread::yield_now();
    }
    bail!("its first thread does not end")
}

/// Of the first thread the kernel says that it has no memory, no files and, on cgroup v1,
/// that it is in the root.
#[test]
fn a_process_whose_first_thread_has_ended_is_where_the_others_are() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("leader")?;
    let target = Target::start_in("leader", &group)?;
    wait_until_leaderless(target.pid())?;
    let reader = Reader::open(Roots::default())?;
    let made = explain(target.pid())?;
    assert_eq!(made.cgroup.as_deref(), Some(group.path()));
    let heap = i64::try_from(target.holds("heap")?)?;
    assert!(made.headline.rss.point().is_some_and(|rss| rss > heap), "{:?}", made.headline);
    assert_eq!(reader.member_pids(group.path())?, [target.pid()]);
    let held = reader.shared_held(&[target.pid()])?;
    let pool = held.holders.first().context("it holds a memory file")?;
    assert_eq!(pool.kind, HolderKind::MemoryFile("pool".to_owned()));
    assert_eq!((pool.pid, pool.bytes), (target.pid(), target.holds("memfd")?));
    Ok(())
}

/// The kernel charges it once, and shows it for each as if it were that one's alone.
#[test]
fn memory_that_two_processes_have_between_them_counts_once() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("onemm")?;
    let target = Target::start_in("onemm", &group)?;
    let heap = i64::try_from(target.holds("heap")?)?;
    let (parent, child) = (target.pid(), u32::try_from(target.holds("child")?)?);
    let reader = Reader::open(Roots::default())?;
    let members = reader.members(group.path(), Depth::Walk)?;
    let ledgers: Vec<ProcessLedger> = members.iter().map(process::ledger).collect();
    assert_eq!(ledgers.len(), 2);
    let (made, said) = explained(&reader, &group, &ledgers)?;
    let moved = made.ledger.figure(Account::MovedCharges).point().context("walked")?;
    assert!(moved.abs() < heap / 8, "{moved}");
    assert!(!said.contains("are not charged to it"), "{said}");

    for (pid, other) in [(parent, child), (child, parent)] {
        let made = explain(pid)?;
        assert!(made.headline.rss.point().is_some_and(|rss| rss > heap), "{:?}", made.headline);
        assert_eq!(made.headline.uss.point(), Some(0));
        assert_eq!(made.headline.pss.point().is_some_and(|pss| pss > heap), pid == parent);
        let said = note::notes(Subject::Process(&made)).join("\n");
        assert!(said.contains(&format!("process {other} has the same memory")), "{said}");
        assert!(!said.contains("ending it frees"), "{said}");
        let gaps = gap::of_process(&made);
        let why = &gaps.iter().find(|gap| gap.to == "pss").context("no such gap")?.why;
        assert_eq!(
            why.contains("MiB that counts for a process with the same"),
            pid == child,
            "{why}"
        );
    }
    let rows = program::programs(&ledgers, false);
    let pss = rows.iter().filter_map(|row| row.pss.point()).sum::<i64>();
    assert!(rows.len() == 1 && pss < heap * 5 / 4, "{rows:?}");
    Ok(())
}

/// Where the kernel is not asked who has one memory with whom, nobody knows that better.
#[test]
fn memory_that_counts_twice_is_not_said_to_have_moved() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("twice")?;
    let target = Target::start_in("onemm", &group)?;
    let heap = i64::try_from(target.holds("heap")?)?;
    let reader = Reader::open(Roots::default())?;
    let mut members = reader.members(group.path(), Depth::Walk)?;
    for member in &mut members {
        member.one_memory = None;
    }
    let ledgers: Vec<ProcessLedger> = members.iter().map(process::ledger).collect();
    let (made, said) = explained(&reader, &group, &ledgers)?;
    let moved = made.ledger.figure(Account::MovedCharges).point().context("walked")?;
    assert!((moved + heap).abs() < heap / 8, "{moved}");
    assert!(said.contains("are not charged to it"), "{said}");
    assert!(said.contains("or two of them have one memory"), "{said}");
    Ok(())
}

/// The ledger of a cgroup, and what is said of it.
fn explained(
    reader: &Reader,
    group: &Cgroup,
    members: &[ProcessLedger],
) -> Result<(CgroupLedger, String)> {
    let members: Vec<&ProcessLedger> = members.iter().collect();
    let made = cgroup::ledger(&reader.cgroup(group.path())?, Ok(&members));
    let subject = Subject::Cgroup(&made);
    let found = finding::findings(subject).into_iter().map(|finding| finding.summary);
    let said: Vec<String> = note::notes(subject).into_iter().chain(found).collect();
    Ok((made, said.join("\n")))
}

/// The kernel drops it when it is short, whether it was written since or not.
#[test]
fn memory_that_may_be_dropped_is_not_live() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("droppable")?;
    let target = Target::start_in("droppable", &group)?;
    let size = i64::try_from(target.holds("droppable")?)?;
    if size == 0 {
        eprintln!("left out: Linux has had droppable memory since 6.11");
        return Ok(());
    }
    let ledgers = [explain(target.pid())?];
    assert!(ledgers[0].ledger.booked(Account::LazyFree) >= size);
    let (made, _) = explained(&Reader::open(Roots::default())?, &group, &ledgers)?;
    let high = |figure: Figure| figure.bounds().map_or(i64::MAX, |(_, high)| high);
    assert!(high(made.headline.required) < size / 4, "{:?}", made.headline);
    assert!(high(made.headline.working_set_hidden) < size / 4, "{:?}", made.headline);
    Ok(())
}

/// Who has not touched what it shares does not know whether there is memory behind it,
/// and whose pages stand in no other process may still not be the last to have them.
#[test]
fn shared_memory_that_it_has_not_touched_is_not_called_empty() -> Result<()> {
    let target = Target::start("attached")?;
    let made = explain(target.pid())?;
    let mapped = made.mapped.context("walked")?;
    let (size, own) = (target.holds("size")?, target.holds("own")?);
    assert!(mapped.untouched.abs_diff(size - own) < LIBRARY, "{mapped:?}");
    assert!(mapped.own < LIBRARY, "{mapped:?}");
    let uss = made.headline.uss.point().context("walked")?;
    assert!(uss >= i64::try_from(own)?, "{uss}");
    let gaps = gap::of_process(&made);
    let why = &gaps.iter().find(|gap| gap.from == "vsz").context("no such gap")?.why;
    assert!(why.starts_with("56."), "{why}");
    assert!(why.contains("of files and shared memory that it has not touched"), "{why}");
    let said = note::notes(Subject::Process(&made)).join("\n");
    assert!(said.contains("ending it frees at least") && !said.contains("MiB:"), "{said}");
    Ok(())
}
