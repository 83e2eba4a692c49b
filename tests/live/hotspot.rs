//! Java programs against their virtual machine's own words, frozen after it said
//! them.

use std::process::Command;

use memgap_kernel::Buf;
use memgap_kernel::memory::{Bounds, Live, Space};
use memgap_ledger::account::{self, Account};
use memgap_ledger::claim::Extent;
use memgap_ledger::runtime::Found;
use memgap_ledger::sample::ProcessSample;
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_probes::{Attached, Detail, Probes};
use memgap_reader::{Depth, Reader, Roots};

use anyhow::{Context, Result, bail};
use memgap_tests::frozen::Frozen;
use memgap_tests::java::{Machine, apart, hotspot, machine, machines, refusal};
use memgap_tests::target::{self, Target};

/// Blocks of 100,000 bytes that the target holds.
const BLOCKS: u32 = 2000;
/// Bytes of a region of G1, as the flags below ask.
const REGION: u64 = 1 << 20;

/// The flags of a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Collector {
    name: &'static str,
    flags: &'static [&'static str],
    /// Releases that know the flags.
    releases: (u32, u32),
}

const COLLECTORS: [Collector; 5] = [
    Collector { name: "Serial", flags: &["-XX:+UseSerialGC"], releases: (11, 25) },
    Collector { name: "Parallel", flags: &["-XX:+UseParallelGC"], releases: (11, 25) },
    Collector {
        name: "G1",
        flags: &["-XX:+UseG1GC", "-XX:G1HeapRegionSize=1m"],
        releases: (11, 25),
    },
    Collector {
        name: "ZGC",
        flags: &["-XX:+UnlockExperimentalVMOptions", "-XX:+UseZGC"],
        releases: (11, 25),
    },
    Collector { name: "ZGC", flags: &["-XX:+UseZGC", "-XX:+ZGenerational"], releases: (21, 23) },
];

/// Starts the target by a collector and hands it over after each of its two words.
fn each_step(
    machine: &Machine,
    collector: &Collector,
    flags: &[&str],
    mut check: impl FnMut(&Target, &ProcessSample, u64) -> Result<()>,
) -> Result<()> {
    let flags = [collector.flags, &["-Xmx1g"], flags].concat();
    let mut target = Target::spawn(&mut machine.command(&flags, BLOCKS)?)?;
    for step in 0..2 {
        // Its own threads may take memory between the word and the halt.
        for attempt in 0.. {
            let frozen = Frozen::stop(target.pid())?;
            let sample = Reader::open(Roots::default())?.process(target.pid(), Depth::Pages)?;
            let (read, said) = (hotspot(&sample)?.in_use, in_use(&target, collector)?);
            let compiled = claimed(&sample, Account::JitCode) != target.holds("code")?;
            let is_off = |read: u64| read > said || said - read > REGION;
            if attempt < 5 && (compiled || read.is_some_and(is_off)) {
                drop(frozen);
                target.again()?;
                continue;
            }
            let what = format!("{} {} step {step}", machine.version, collector.name);
            check(&target, &sample, step).context(what)?;
            break;
        }
        if step == 0 {
            target.step()?;
        }
    }
    assert!(target.end()?.success());
    Ok(())
}

/// Bytes that the virtual machine claims on an account.
fn claimed(sample: &ProcessSample, account: Account) -> u64 {
    let parts = sample.claims.iter().filter(|c| c.owner == "hotspot").flat_map(|c| &c.parts);
    parts.filter(|part| part.account == account).map(|part| part.bytes).sum()
}

/// What the virtual machine says is in use.
fn in_use(target: &Target, collector: &Collector) -> Result<u64> {
    // G1's bean tells the state after the last collection.
    target.holds(if collector.name == "G1" { "info" } else { "used" })
}

fn assert_in_use(runtime: &Runtime, said: u64, machine: &Machine, collector: &Collector) {
    let read = runtime.in_use.expect("a heap that was found");
    let allowed = match (collector.name, machine.release()) {
        // 11 leaves out the regions that were being filled when a collection came.
        ("G1", 11) => 2 * REGION,
        ("G1", _) => REGION,
        _ => 0,
    };
    assert!(read.abs_diff(said) <= allowed, "{} {collector:?}: {read} {said}", machine.version);
}

#[test]
fn statistics_are_as_the_virtual_machine_says() -> Result<()> {
    // What is given back to the kernel meanwhile is nobody's.
    let flags = ["-Xms1g", "-Xmn256m", "-XX:NativeMemoryTracking=summary"];
    for machine in machines()? {
        let known = |c: &&Collector| (c.releases.0..=c.releases.1).contains(&machine.release());
        for collector in COLLECTORS.iter().filter(known) {
            let mut kept = None;
            each_step(&machine, collector, &flags, |target, sample, step| {
                let again = read_again(target, &mut kept)?;
                assert_in_use(&again, in_use(target, collector)?, &machine, collector);
                figures(target, sample, step, &machine, collector)?;
                accounts(target, sample, step, collector)
            })?;
        }
    }
    Ok(())
}

