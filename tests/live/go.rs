//! Go programs against their runtime's own words, frozen after it said them.

use anyhow::{Context, Result, bail};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::golang::{Build, Toolchain, toolchains};
use memgap_tests::target::Target;

const MIB: f64 = 1_048_576.0;

/// Toolchains whose books are read without symbols.
fn without_symbols() -> Result<Vec<Toolchain>> {
    Ok(toolchains()?.into_iter().filter(|t| t.minor() >= 19).collect())
}

/// Runs the steps, freezes the program, and explains it.
fn explain(
    toolchain: &Toolchain,
    build: Build,
    steps: &str,
    debug: &str,
) -> Result<(Target, Frozen, ProcessLedger)> {
    let environment = [("STEPS", steps), ("GODEBUG", debug)];
    let target = Target::run(&toolchain.build(build)?, &environment)?;
    let frozen = Frozen::stop(target.pid())?;
    let sample = Reader::open(Roots::default())?.process(target.pid(), Depth::Pages)?;
    let made = process::ledger(&sample);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok((target, frozen, made))
}

fn go(made: &ProcessLedger) -> Result<&Runtime> {
    match &made.runtimes[..] {
        [runtime] if runtime.name == "go" => Ok(runtime),
        other => bail!("{other:?}; {:?}", made.absent),
    }
}

#[test]
fn counters_are_the_runtimes_own_in_every_build() -> Result<()> {
    for toolchain in without_symbols()? {
        for build in Build::ALL {
            let what = format!("Go {} {build:?}", toolchain.version);
            // After `free` nothing is left that the runtime would do by itself.
            let (target, _frozen, made) = explain(&toolchain, build, "steady churn free", "")?;
            let runtime = go(&made).context(what.clone())?;
            let gc = runtime.gc.as_ref().context("no collector")?;
            let said = |name| target.holds(name);
            assert_eq!(runtime.in_use, Some(said("heap_in_use")?), "{what}");
            assert_eq!(runtime.objects, Some(said("heap_alloc")?), "{what}");
            assert_eq!(runtime.free, Some(said("heap_idle")?), "{what}");
            assert_eq!(runtime.released, Some(said("heap_released")?), "{what}");
            assert_eq!(runtime.stacks, Some(said("stack_in_use")?), "{what}");
            assert_eq!(gc.cycles, Some(said("num_gc")?), "{what}");
            let paused = gc.paused.map(|paused| paused.as_nanos());
            assert_eq!(paused, Some(said("pause_total")?.into()), "{what}");
            let version = runtime.version.as_deref().context("no version")?;
            assert!(version.starts_with(&toolchain.version), "{what}: {version}");
        }
    }
    Ok(())
}

#[test]
fn every_page_is_explained_in_every_scenario() -> Result<()> {
    let scenarios = [
        (Build::Plain, "steady"),
        (Build::Plain, "churn"),
        (Build::Plain, "steady ballast"),
        (Build::Plain, "goroutines"),
        (Build::Plain, "drop free"),
        (Build::Plain, "steady mmap"),
        (Build::Cgo, "steady cgo"),
    ];
    for toolchain in without_symbols()? {
        for (build, steps) in scenarios {
            let (_target, _frozen, made) = explain(&toolchain, build, steps, "")?;
            let rss = made.headline.rss.point().context("no RSS")?;
            // What is not the runtime's at all stays unexplained, and nothing else.
            let foreign =
                if steps.ends_with("mmap") || steps.ends_with("cgo") { 50 << 20 } else { 0 };
            let off = made.ledger.booked(Account::Unexplained) - foreign;
            let cut = i64::try_from(made.cut)?;
            let allowed = if toolchain.minor() == 19 { 10 << 20 } else { 4 << 20 };
            let allowed = (rss * 35 / 1000).max(allowed);
            let what = format!("Go {} {build:?} {steps}", toolchain.version);
            println!(
                "{what}: rss {:.1}, unexplained {:.2} MiB off, cut {:.2}, in use {:.1} resident",
                rss as f64 / MIB,
                off as f64 / MIB,
                cut as f64 / MIB,
                made.ledger.booked(Account::HeapInUse) as f64 / MIB,
            );
            assert!(off.abs() + cut <= allowed, "{what}: {off} of {rss} bytes off, {cut} cut");
        }
    }
    Ok(())
}

#[test]
fn released_memory_that_is_resident_is_lazily_freed() -> Result<()> {
    for toolchain in without_symbols()? {
        let (_target, frozen, made) =
            explain(&toolchain, Build::Plain, "drop free", "madvdontneed=0")?;
        let lazy = i64::try_from(frozen.kernel()?.lazy_free)?;
        assert!(lazy > 100 << 20, "{lazy}");
        let booked = made.ledger.booked(Account::LazyFree);
        // What the allocator gave back and is still there, but for that, is nothing.
        let free = made.ledger.booked(Account::AllocatorFree);
        println!("Go {}: lazy {lazy}, booked {booked}, free beside it {free}", toolchain.version);
        assert!((booked - lazy).abs() + free <= 1 << 19, "{lazy} {booked} {free}");
    }
    Ok(())
}

#[test]
fn a_ballast_is_in_use_and_not_resident() -> Result<()> {
    for toolchain in without_symbols()? {
        let (_target, _frozen, made) = explain(&toolchain, Build::Plain, "ballast", "")?;
        let in_use = made.in_use.context("no books")?;
        assert!(in_use.total > 1 << 30);
        let (low, high) = in_use.resident.bounds().context("known")?;
        assert!(low >= 0 && high < 32 << 20, "{in_use:?}");
    }
    Ok(())
}
