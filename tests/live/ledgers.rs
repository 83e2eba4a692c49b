//! Ledgers of programs with known memory: what the program knows of itself stands
//! on the account that it must stand on, alone and in a cgroup of either version.

use anyhow::{Context, Result};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{CgroupLedger, Figure, ProcessLedger, cgroup, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::rights::{Need, left_out};
use memgap_tests::target::Target;

/// What a program holds beyond the memory that it tells of: the C library.
const BASE: i64 = 2 << 20;

/// What waits in the batches of each processor, in the identity's measure.
const BATCHES: i64 = 256 << 10;

fn reader() -> Result<Reader> {
    Ok(Reader::open(Roots::default())?)
}

fn explain(pid: u32) -> Result<ProcessLedger> {
    let made = process::ledger(&reader()?.process(pid, Depth::Walk)?);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    assert_eq!(Some(made.ledger.total()), made.headline.vsz.point());
    Ok(made)
}

fn explain_cgroup(path: &str) -> Result<CgroupLedger> {
    let reader = reader()?;
    let members = reader.members(path, Depth::Walk)?;
    let ledgers: Vec<_> = members.iter().map(process::ledger).collect();
    let inside: Vec<_> = ledgers.iter().collect();
    let made = cgroup::ledger(&reader.cgroup(path)?, Ok(&inside));
    assert_eq!(Some(made.ledger.total()), made.headline.usage.point());
    Ok(made)
}

/// A target in a cgroup of its own. The target is declared last and ends first.
fn start_in_cgroup(name: &str) -> Result<(Cgroup, Target)> {
    let group = Cgroup::new(name)?;
    let target = Target::start_in(name, &group)?;
    Ok((group, target))
}

fn holds(target: &Target, name: &str) -> Result<i64> {
    Ok(i64::try_from(target.holds(name)?)?)
}

/// The account holds what the program says, and at most the C library beside it.
fn assert_booked(made: &ProcessLedger, account: Account, said: i64) {
    let booked = made.ledger.booked(account);
    assert!((said..said + BASE).contains(&booked), "{account:?}: booked {booked}, held {said}");
}

fn assert_near(what: &str, found: Option<i64>, truth: i64) {
    let near = found.is_some_and(|found| (found - truth).abs() <= BATCHES);
    assert!(near, "{what}: {found:?}, in truth {truth}");
}

fn assert_within(what: &str, figure: Figure, truth: i64) {
    let (low, high) = figure.bounds().expect("known");
    assert!((low..=high).contains(&truth), "{what}: {figure:?}, in truth {truth}");
}

#[test]
fn a_ballast_is_untouched_and_not_resident() -> Result<()> {
    let mut target = Target::start("ballast")?;
    target.step()?;
    let made = explain(target.pid())?;
    let mapped = holds(&target, "mapped")?;
    assert!(made.ledger.booked(Account::Untouched) >= mapped);
    assert!(made.headline.rss.point().is_some_and(|rss| rss < mapped / 100));
    Ok(())
}

#[test]
fn memory_without_access_is_reserved_but_for_what_is_resident() -> Result<()> {
    let target = Target::start("protnone")?;
    let made = explain(target.pid())?;
    assert_booked(&made, Account::Reserved, holds(&target, "reserved")?);
    assert_booked(&made, Account::HeapUnprobed, holds(&target, "resident")?);
    Ok(())
}

#[test]
fn shared_memory_of_every_kind_is_shmem() -> Result<()> {
    let mut target = Target::start("shm")?;
    for step in 0..4 {
        if step > 0 {
            target.step()?;
        }
        let made = explain(target.pid())?;
        assert_eq!(made.ledger.booked(Account::Shmem), holds(&target, "shmem")?, "step {step}");
    }
    Ok(())
}

#[test]
fn stacks_of_threads_are_recognised() -> Result<()> {
    let mut target = Target::start("stacks")?;
    target.step()?;
    let made = explain(target.pid())?;
    assert_booked(&made, Account::Stack, holds(&target, "stacks")?);
    Ok(())
}

#[test]
fn a_private_mapping_of_a_file_is_split_where_it_was_written() -> Result<()> {
    let mut target = Target::start("mapped")?;
    target.step()?;
    let made = explain(target.pid())?;
    assert_booked(&made, Account::ElfData, holds(&target, "anonymous")?);
    let file = made.ledger.booked(Account::FileMapped);
    assert!(file >= holds(&target, "file")?, "{file}");
    // Which file that is stands among the mappings.
    let written = made.largest.iter().find(|one| one.account == Account::ElfData);
    let written = written.context("the mapping is listed")?;
    assert_near("the mapping", Some(i64::try_from(written.bytes)?), holds(&target, "anonymous")?);
    assert!(written.name.contains("memgap-target"), "{written:?}");
    Ok(())
}

#[test]
fn lazily_freed_memory_is_reported_and_what_is_written_again_is_hidden() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let (group, mut target) = start_in_cgroup("lazyfree")?;
    for _ in 0..2 {
        target.step()?;
        let process = explain(target.pid())?;
        let lazy = holds(&target, "lazy")?;
        assert_near("lazy_free", process.ledger.figure(Account::LazyFree).point(), lazy);

        let made = explain_cgroup(group.path())?;
        let hidden = holds(&target, "hidden")?;
        assert_near("lru_lazy", made.lru_lazy.point(), lazy + hidden);
        assert_within("lru_lazy", made.lru_lazy, lazy + hidden);
        assert_near("hidden", made.headline.working_set_hidden.point(), hidden);
        assert_within("hidden", made.headline.working_set_hidden, hidden);
        // Nobody else's memory is charged here.
        let moved = made.ledger.booked(Account::MovedCharges);
        assert!(moved.abs() <= BASE, "moved_charges {moved}");
        let kernel = i64::try_from(group.stat("inactive_file")?)?;
        assert_near("inactive_file", made.inactive_file.point(), kernel);
    }
    Ok(())
}

