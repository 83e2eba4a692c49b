//! What a sample of pages says of lazily freed memory, where a process is not walked, against
//! the kernel's own walk. Which page lies where is told to root.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use memgap_ledger::{Account, Figure, ProcessLedger, process};
use memgap_reader::{Collector, Reader, Roots, WalkPolicy};
use memgap_tests::rights::{Need, left_out};
use memgap_tests::target::Target;

/// Layouts of lazily freed memory that the target goes through.
const LAYOUTS: usize = 11;

/// Collections in which a process is asked, also where many wait.
const COLLECTIONS: usize = 100;

/// The figures of a process whose mappings are all too large to be walked.
fn unwalked(pid: u32) -> Result<ProcessLedger> {
    let max_hold = Duration::ZERO;
    let policy = WalkPolicy { max_hold, budget_share: 1.0, ..WalkPolicy::default() };
    let mut collector = Collector::new(Reader::open(Roots::default())?, policy);
    for _ in 0..COLLECTIONS {
        let (machine, _) = collector.collect()?;
        let sample = machine.processes.iter().find(|process| process.pid == pid);
        let sample = sample.context("the target runs")?;
        ensure!(sample.walk.is_err(), "it was walked");
        if sample.lazily_freed.is_some() {
            return Ok(process::ledger(sample));
        }
    }
    anyhow::bail!("it was never asked")
}

fn lazily_freed(pid: u32) -> Result<i64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("LazyFree:"));
    let kilobytes: i64 = line.context("no such line")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}

#[test]
fn a_sample_holds_what_a_walk_sees_however_it_is_laid_out() -> Result<()> {
    if left_out(Need::KernelFiles) {
        return Ok(());
    }
    let mut target = Target::start("layouts")?;
    for layout in 1..=LAYOUTS {
        let ledger = unwalked(target.pid())?;
        let (truth, figure) =
            (lazily_freed(target.pid())?, ledger.ledger.figure(Account::LazyFree));
        let mapped = i64::try_from(target.holds("mapped")?)?;
        let is_rewritten = target.holds("rewritten").is_ok();
        let name = format!("layout {layout}: {figure:?} for {truth}");
        println!("{name}");
        let why = || format!("{name}: {:?}", ledger.absent);
        let (low, high) = figure.bounds().with_context(why)?;
        ensure!(low == 0 && truth <= high, "{name}");
        let point = figure.point().context("it was asked")?;
        let allowed = mapped / 32;
        ensure!(
            is_rewritten || (point - truth).abs() <= allowed && high - truth <= 2 * allowed,
            "{name}"
        );
        // What was written again, and nothing but that, is told by walks only.
        ensure!(!is_rewritten || (point - mapped).abs() <= allowed, "{name}");
        // The sums close as ever.
        let rss = ledger.headline.rss.point().context("the kernel counts it")?;
        let sum = ledger.ledger.sum(memgap_ledger::account::RSS);
        ensure!(rss == sum, "{rss} resident, {sum} on accounts");
        ensure!(matches!(figure, Figure::Interval { .. }) || truth == 0, "{name}");
        if layout < LAYOUTS {
            target.step()?;
        }
    }
    Ok(())
}
