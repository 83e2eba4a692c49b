//! Go programs in collections, one after the other: what is searched once, what is read
//! again, within which budget.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use memgap_kernel::Buf;
use memgap_kernel::memory::{Bounds, Live, Space};
use memgap_ledger::finding::{Subject, findings};
use memgap_ledger::{ProcessLedger, process};
use memgap_probes::{CacheUse, Detail, Probes};
use memgap_reader::{Collector, Reader, Roots, WalkPolicy};

use anyhow::{Context, Result, bail, ensure};
use memgap_tests::frozen::Frozen;
use memgap_tests::golang::{Build, without_symbols};
use memgap_tests::procfs::Procfs;
use memgap_tests::target::Target;
use memgap_tests::traces::of_a_thousand_looks;

#[test]
fn two_hundred_processes_of_one_program_are_resolved_once() -> Result<()> {
    let toolchain = without_symbols()?.pop().context("no toolchain")?;
    let program = toolchain.build(Build::Stripped)?;
    let targets: Vec<_> = (0..200).map(|_| Target::run(&program, &[])).collect::<Result<_>>()?;
    let reader = Reader::open(Roots::default())?;
    let (probes, mut buf) = (Probes::default(), Buf::default());
    for target in &targets {
        let process = reader.open_process(target.pid())?;
        let statistics = probes.statistics(&process, Detail::Counters, &mut buf);
        let [Ok(statistics)] = &statistics[..] else { bail!("{statistics:?}") };
        assert!(statistics.runtime.in_use.is_some_and(|in_use| in_use > 0));
    }
    assert_eq!(probes.take_use(), CacheUse { hits: 199, misses: 1, resolved: 1 });
    Ok(())
}

#[test]
fn counters_are_read_in_four_kilobytes() -> Result<()> {
    const FOUR: Bounds = Bounds { bytes: 4 << 10, calls: 5, time: Bounds::COUNTERS.time };
    for toolchain in without_symbols()? {
        let target = Target::run(&toolchain.build(Build::Plain)?, &[])?;
        let _frozen = Frozen::stop(target.pid())?;
        let process = Reader::open(Roots::default())?.open_process(target.pid())?;
        let found = Probes::default().attach(&process, &mut Buf::default())?;
        let [Ok(attached)] = &found[..] else { bail!("{found:?}") };
        let memory = Live::open(&process)?;
        let statistics = attached.read(&Space::new(&memory, FOUR), Detail::Counters)?;
        assert_eq!(statistics.runtime.in_use, Some(target.holds("heap_in_use")?));
    }
    Ok(())
}

#[test]
fn collections_carry_the_statistics_until_the_process_ends() -> Result<()> {
    let toolchain = without_symbols()?.pop().context("no toolchain")?;
    let program = toolchain.build(Build::Stripped)?;
    let run = || Target::run(&program, &[("STEPS", "steady free")]);
    let (one, other) = (run()?, run()?);
    let procfs = Procfs::of([&one, &other])?;
    let roots = Roots { procfs: procfs.path().to_owned(), ..Roots::default() };
    let policy = WalkPolicy { budget_share: 0.0, ..WalkPolicy::default() };
    let mut collector = Collector::new(Reader::open(roots)?, policy);
    let mut in_use = |target: &Target| -> Result<Option<u64>> {
        let (machine, _) = collector.collect()?;
        let sample = machine.processes.iter().find(|p| p.pid == target.pid());
        let runtimes = sample.map(|s| s.runtimes.as_slice()).unwrap_or_default();
        Ok(runtimes.iter().flatten().find(|r| r.name == "go").and_then(|r| r.in_use))
    };
    for target in [&one, &other] {
        assert_eq!(in_use(target)?, Some(target.holds("heap_in_use")?));
    }
    drop(one);
    assert_eq!(in_use(&other)?, Some(other.holds("heap_in_use")?));
    Ok(())
}