/// Reads the heap statistics as a collector does, which keeps from one step to the next what
/// never changes: once to know it, and once by what is known.
fn read_again(target: &Target, kept: &mut Option<(Live, Attached)>) -> Result<Runtime> {
    if kept.is_none() {
        let process = Reader::open(Roots::default())?.open_process(target.pid())?;
        let found = Probes::default().attach(&process, &mut Buf::default())?;
        let hotspot = found.into_iter().flatten().find(|one| one.probe() == "hotspot");
        *kept = Some((Live::open(&process)?, hotspot.context("no hotspot")?));
    }
    let (memory, hotspot) = kept.as_ref().context("nothing is kept")?;
    let read = || hotspot.read(&Space::new(memory, Bounds::COUNTERS), Detail::Counters);
    let (first, second) = (read()?, read()?);
    assert_eq!(first, second, "it stands still");
    Ok(second.runtime)
}

/// What the heap statistics say, against the virtual machine's beans.
fn figures(
    target: &Target,
    sample: &ProcessSample,
    step: u64,
    machine: &Machine,
    collector: &Collector,
) -> Result<()> {
    let said = in_use(target, collector)?;
    let counted = Reader::open(Roots::default())?.process(target.pid(), Depth::Full)?;
    assert_in_use(hotspot(&counted)?, said, machine, collector);
    let runtime = hotspot(sample)?;
    assert_in_use(runtime, said, machine, collector);
    let version = runtime.version.as_deref().context("no version")?;
    assert_eq!(version.split('.').next(), machine.version.split('.').next());
    let gc = runtime.gc.as_ref().context("no collector")?;
    assert_eq!(gc.name.as_deref(), Some(collector.name));
    if collector.name != "ZGC" {
        assert_eq!(gc.cycles, Some(target.holds("collections")?));
    }
    assert_eq!(claimed(sample, Account::JitCode), target.holds("code")?);
    // Brought up to date by collections only.
    if step == 1 {
        assert_eq!(claimed(sample, Account::Metaspace), target.holds("metaspace")?);
    }
    Ok(())
}

/// Where the resident memory is, after 70 % of the heap was dropped too: in use, free,
/// metaspace, compiled code, tables, stacks, and little that nobody knows.
fn accounts(
    target: &Target,
    sample: &ProcessSample,
    step: u64,
    collector: &Collector,
) -> Result<()> {
    let made: ProcessLedger = process::ledger(sample);
    let booked = |account| made.ledger.booked(account);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    let used = i64::try_from(in_use(target, collector)?)?;
    let resident = booked(Account::HeapInUse);
    // The ends of G1's regions are in use by a mark that says so, and the C library's
    // heap is in use beside it.
    assert!(
        (used - resident).abs() <= used / 16 + (32 << 20),
        "{used} in use, {resident} resident"
    );
    let free = booked(Account::AllocatorFree);
    assert!(step == 0 || free > 100 << 20, "{free}");
    if collector.name == "ZGC" {
        // What its views show beyond its pages is all that is left there.
        let heap = in_smaps(target.pid(), "java_heap", "Pss:")?;
        let views = in_smaps(target.pid(), "java_heap", "Rss:")?;
        assert_eq!(booked(Account::Shmem), views - heap);
    }
    let tables = claimed(sample, Account::GcTables);
    assert!(tables <= target.holds("tables")?, "{tables}");
    // G1 has a bit for each word of the heap, once or twice.
    let bits = if collector.name == "G1" { (1 << 30) / 64 } else { 0 };
    assert!(tables >= bits, "{tables}");
    // Guards count there, and the main thread's stack does not.
    let (stacks, said) = (booked(Account::Stack), i64::try_from(target.holds("stacks")?)?);
    assert!((stacks - said).abs() <= 512 << 10, "{stacks} of stacks, {said} by tracking");
    let rest = booked(Account::Unexplained);
    assert!(rest <= made.ledger.sum(account::RSS) / 10, "{rest} unexplained");
    println!(
        "{} step {step}: in use {used}, free {free}, tables {}, metaspace {}, code {}, stacks {stacks} ({said}), unexplained {rest}",
        collector.name,
        booked(Account::GcTables),
        booked(Account::Metaspace),
        booked(Account::JitCode),
    );
    Ok(())
}

/// A figure of the mappings whose name holds a word, in the kernel's own text.
fn in_smaps(pid: u32, name: &str, key: &str) -> Result<i64> {
    let (mut sum, mut is_it) = (0, false);
    for line in std::fs::read_to_string(format!("/proc/{pid}/smaps"))?.lines() {
        let mut words = line.split_whitespace();
        match words.next().context("an empty line")? {
            first if first == key && is_it => {
                sum += words.next().context("no amount")?.parse::<i64>()? << 10;
            }
            first if !first.ends_with(':') => is_it = line.contains(name),
            _ => {}
        }
    }
    Ok(sum)
}

