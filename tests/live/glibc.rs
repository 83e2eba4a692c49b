//! C programs against their own `mallinfo2`, frozen after they said it.

use anyhow::{Context, Result};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::glibc::{Library, libraries};
use memgap_tests::target::Target;
use memgap_tests::traces::of_a_thousand_looks;

/// So that threads keep nothing for themselves, which the library counts as in use.
const NO_CACHES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");

/// Runs the steps and freezes the program after the last one.
fn run(library: &Library, steps: &str, tunable: (&str, &str)) -> Result<(Target, Frozen)> {
    let mut target = Target::spawn(library.malloc()?.envs([("STEPS", steps), tunable]))?;
    for _ in 1..steps.split(' ').count() {
        target.step()?;
    }
    let frozen = Frozen::stop(target.pid())?;
    Ok((target, frozen))
}

fn explain(pid: u32, depth: Depth) -> Result<ProcessLedger> {
    let made = process::ledger(&Reader::open(Roots::default())?.process(pid, depth)?);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok(made)
}

fn glibc(made: &ProcessLedger) -> Result<&Runtime> {
    let found = made.runtimes.iter().find(|runtime| runtime.name == "glibc");
    found.with_context(|| format!("{:?}; {:?}", made.runtimes, made.absent))
}

/// What is left that no heap statistics explain: the target's own `.bss` of 8 MiB may be.
fn assert_explained(made: &ProcessLedger, what: &str) {
    assert_eq!(made.ledger.booked(Account::HeapUnprobed), 0, "{what}");
    let left = made.ledger.booked(Account::Unexplained);
    assert!(left <= 8 << 20, "{what}: {left} unexplained");
    assert_eq!(made.cut, 0, "{what}");
}

#[test]
fn in_use_is_what_every_library_says() -> Result<()> {
    for library in libraries()? {
        let mut patterns =
            vec!["steady", "fragmented", "last", "steady mapped", "threads", "last trim"];
        // A million chunks take long in a build for tests.
        patterns.extend((library == Library::Own).then_some("many"));
        for steps in patterns {
            let what = format!("{library:?} {steps}");
            let (target, _frozen) = run(&library, steps, NO_CACHES)?;
            let said = (target.holds("in_use")?, target.holds("free")?);

            let made = explain(target.pid(), Depth::Pages)?;
            let runtime = glibc(&made).context(what.clone())?;
            let read = (runtime.in_use, runtime.in_use_bounds, runtime.free);
            assert_eq!(read, (Some(said.0), None, Some(said.1)), "{what}");
            assert_eq!(runtime.version.as_deref(), library.reported_version(), "{what}");
            assert_explained(&made, &what);

            // On every collection: the same, or where lists are long within bounds.
            let made = explain(target.pid(), Depth::Full)?;
            let runtime = glibc(&made).context(what.clone())?;
            match runtime.in_use_bounds {
                None => assert_eq!(runtime.in_use, Some(said.0), "{what}"),
                Some((low, high)) => {
                    assert!(["fragmented", "threads", "many"].contains(&steps), "{what}");
                    assert!((low..=high).contains(&said.0), "{what}: {low} {high} {said:?}");
                    let (reported, all) = (runtime.in_use.context("none")?, said.0 + said.1);
                    println!("{what}: {reported} of {all} in use by a sample, {}", said.0);
                    assert!(reported.abs_diff(said.0) <= all / 10, "{what}: {reported} {said:?}");
                }
            }
            assert_explained(&made, &what);
        }
    }
    Ok(())
}

#[test]
fn what_threads_keep_is_free() -> Result<()> {
    for library in libraries()? {
        let mut target = Target::spawn(library.malloc()?.env("STEPS", "steady cache"))?;
        let kept = |target: &Target| -> Result<u64> {
            let _frozen = Frozen::stop(target.pid())?;
            let made = explain(target.pid(), Depth::Pages)?;
            Ok(target.holds("in_use")? - glibc(&made)?.in_use.context("none")?)
        };
        // It may have freed something before it began.
        let before = kept(&target)?;
        target.step()?;
        assert_eq!(kept(&target)? - before, target.holds("cached")?, "{library:?}");
    }
    Ok(())
}

#[test]
fn what_trimming_gives_back_is_reported_before() -> Result<()> {
    for library in libraries()? {
        for steps in ["fragmented trim", "last trim"] {
            let first = steps.split(' ').count() - 1;
            let mut target = Target::spawn(library.malloc()?.env("STEPS", steps))?;
            for _ in 1..first {
                target.step()?;
            }
            let frozen = Frozen::stop(target.pid())?;
            let made = explain(target.pid(), Depth::Pages)?;
            let reported = glibc(&made)?.trimmable.context("nothing reported")?;
            drop(frozen);
            let before = target.holds("rss")?;
            target.step()?;
            // It may give nothing back.
            let fell = before.saturating_sub(target.holds("rss")?);
            println!("{library:?} {steps}: reported {reported}, fell by {fell}");
            assert!(
                reported.abs_diff(fell) <= fell / 50 + (64 << 10),
                "{library:?}: {reported} {fell}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_program_that_never_rests_is_reported_within_two_percent() -> Result<()> {
    let library = Library::Own;
    let target = Target::spawn(library.malloc()?.env("STEPS", "churn"))?;
    let in_use = |depth| -> Result<_> {
        // On a busy machine a look may be out of time.
        let made = (0..20)
            .find_map(|_| explain(target.pid(), depth).and_then(|made| glibc(&made).cloned()).ok());
        let runtime = made.context("never read")?;
        Ok((runtime.in_use.context("none")?, runtime.in_use_bounds))
    };
    for _ in 0..5 {
        let ((running, _), (counted, bounds)) = (in_use(Depth::Pages)?, in_use(Depth::Full)?);
        let frozen = Frozen::stop(target.pid())?;
        let (truth, exact) = in_use(Depth::Pages)?;
        drop(frozen);
        println!("in use {truth}, running {running}, by lists {counted} {bounds:?}");
        // It may have been stopped in the midst of a change.
        let open = exact.map_or(0, |(low, high)| high - low);
        assert!(open <= truth / 50, "{exact:?}");
        assert!(running.abs_diff(truth) <= truth / 50, "{running} {truth}");
        let (low, high) = bounds.unwrap_or((counted, counted));
        let near = truth / 50;
        assert!(low <= truth + near && truth <= high + near, "{low} .. {high}: {truth}");
    }
    Ok(())
}

/// One page of a hundred, or where that is more 128 of them.
#[test]
fn a_thousand_probes_leave_no_trace() -> Result<()> {
    for steps in ["fragmented", "threads", "last"] {
        let (target, _frozen) = run(&Library::Own, steps, NO_CACHES)?;
        let (more, rss) = of_a_thousand_looks(target.pid(), "glibc")?;
        assert!(more <= (rss / 100).max(128 << 12), "{steps}: {more} of {rss}");
    }
    Ok(())
}