#[test]
fn collections_tell_what_the_garbage_collector_did_between_them() -> Result<()> {
    let toolchain = without_symbols()?.pop().context("no toolchain")?;
    let program = toolchain.build(Build::Stripped)?;
    // Freed at last: no collection of garbage is under way when it says what it counts.
    let environment = [("STEPS", "steady free"), ("GOMEMLIMIT", "4GiB")];
    let mut target = Target::run(&program, &environment)?;
    let procfs = Procfs::of([&target])?;
    let roots = Roots { procfs: procfs.path().to_owned(), ..Roots::default() };
    let reader = Reader::open(roots)?;
    let mut collector = Collector::new(reader, WalkPolicy::default()).with_probe_share(1.0);
    let mut explain = || -> Result<ProcessLedger> {
        let (machine, _) = collector.collect()?;
        machine.processes.first().map(process::ledger).context("it runs")
    };
    let recent = |made: &ProcessLedger| -> Option<u64> {
        Some(made.runtimes.first()?.gc.as_ref()?.recent?.cycles)
    };
    let is_churn = |made: &ProcessLedger| {
        findings(Subject::Process(made)).iter().any(|finding| finding.id == "gc-churn")
    };
    // Once to read the heap statistics at all, once more for what was done since.
    assert_eq!(recent(&explain()?), None);
    let idle = explain()?;
    assert_eq!((recent(&idle), is_churn(&idle)), (Some(0), false));
    let before = target.holds("num_gc")?;
    target.take("churn free")?;
    let did = target.holds("num_gc")? - before;
    assert!(did > 1);
    let busy = explain()?;
    assert_eq!((recent(&busy), is_churn(&busy)), (Some(did), true));
    Ok(())
}

#[test]
fn with_a_tiny_budget_the_statistics_of_every_process_come_round() -> Result<()> {
    let toolchain = without_symbols()?.pop().context("no toolchain")?;
    let program = toolchain.build(Build::Stripped)?;
    let targets = [(); 3].map(|()| Target::run(&program, &[("STEPS", "steady free")]));
    let targets = targets.into_iter().collect::<Result<Vec<_>>>()?;
    let procfs = Procfs::of(&targets)?;
    let roots = Roots { procfs: procfs.path().to_owned(), ..Roots::default() };
    let policy = WalkPolicy { budget_share: 0.0, ..WalkPolicy::default() };
    // What a minute grants, saved up at the start, is used up after some collections.
    let mut collector = Collector::new(Reader::open(roots)?, policy).with_probe_share(5e-3);
    let end = Instant::now() + Duration::from_mins(3);
    while collector.collect()?.1.probes_skipped == 0 {
        ensure!(Instant::now() < end, "the budget covers all");
    }
    // From now on every process is late again and again, and none for ever.
    let mut renewed = BTreeMap::new();
    let mut last = BTreeMap::new();
    while renewed.values().filter(|times| **times >= 2).count() < targets.len() {
        ensure!(Instant::now() < end, "not all come round: {renewed:?}");
        let (machine, stats) = collector.collect()?;
        let mut oldest = Duration::ZERO;
        for process in &machine.processes {
            let runtime = process.runtimes.first().context("nothing is said of it")?;
            // It may wait for its first look, and has heap statistics from then on.
            let Ok(runtime) = runtime else {
                ensure!(
                    !last.contains_key(&process.pid),
                    "its heap statistics are lost: {runtime:?}"
                );
                continue;
            };
            ensure!(
                runtime.in_use.is_some() && !process.claims.is_empty(),
                "heap statistics are kept"
            );
            oldest = oldest.max(runtime.age);
            if last.insert(process.pid, runtime.age).is_some_and(|before| before > runtime.age) {
                *renewed.entry(process.pid).or_insert(0) += 1;
            }
        }
        assert_eq!(stats.oldest_statistics, oldest);
    }
    Ok(())
}

#[test]
fn a_thousand_probes_leave_no_trace() -> Result<()> {
    // The pages that hold the counters: 24 KiB here.
    const COUNTERS: u64 = 64 << 10;
    let toolchain = without_symbols()?.pop().context("no toolchain")?;
    let program = toolchain.build(Build::Plain)?;
    let environment = [("STEPS", "drop free"), ("GODEBUG", "madvdontneed=0")];
    let target = Target::run(&program, &environment)?;
    let _frozen = Frozen::stop(target.pid())?;
    let (more, _) = of_a_thousand_looks(target.pid(), "go")?;
    assert!(more <= COUNTERS, "{more}");
    Ok(())
}
