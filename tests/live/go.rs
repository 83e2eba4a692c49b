//! Go programs against their runtime's own words, frozen after it said them.

use std::process::Command;
use std::time::{Duration, Instant};

use memgap_ledger::account::{self, Account};
use memgap_ledger::runtime::Found;
use memgap_ledger::{MissingKind, ProcessLedger, Runtime, cgroup, process};
use memgap_reader::{Depth, Reader, Roots};

use anyhow::{Context, Result, ensure};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::frozen::Frozen;
use memgap_tests::golang::{Build, Toolchain, toolchains, without_symbols};
use memgap_tests::rights::{Need, left_out};
use memgap_tests::target::{self, Target};

const MIB: f64 = 1_048_576.0;

/// Lazily freed pages that wait in the batches of each processor: the kernel counts
/// them as such once the batch is full.
const BATCHES: u64 = 256 << 10;

/// The pages of files that a program of Go maps may be charged to others.
const FILES: u64 = 8 << 20;

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
    let found = made.runtimes.iter().find(|runtime| runtime.name == "go");
    found.with_context(|| format!("{:?}; {:?}", made.runtimes, made.absent))
}

#[test]
fn counters_are_the_runtimes_own_in_every_build() -> Result<()> {
    for toolchain in without_symbols()? {
        for build in toolchain.builds() {
            let what = format!("Go {} {build:?}", toolchain.version);
            // After `free` nothing is left that the runtime would do by itself.
            let (target, _frozen, made) = explain(&toolchain, *build, "steady churn free", "")?;
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
fn counters_of_older_versions_are_read_by_symbol() -> Result<()> {
    for toolchain in toolchains()?.iter().filter(|t| t.minor() < 19) {
        let (target, _frozen, made) = explain(toolchain, Build::Plain, "steady churn free", "")?;
        let (what, runtime) = (&toolchain.version, go(&made)?);
        let gc = runtime.gc.as_ref().context("no collector")?;
        let said = |name| target.holds(name);
        assert_eq!(runtime.in_use, Some(said("heap_in_use")?), "{what}");
        assert_eq!(runtime.free, Some(said("heap_idle")?), "{what}");
        assert_eq!(runtime.released, Some(said("heap_released")?), "{what}");
        assert_eq!(gc.cycles, Some(said("num_gc")?), "{what}");
        let paused = gc.paused.map(|paused| paused.as_nanos());
        assert_eq!(paused, Some(said("pause_total")?.into()), "{what}");
        assert!(made.ledger.booked(Account::HeapInUse) > 60 << 20, "{what}");
        assert!(made.ledger.booked(Account::Unexplained) < 4 << 20, "{what}");
    }
    Ok(())
}

/// Steps, settings of the runtime, and memory that is not the runtime's at all.
const SCENARIOS: [(&str, &str, i64); 8] = [
    ("steady", "", 0),
    ("churn", "", 0),
    ("steady ballast", "", 0),
    ("goroutines", "", 0),
    ("drop free", "", 0),
    ("drop free", "madvdontneed=0", 0),
    ("steady mmap", "", 50 << 20),
    // The C library has its own statistics.
    ("steady cgo", "", 0),
];

#[test]
fn every_page_is_explained_in_every_scenario() -> Result<()> {
    for toolchain in without_symbols()? {
        for build in toolchain.builds() {
            for (steps, debug, foreign) in SCENARIOS {
                if steps.ends_with("cgo") && !build.has_c() {
                    continue;
                }
                let (_target, _frozen, made) = explain(&toolchain, *build, steps, debug)?;
                let what = format!("Go {} {build:?} {steps} {debug}", toolchain.version);
                let rss = made.headline.rss.point().context("no RSS")?;
                // What is not the runtime's stays unexplained, and nothing else. Up to 1.20
                // its tables have 1 to 2 MiB for each arena, most of it never touched.
                let off = made.ledger.booked(Account::Unexplained) - foreign;
                let cut = i64::try_from(made.cut)?;
                let allowed = if toolchain.minor() < 21 { 10 << 20 } else { 4 << 20 };
                let allowed = (rss * 35 / 1000).max(allowed);
                println!(
                    "{what}: rss {:.1} MiB, unexplained {:.2} off, cut {:.2}",
                    rss as f64 / MIB,
                    off as f64 / MIB,
                    cut as f64 / MIB,
                );
                assert!(off.abs() + cut <= allowed, "{what}: {off} of {rss} bytes off, {cut} cut");
                if steps.ends_with("cgo") {
                    let glibc = made.runtimes.iter().find(|r| r.name == "glibc");
                    let in_use =
                        glibc.and_then(|r| r.in_use).context("no heap statistics of glibc")?;
                    assert!((50 << 20..51 << 20).contains(&in_use), "{what}: {in_use}");
                }
            }
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

/// Where it began: MADV_FREE was the default of Go 1.12 to 1.15.
#[test]
fn of_go_1_15_rss_stays_after_a_free_and_the_working_set_drops_by_what_is_lazily_freed()
-> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let all = toolchains()?;
    let toolchain = all.iter().find(|t| t.minor() == 15).context("no Go 1.15")?;
    let program = toolchain.build(Build::Plain)?;
    let group = Cgroup::new("go")?;
    let target = Target::run_in(&program, &[("STEPS", "drop free")], &group)?;
    let frozen = Frozen::stop(target.pid())?;
    let reader = Reader::open(Roots::default())?;
    let made = process::ledger(&reader.process(target.pid(), Depth::Pages)?);
    let runtime = go(&made)?;
    assert_eq!(runtime.in_use, Some(target.holds("heap_in_use")?));
    assert_eq!(runtime.free, Some(target.holds("heap_idle")?));
    assert_eq!(runtime.released, Some(target.holds("heap_released")?));
    let gc = runtime.gc.as_ref().context("no collector")?;
    assert_eq!(gc.cycles, Some(target.holds("num_gc")?));

    let kernel = frozen.kernel()?;
    assert!(kernel.rss > 380 << 20 && kernel.lazy_free > 350 << 20, "{kernel:?}");
    let booked = |account| made.ledger.booked(account);
    let lazy = u64::try_from(booked(Account::LazyFree))?;
    assert!(lazy.abs_diff(kernel.lazy_free) <= BATCHES, "{lazy} of {kernel:?}");
    assert!(booked(Account::HeapInUse) > 24 << 20 && booked(Account::Unexplained) < 4 << 20);

    let around = cgroup::ledger(&reader.cgroup(group.path())?, Ok(&[&made]));
    let [usage, working_set] = [around.headline.usage, around.headline.working_set]
        .map(|figure| figure.point().and_then(|bytes| u64::try_from(bytes).ok()));
    let (usage, working_set) = (usage.context("no usage")?, working_set.context("none")?);
    println!("rss {}, lazy {lazy}, usage {usage}, working set {working_set}", kernel.rss);
    assert!(usage + BATCHES > kernel.rss - FILES && usage - working_set + BATCHES > lazy);
    Ok(())
}

#[test]
fn no_setting_of_the_collector_hides_the_statistics() -> Result<()> {
    let toolchain = without_symbols()?.pop().context("no toolchain")?;
    let program = toolchain.build(Build::Stripped)?;
    for (percent, limit) in [("off", ""), ("0", ""), ("1", ""), ("1000", "1GiB"), ("", "64MiB")] {
        let environment = [("STEPS", "steady free"), ("GOGC", percent), ("GOMEMLIMIT", limit)];
        let target = Target::run(&program, &environment)?;
        let _frozen = Frozen::stop(target.pid())?;
        let sample = Reader::open(Roots::default())?.process(target.pid(), Depth::Runtimes)?;
        let made = process::ledger(&sample);
        let runtime = go(&made).with_context(|| format!("GOGC={percent} GOMEMLIMIT={limit}"))?;
        assert_eq!(runtime.in_use, Some(target.holds("heap_in_use")?));
        let gc = runtime.gc.as_ref().context("no collector")?;
        assert_eq!(gc.percent, percent.parse().ok().or((percent.is_empty()).then_some(100)));
        let bytes = [("", None), ("1GiB", Some(1 << 30)), ("64MiB", Some(64 << 20))];
        assert!(bytes.contains(&(limit, gc.limit)), "{limit}: {gc:?}");
    }
    Ok(())
}

#[test]
fn a_program_without_section_headers_is_read_all_the_same() -> Result<()> {
    for toolchain in without_symbols()? {
        let program = toolchain.build(Build::Stripped)?;
        let cut = program.with_extension("cut");
        // By other programs: what a test starts while we write a file holds it open,
        // and a file that is open for writing can not be run.
        let run = |command: &mut Command| -> Result<()> {
            ensure!(command.status()?.success(), "{command:?} failed");
            Ok(())
        };
        run(Command::new("cp").args([&program, &cut]))?;
        // e_shoff, e_shnum and e_shstrndx.
        for (at, bytes) in [(40, 8), (60, 4)] {
            let place = [format!("seek={at}"), format!("count={bytes}")];
            let mut dd = Command::new("dd");
            dd.args(["if=/dev/zero", "bs=1", "conv=notrunc", "status=none"]).args(place);
            run(dd.arg("of=".to_owned() + &cut.to_string_lossy()))?;
        }
        let target = Target::run(&cut, &[("STEPS", "steady free")])?;
        let _frozen = Frozen::stop(target.pid())?;
        let sample = Reader::open(Roots::default())?.process(target.pid(), Depth::Runtimes)?;
        let made = process::ledger(&sample);
        let runtime = go(&made).context(toolchain.version.clone())?;
        assert_eq!(runtime.in_use, Some(target.holds("heap_in_use")?));
        assert!(runtime.version.as_deref().is_some_and(|v| v.starts_with(&toolchain.version)));
    }
    Ok(())
}

#[test]
fn a_stripped_go_1_15_is_refused_by_name() -> Result<()> {
    let all = toolchains()?;
    let toolchain = all.iter().find(|t| t.minor() == 15).context("no Go 1.15")?;
    let (_target, _frozen, made) = explain(toolchain, Build::Stripped, "steady", "")?;
    assert!(made.runtimes.is_empty());
    let why = made.absent.iter().find(|a| a.what == "runtime").context("no reason")?;
    assert!(
        why.missing.why.contains("Go 1.15.15 shows its heap statistics by symbol only"),
        "{why:?}"
    );
    Ok(())
}

#[test]
fn a_library_of_go_is_read_beside_the_python_that_loaded_it() -> Result<()> {
    const LOAD: &str = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print('ready', flush=True); sys.stdin.readline()";
    let toolchain = without_symbols()?.pop().context("no toolchain")?;
    let library = toolchain.build(Build::Shared)?;
    let target = Target::spawn(Command::new("python3").args(["-c", LOAD]).arg(&library))?;
    let started = Instant::now();
    loop {
        let sample = Reader::open(Roots::default())?.process(target.pid(), Depth::Full)?;
        let made = process::ledger(&sample);
        let names: Vec<_> = made.runtimes.iter().map(|runtime| runtime.name.as_str()).collect();
        if names == ["cpython", "glibc", "go"] {
            assert_eq!(go(&made)?.file, library.to_string_lossy());
            return Ok(());
        }
        // The library's runtime starts in a thread of its own.
        ensure!(started.elapsed() < Duration::from_mins(1), "{names:?}: {:?}", made.absent);
        std::thread::yield_now();
    }
}

#[test]
fn a_ballast_is_in_use_and_not_resident() -> Result<()> {
    for toolchain in without_symbols()? {
        let (_target, _frozen, made) = explain(&toolchain, Build::Plain, "ballast", "")?;
        let in_use = made.in_use.context("no heap statistics")?;
        assert!(in_use.total > 1 << 30);
        let (low, high) = in_use.resident.bounds().context("known")?;
        assert!(low >= 0 && high < 32 << 20, "{in_use:?}");
    }
    Ok(())
}

/// What is said of Go in a program that only looks like it, beside the C library's
/// honest heap statistics.
fn of_a_liar(reader: &Reader, target: &Target, depth: Depth) -> Result<Found> {
    let sample = reader.process(target.pid(), depth)?;
    let is_honest = |one: &Found| one.as_ref().is_ok_and(|r| r.name == "glibc");
    let mut others = sample.runtimes.into_iter().filter(|one| !is_honest(one));
    others.next().context("nothing of Go")
}

#[test]
fn statistics_that_can_not_be_are_refused_by_the_rule_they_break() -> Result<()> {
    let program = target::compiled("fakego")?;
    for (lie, why) in [
        ("huge", "a part of the heap is larger than its ranges"),
        ("beyond", "beyond the address space"),
        ("endless", "longer than its room"),
        ("elsewhere", "memory at 0xdead000 is not resident"),
        ("bitmaps", "is not resident"),
        ("many", "a probe's bound of readings is reached"),
    ] {
        let target = Target::spawn(Command::new(&program).arg(lie))?;
        let reported = of_a_liar(&Reader::open(Roots::default())?, &target, Depth::Pages)?;
        ensure!(
            reported.as_ref().is_err_and(|lack| lack.to_string().contains(why)),
            "{lie}: {reported:?}"
        );
    }
    Ok(())
}

#[test]
fn a_heap_that_changes_under_the_probe_is_true_or_refused() -> Result<()> {
    let mut target = Target::start("fakego")?;
    let reader = Reader::open(Roots::default())?;
    let honest = of_a_liar(&reader, &target, Depth::Pages)?.map(|runtime| runtime.in_use);
    assert_eq!(honest, Ok(Some(target.holds("in_use")?)));
    target.step()?;
    let mut read = 0;
    for _ in 0..200 {
        match of_a_liar(&reader, &target, Depth::Runtimes)? {
            Ok(runtime) => {
                assert!([1 << 20, 2 << 20].contains(&runtime.in_use.unwrap_or(0)));
                read += 1;
            }
            Err(lack) => assert_eq!(lack.why.kind, MissingKind::Malformed, "{lack}"),
        }
    }
    println!("{read} of 200 readings kept the rules");
    Ok(())
}
