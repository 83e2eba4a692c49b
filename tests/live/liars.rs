//! Programs that lie in their own statistics: what can not be is refused, and nobody else's
//! heap statistics suffer.

use std::process::Command;

use memgap_kernel::Buf;
use memgap_ledger::runtime::Found;
use memgap_ledger::{MissingKind, Runtime, account, process};
use memgap_probes::{Detail, Probes};
use memgap_reader::{Depth, Reader, Roots};

use anyhow::{Context, Result, bail, ensure};
use memgap_tests::glibc::Library;
use memgap_tests::target::{self, Target};

/// So that threads keep nothing for themselves, which the library counts as in use.
const NO_CACHES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0");

/// A program whose glibc, or what it says is jemalloc, tells what is true, or the lie.
fn fake(name: &str, lie: Option<&str>) -> Result<Target> {
    let mut command = Command::new(target::compiled(&format!("fake{name}"))?);
    Target::spawn(command.args(lie).envs([NO_CACHES]))
}

#[test]
fn one_program_that_lies_of_a_library_spoils_the_statistics_of_no_other() -> Result<()> {
    let liar = fake("glibc", Some("decoy"))?;
    let honest = || Target::spawn(Library::Own.malloc()?.envs([("STEPS", "steady"), NO_CACHES]));
    let honest = [honest()?, honest()?, honest()?];
    let reader = Reader::open(Roots::default())?;
    let (probes, mut buf) = (Probes::default(), Buf::default());
    let mut in_use = |target: &Target| -> Result<Option<u64>> {
        let process = reader.open_process(target.pid())?;
        let statistics = probes.statistics(&process, Detail::Counters, &mut buf);
        let [Ok(statistics)] = &statistics[..] else { bail!("{statistics:?}") };
        Ok(statistics.runtime.in_use)
    };
    // The first to show its library, again and again.
    for _ in 0..3 {
        ensure!(in_use(&liar)? != Some(liar.holds("in_use")?), "it does not lie");
    }
    for target in &honest {
        assert_eq!(in_use(target)?, Some(target.holds("in_use")?));
    }
    assert_eq!(probes.take_use().resolved, 2);
    Ok(())
}

#[test]
fn one_program_that_shows_a_library_by_another_name_hides_the_statistics_of_no_other() -> Result<()>
{
    const SCRIPT: &str = r#"mount --bind "$(realpath "$1")" "$2" && LD_PRELOAD=$2 exec "$3""#;
    let other = target::directory()?.join("no-libc.so");
    std::fs::write(&other, "")?;
    let program = target::compiled("malloc")?;
    let environment = [("STEPS", "steady"), NO_CACHES];
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh"]);
    command.arg("/lib/x86_64-linux-gnu/libc.so.6").arg(&other).arg(&program).envs(environment);
    let liar = Target::spawn(&mut command)?;
    let honest = Target::run(&program, &environment)?;
    let reader = Reader::open(Roots::default())?;
    assert_eq!(reader.process(liar.pid(), Depth::Runtimes)?.runtimes, []);
    let reported = reported(&reader, &honest, "glibc", Depth::Full)?;
    assert_eq!(reported.map(|runtime| runtime.in_use), Ok(Some(honest.holds("in_use")?)));
    Ok(())
}

#[test]
fn a_program_that_runs_code_of_thousands_of_files_is_not_looked_at() -> Result<()> {
    let target = fake("glibc", Some("files"))?;
    let sample = Reader::open(Roots::default())?.process(target.pid(), Depth::Full)?;
    let [Err(lack)] = &sample.runtimes[..] else { bail!("{:?}", sample.runtimes) };
    assert_eq!(lack.why.kind, MissingKind::Refused);
    ensure!(lack.to_string().contains("it runs code of 300"), "{lack}");
    Ok(())
}

/// What is said of a runtime, whatever that is. On a busy machine a look may be out of
/// time.
fn reported(reader: &Reader, target: &Target, name: &str, depth: Depth) -> Result<Found> {
    let mut reported = reported_once(reader, target, name, depth);
    for _ in 0..20 {
        match &reported {
            Ok(Err(lack)) if lack.to_string().contains("bound of time") => {
                reported = reported_once(reader, target, name, depth);
            }
            _ => break,
        }
    }
    reported
}

/// The sums close, whatever is said.
fn reported_once(reader: &Reader, target: &Target, name: &str, depth: Depth) -> Result<Found> {
    let sample = reader.process(target.pid(), depth)?;
    let made = process::ledger(&sample);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    let is_it = |one: &Found| match one {
        Ok(runtime) => runtime.name == name,
        Err(lack) => lack.name == name,
    };
    let found = sample.runtimes.iter().find(|one| is_it(one)).cloned();
    found.with_context(|| format!("{:?}", sample.runtimes))
}

