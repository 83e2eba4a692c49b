//! With whom a program shares its pages: itself, or its own children.

use anyhow::{Context, Result};
use memgap_ledger::finding::Subject;
use memgap_ledger::{ProcessLedger, gap, note, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::target::Target;

const MIB: u64 = 1 << 20;

fn explain(pid: u32) -> Result<ProcessLedger> {
    Ok(process::ledger(&Reader::open(Roots::default())?.process(pid, Depth::Walk)?))
}

fn why(made: &ProcessLedger, to: &str) -> Result<String> {
    let gaps = gap::of_process(made);
    let found = gaps.iter().find(|gap| gap.from == "rss" && gap.to == to);
    Ok(found.context("no such gap")?.why.clone())
}

#[test]
fn pages_that_a_program_maps_again_are_no_other_programs() -> Result<()> {
    let target = Target::start("views")?;
    let made = explain(target.pid())?;
    let sharing = made.sharing.context("walked")?;
    let again = target.holds("views")? - target.holds("heap")?;
    assert!(sharing.own.abs_diff(again) < MIB, "{sharing:?}, mapped again {again}");
    // The C library is shared with others.
    assert!(sharing.others < 4 * MIB, "{sharing:?}");
    assert!(why(&made, "pss")?.contains("maps several times itself"), "{}", why(&made, "pss")?);
    Ok(())
}

#[test]
fn what_a_child_does_not_share_is_what_its_end_frees() -> Result<()> {
    let mut target = Target::start("fork")?;
    target.step()?;
    let child = u32::try_from(target.holds("child")?)?;
    let made = explain(child)?;
    // It wrote 4 of the 32 MiB that it inherited.
    let uss = u64::try_from(made.headline.uss.point().context("walked")?)?;
    assert!(uss.abs_diff(4 * MIB) < MIB, "{uss}");
    assert!(why(&made, "pss")?.contains("that other processes map too"));
    let said = note::notes(Subject::Process(&made)).join("\n");
    assert!(said.contains("ending it frees at least 4."), "{said}");
    Ok(())
}