/// Without a look into its processes the cgroup's counters bound what is lazy.
#[test]
fn the_identity_alone_bounds_what_is_lazy() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let (group, mut target) = start_in_cgroup("lazyfree")?;
    for _ in 0..2 {
        target.step()?;
        let lack = memgap_ledger::Missing::absent("not asked for");
        let made = cgroup::ledger(&reader()?.cgroup(group.path())?, Err(&lack));
        let (lazy, hidden) = (holds(&target, "lazy")?, holds(&target, "hidden")?);
        assert_within("lazy_free", made.ledger.figure(Account::LazyFree), lazy);
        assert_within("hidden", made.headline.working_set_hidden, hidden);
        let usage = made.headline.usage.point().context("usage is readable")?;
        assert_within("required", made.headline.required, usage - lazy);
    }
    Ok(())
}

#[test]
fn forked_memory_is_charged_once() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let (group, mut target) = start_in_cgroup("fork")?;
    target.step()?;
    let made = explain_cgroup(group.path())?;
    assert_eq!(made.processes, Some(3));
    let heap = made.ledger.booked(Account::HeapUnprobed);
    let whole = holds(&target, "whole")?;
    assert!((whole..whole + BASE).contains(&heap), "heap {heap}, held {whole}");
    assert!(made.ledger.booked(Account::MovedCharges).abs() <= BASE);
    Ok(())
}

#[test]
fn locked_page_cache_is_required() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let (group, mut target) = start_in_cgroup("mlock")?;
    target.step()?;
    let made = explain_cgroup(group.path())?;
    let locked = holds(&target, "locked")?;
    let (_, high) = made.headline.required.bounds().context("known")?;
    let point = made.headline.required.point().context("known")?;
    assert!(
        point + BATCHES >= locked && high >= locked,
        "required {point}..{high}, locked {locked}"
    );
    Ok(())
}

#[test]
fn names_that_are_not_text_do_no_harm() -> Result<()> {
    let target = Target::start("names")?;
    let made = explain(target.pid())?;
    assert!(!made.name.chars().any(char::is_control), "{:?}", made.name);
    assert!(made.ledger.booked(Account::Shmem) >= holds(&target, "shmem")?);
    Ok(())
}

#[test]
fn a_huge_page_is_lazy_as_a_whole() -> Result<()> {
    let mut target = Target::start("thp")?;
    for _ in 0..2 {
        target.step()?;
        let made = explain(target.pid())?;
        let lazy = made.ledger.figure(Account::LazyFree).point();
        assert_near("lazy_free", lazy, holds(&target, "lazy")?);
    }
    Ok(())
}