/// A reader that knows the library from a program that does not lie.
fn reader(name: &str) -> Result<Reader> {
    let reader = Reader::open(Roots::default())?;
    let honest = fake(name, None)?;
    let reported = reported(&reader, &honest, name, Depth::Full)?;
    assert_eq!(reported.map(|runtime| runtime.in_use), Ok(Some(honest.holds("in_use")?)));
    Ok(reader)
}

#[test]
fn arenas_that_can_not_be_are_refused_by_the_rule_they_break() -> Result<()> {
    for (name, lie, why) in [
        ("glibc", "huge", "more than it ever did"),
        ("glibc", "large", "the program has mapped"),
        ("glibc", "mapped", "the program has mapped"),
        ("glibc", "endless", "does not lead back to the main one"),
        ("glibc", "nested", "two arenas have the same memory"),
        ("glibc", "nowhere", "the program has mapped"),
        ("jemalloc", "huge", "more is counted than fits an address space"),
        ("jemalloc", "large", "the program has mapped"),
        ("jemalloc", "muzzy", "the program has mapped"),
        ("jemalloc", "circle", "list of blocks does not end"),
        ("jemalloc", "nowhere", "base has no block"),
        ("jemalloc", "one", "base is another one's"),
    ] {
        let (reader, target) = (reader(name)?, fake(name, Some(lie))?);
        for depth in [Depth::Full, Depth::Pages] {
            let reported = reported(&reader, &target, name, depth)?;
            ensure!(
                reported.as_ref().is_err_and(|lack| lack.to_string().contains(why)),
                "{lie}: {reported:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn more_arenas_than_can_be_are_not_read_to_their_end() -> Result<()> {
    for name in ["glibc", "jemalloc"] {
        let (reader, target) = (reader(name)?, fake(name, Some("many"))?);
        let reported = reported(&reader, &target, name, Depth::Full)?;
        let lack = reported.err().context("they are believed")?;
        // Which bound is met first depends on the machine.
        let is_bound = ["does not lead back", "a probe's bound of"];
        ensure!(is_bound.iter().any(|bound| lack.to_string().contains(bound)), "{lack}");
    }
    Ok(())
}

#[test]
fn lists_that_can_not_be_leave_an_interval_that_holds_the_truth() -> Result<()> {
    let reader = reader("glibc")?;
    for lie in ["circle", "bins", "size"] {
        let target = fake("glibc", Some(lie))?;
        let runtime = reported(&reader, &target, "glibc", Depth::Full)?;
        let bounds = runtime.as_ref().ok().and_then(|runtime| runtime.in_use_bounds);
        let (low, high) = bounds.with_context(|| format!("{lie}: {runtime:?}"))?;
        let truth = target.holds("in_use")?;
        ensure!((low..=high).contains(&truth), "{lie}: {low} {truth} {high}");
    }
    Ok(())
}

#[test]
fn extents_that_can_not_be_leave_a_bound() -> Result<()> {
    let reader = reader("jemalloc")?;
    // Without statistics they alone tell what is in use.
    for (lie, is_reported) in [("quiet", true), ("overlap", false), ("elsewhere", false)] {
        let target = fake("jemalloc", Some(lie))?;
        for depth in [Depth::Full, Depth::Pages] {
            let runtime = reported(&reader, &target, "jemalloc", depth)??;
            let truth = Some(target.holds("in_use")?).filter(|_| is_reported);
            assert_eq!(runtime.in_use, truth, "{lie}");
            let is_bound = |line: &String| line.contains("allocated at most 45056");
            assert_eq!(runtime.evidence.iter().any(is_bound), !is_reported, "{runtime:?}");
        }
    }
    Ok(())
}

#[test]
fn arenas_that_change_under_the_probe_are_true_or_not_exact() -> Result<()> {
    for name in ["glibc", "jemalloc"] {
        let (reader, mut target) = (reader(name)?, fake(name, None)?);
        let truth = target.holds("in_use")?;
        target.step()?;
        let (mut exact, mut refused) = (0, 0);
        for depth in [Depth::Runtimes, Depth::Pages].into_iter().cycle().take(200) {
            match reported(&reader, &target, name, depth)? {
                Ok(Runtime { in_use_bounds: Some((low, high)), .. }) => assert!(low < high),
                Ok(Runtime { in_use, .. }) => {
                    assert_eq!(in_use, Some(truth), "{name}");
                    exact += 1;
                }
                Err(lack) => {
                    ensure!(lack.why.kind != MissingKind::Gone, "{lack}");
                    refused += 1;
                }
            }
        }
        println!("{name}: of 200 readings {exact} were exact, {refused} refused");
    }
    Ok(())
}