#[test]
fn counters_are_read_where_no_file_holds_them() -> Result<()> {
    for machine in machines()? {
        let [serial, ..] = &COLLECTORS;
        each_step(&machine, serial, &["-XX:+PerfDisableSharedMem"], |target, sample, _| {
            let runtime = hotspot(sample)?;
            assert_in_use(runtime, target.holds("used")?, &machine, serial);
            assert!(runtime.gc.as_ref().is_some_and(|gc| gc.paused.is_some()));
            Ok(())
        })?;
        each_step(&machine, serial, &["-XX:-UsePerfData"], |target, sample, _| {
            let runtime = hotspot(sample)?;
            assert_in_use(runtime, target.holds("used")?, &machine, serial);
            assert!(runtime.gc.as_ref().is_some_and(|gc| gc.paused.is_none()));
            assert!(runtime.evidence.iter().any(|e| e.contains("-XX:-UsePerfData")));
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_collector_that_is_not_read_is_refused_by_name() -> Result<()> {
    let flags = ["-XX:+UseShenandoahGC", "-XX:+PerfDisableSharedMem"];
    let target = Target::spawn(&mut machine(17)?.command(&flags, 10)?)?;
    let lack = refusal(target.pid())?;
    assert!(lack.contains("Shenandoah") && lack.contains("publishes no file"), "{lack}");
    Ok(())
}

#[test]
fn other_namespaces_are_looked_into() -> Result<()> {
    for machine in machines()? {
        let [serial, ..] = &COLLECTORS;
        let (target, pid) = apart(&machine, serial.flags, BLOCKS)?;
        let _frozen = Frozen::stop(pid)?;
        let sample = Reader::open(Roots::default())?.process(pid, Depth::Pages)?;
        let runtime = hotspot(&sample)?;
        let (read, said) = (runtime.in_use.context("no heap")?, target.holds("used")?);
        // Its own threads may take memory between the word and the halt.
        assert!((said..said + (4 << 20)).contains(&read), "{}: {read} {said}", machine.version);
        assert!(runtime.gc.as_ref().is_some_and(|gc| gc.paused.is_some()));
        assert!(sample.claims.iter().any(|claim| matches!(claim.extent, Extent::Ranges(_))));
    }
    Ok(())
}

/// Starts a program that is named as the virtual machine, and lies.
fn liar(lie: &str) -> Result<Target> {
    let program = target::compiled("fakejvm")?;
    let directory = program.with_file_name(format!("fakejvm-{}-{lie}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let library = directory.join("libjvm.so");
    std::fs::hard_link(program, &library)?;
    let target = Target::spawn(Command::new(&library).arg(lie))?;
    std::fs::remove_dir_all(directory)?;
    Ok(target)
}

/// What was read of it, without the C library's honest heap statistics.
fn liars(sample: &ProcessSample) -> Vec<&Found> {
    let is_honest = |one: &Found| one.as_ref().is_ok_and(|r| r.name == "glibc");
    sample.runtimes.iter().filter(|one| !is_honest(one)).collect()
}

#[test]
fn statistics_that_can_not_be_are_refused_by_the_rule_they_break() -> Result<()> {
    let lies = [
        ("endless", "vmStructs do not end"),
        ("no-stride", "entries of 0 bytes"),
        ("stride", "entries of 18446744073709551615 bytes"),
        ("offset", "has entries of"),
        ("elsewhere", "no memory at"),
        ("circle", "ContiguousSpace::_bottom"),
        ("flags", "are no HotSpot's"),
        ("flag-size", "are no HotSpot's"),
        ("used", "is full to 0xffffffffffffffff"),
        ("limit", "a limit of 1048576"),
        ("null", "it is not set up"),
    ];
    for (lie, why) in lies {
        let target = liar(lie)?;
        let sample = Reader::open(Roots::default())?.process(target.pid(), Depth::Full)?;
        match liars(&sample)[..] {
            [Err(lack)] if lack.to_string().contains(why) => {}
            ref other => bail!("{lie}: {other:?}"),
        }
    }
    Ok(())
}

#[test]
fn a_heap_that_changes_under_the_probe_is_true_or_refused() -> Result<()> {
    let honest = liar("")?;
    let sample = Reader::open(Roots::default())?.process(honest.pid(), Depth::Pages)?;
    assert_eq!(hotspot(&sample)?.in_use, Some(honest.holds("used")?));

    let target = liar("changing")?;
    let reader = Reader::open(Roots::default())?;
    let mut read = 0;
    for _ in 0..500 {
        let sample = reader.process(target.pid(), Depth::Pages)?;
        let [one] = liars(&sample)[..] else { bail!("{:?}", sample.runtimes) };
        if let Ok(runtime) = one {
            let (used, free) = (runtime.in_use.context("no heap")?, runtime.free.context("none")?);
            assert!(used + free <= 4 << 20, "{runtime:?}");
            read += 1;
        }
        process::ledger(&sample);
    }
    println!("{read} of 500 readings kept the rules");
    assert!(read > 0, "every reading was refused");
    Ok(())
}
