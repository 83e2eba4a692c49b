//! Findings on real programs: each remedy is applied, and what it gives back is what was said.

use std::process::Command;

use anyhow::{Context, Result};
use memgap_ledger::finding::{self, Finding, Subject};
use memgap_ledger::{ProcessLedger, cgroup, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::fetch::{fetch, versioned};
use memgap_tests::frozen::Frozen;
use memgap_tests::glibc::Library;
use memgap_tests::golang::{Build, without_symbols};
use memgap_tests::java::machine;
use memgap_tests::jemalloc::jemallocs;
use memgap_tests::redis::Client;
use memgap_tests::rights::{Need, left_out};
use memgap_tests::service::Service;
use memgap_tests::target::{Target, compiled};

const MIB: i64 = 1 << 20;

/// What a process is found to have, frozen.
fn look(pid: u32, depth: Depth) -> Result<(ProcessLedger, Vec<Finding>)> {
    let _frozen = Frozen::stop(pid)?;
    let made = process::ledger(&Reader::open(Roots::default())?.process(pid, depth)?);
    let found = finding::findings(Subject::Process(&made));
    Ok((made, found))
}

fn rss(pid: u32) -> Result<i64> {
    let made = process::ledger(&Reader::open(Roots::default())?.process(pid, Depth::Counters)?);
    made.headline.rss.point().context("no RSS")
}

fn bytes(found: &[Finding], id: &str) -> Option<i64> {
    found.iter().find(|finding| finding.id == id)?.bytes.point()
}

/// What a remedy gave back is what was said, but for a fiftieth and what the program takes
/// to apply it.
fn assert_given_back(what: &str, said: i64, before: i64, after: i64, but: i64) {
    let fell = before - after;
    println!("{what}: {said} said, fell by {fell}");
    assert!((said - fell).abs() <= fell / 50 + but, "{what}: {said} said, fell by {fell}");
}

#[test]
fn glibc_gives_back_what_is_retained_and_not_what_is_fragmented() -> Result<()> {
    let malloc = |steps: &str| Target::spawn(Library::Own.malloc()?.env("STEPS", steps));
    // Runs of freed blocks, all but one block, and every other of a million small ones.
    for (steps, is_retained, is_fragmented) in [
        ("fragmented trim", true, true),
        ("last trim", true, false),
        ("many trim", false, true),
        ("steady trim", false, false),
    ] {
        let mut target = malloc(steps)?;
        let (made, found) = look(target.pid(), Depth::Pages)?;
        let said = bytes(&found, "retention");
        println!("{steps}: {found:#?}");
        assert_eq!(said.is_some(), is_retained, "{steps}: {:?}", made.runtimes);
        let pinned = bytes(&found, "fragmentation");
        assert_eq!(pinned.is_some(), is_fragmented, "{steps}: {:?}", made.runtimes);
        let before = i64::try_from(target.holds("rss")?)?;
        target.step()?;
        let after = i64::try_from(target.holds("rss")?)?;
        assert_given_back(steps, said.unwrap_or(0), before, after, MIB);
    }
    Ok(())
}

#[test]
fn without_a_look_at_each_block_it_is_not_said_what_could_be_given_back() -> Result<()> {
    let mut target = Target::spawn(Library::Own.malloc()?.env("STEPS", "last trim"))?;
    let (_, found) = look(target.pid(), Depth::Full)?;
    let retention = found.iter().find(|finding| finding.id == "retention").context("not found")?;
    let before = i64::try_from(target.holds("rss")?)?;
    target.step()?;
    let fell = before - i64::try_from(target.holds("rss")?)?;
    let (low, high) = retention.bytes.bounds().context("no amount")?;
    assert!(low <= fell && fell <= high + MIB, "{low} .. {high}: {fell}");
    assert!(retention.summary.contains("not known"), "{}", retention.summary);
    assert_eq!(bytes(&found, "fragmentation"), None);
    Ok(())
}

#[test]
fn redis_gives_back_what_is_retained() -> Result<()> {
    let redis = Service::redis()?;
    let mut client = Client::of(&redis)?;
    client.ask("DEBUG POPULATE 20000 big 5000")?;
    let (_, found) = look(redis.pid(), Depth::Full)?;
    assert_eq!(bytes(&found, "retention"), None, "{found:#?}");

    // A flush would purge by itself; keys that are deleted leave it to time.
    client
        .ask(r#"EVAL "for i = 0, 19999 do redis.call('DEL', 'big:' .. i) end return 'gone'" 0"#)?;
    let (_, found) = look(redis.pid(), Depth::Full)?;
    let said = bytes(&found, "retention").with_context(|| format!("{found:#?}"))?;
    let before = rss(redis.pid())?;
    client.ask("MEMORY PURGE")?;
    assert!(said > 40 * MIB, "{said}");
    assert_given_back("redis", said, before, rss(redis.pid())?, 2 * MIB);
    Ok(())
}

/// What is found of a cgroup, all of whose processes stand still.
fn look_into(group: &Cgroup, pids: &[u32], depth: Depth) -> Result<Vec<Finding>> {
    let _frozen: Vec<Frozen> = pids.iter().map(|pid| Frozen::stop(*pid)).collect::<Result<_>>()?;
    let reader = Reader::open(Roots::default())?;
    let (sample, members) = reader.cgroup_and_members(group.path(), depth)?;
    let ledgers: Vec<ProcessLedger> = members?.iter().map(process::ledger).collect();
    let refs: Vec<&ProcessLedger> = ledgers.iter().collect();
    Ok(finding::findings(Subject::Cgroup(&cgroup::ledger(&sample, Ok(&refs)))))
}

#[test]
fn of_a_cgroup_it_is_said_how_much_and_who_keeps_most() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("retained")?;
    let servers = [Service::redis_in(&group)?, Service::redis_in(&group)?];
    let pids = [servers[0].pid(), servers[1].pid()];
    let mut clients = [Client::of(&servers[0])?, Client::of(&servers[1])?];
    for (client, count) in clients.iter_mut().zip([20_000, 8_000]) {
        client.ask(&format!("DEBUG POPULATE {count} big 5000"))?;
    }
    let found = look_into(&group, &pids, Depth::Full)?;
    assert_eq!(bytes(&found, "retention"), None, "{found:#?}");

    for (client, last) in clients.iter_mut().zip([19_999, 7_999]) {
        let each = format!("for i = 0, {last} do redis.call('DEL', 'big:' .. i) end return 'gone'");
        client.ask(&format!("EVAL \"{each}\" 0"))?;
    }
    let found = look_into(&group, &pids, Depth::Full)?;
    let said = bytes(&found, "retention").with_context(|| format!("{found:#?}"))?;
    let finding = found.iter().find(|finding| finding.id == "retention").context("found")?;
    let who = format!("(pid {})", pids[0]);
    assert!(finding.evidence[0].contains(&who) && finding.remedy.contains(&who), "{finding:?}");
    let before = i64::try_from(group.usage()?)?;
    for client in &mut clients {
        client.ask("MEMORY PURGE")?;
    }
    assert!(said > 60 * MIB, "{said}");
    assert_given_back("cgroup", said, before, i64::try_from(group.usage()?)?, 4 * MIB);
    Ok(())
}

#[test]
fn of_a_cgroup_it_is_said_what_can_not_be_given_back() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    // Every other of a million small blocks is free, and a run of blocks but for the last.
    for (steps, is_pinned) in [("many", true), ("last", false)] {
        let group = Cgroup::new(&format!("pinned-{steps}"))?;
        let program = Library::Own.malloc()?;
        let target = Target::run_in(program.get_program().as_ref(), &[("STEPS", steps)], &group)?;
        let found = look_into(&group, &[target.pid()], Depth::Pages)?;
        let pinned = bytes(&found, "fragmentation");
        assert_eq!(pinned.is_some(), is_pinned, "{steps}: {found:#?}");
        assert_eq!(pinned, bytes(&look(target.pid(), Depth::Pages)?.1, "fragmentation"), "{steps}");
    }
    Ok(())
}

#[test]
fn go_gives_back_what_is_retained() -> Result<()> {
    for toolchain in without_symbols()? {
        // It keeps the scavenger from doing it first.
        let environment = [("STEPS", "shed"), ("GOGC", "off")];
        let mut target = Target::run(&toolchain.build(Build::Plain)?, &environment)?;
        let (_, found) = look(target.pid(), Depth::Full)?;
        let said = bytes(&found, "retention").with_context(|| format!("{found:#?}"))?;
        let before = rss(target.pid())?;
        target.take("free")?;
        let what = format!("Go {}", toolchain.version);
        assert!(said > 40 * MIB, "{what}: {said}");
        assert_given_back(&what, said, before, rss(target.pid())?, 2 * MIB);
    }
    Ok(())
}

#[test]
fn mimalloc_gives_back_what_is_retained() -> Result<()> {
    let program = compiled("collect")?;
    let mut tried = 0;
    for line in fetch("mimalloc")? {
        let (version, library) = versioned(&line)?;
        // Before that whole segments only; heap statistics of 3 are not read.
        if !["2.1.7", "2.2.4"].contains(&version) {
            continue;
        }
        let mut target = Target::spawn(Command::new(&program).env("LD_PRELOAD", library))?;
        let (_, found) = look(target.pid(), Depth::Full)?;
        assert_eq!(bytes(&found, "retention"), None, "{version}: {found:#?}");
        target.step()?;
        let (_, found) = look(target.pid(), Depth::Full)?;
        let said = bytes(&found, "retention").with_context(|| format!("{found:#?}"))?;
        let before = rss(target.pid())?;
        target.step()?;
        assert_given_back(version, said, before, rss(target.pid())?, 2 * MIB);

        let environment = [("LD_PRELOAD", library), ("MIMALLOC_PURGE_DELAY", "0")];
        let mut target = Target::run(&program, &environment)?;
        target.step()?;
        let (_, found) = look(target.pid(), Depth::Full)?;
        assert_eq!(bytes(&found, "retention"), None, "{version}: {found:#?}");
        tried += 1;
    }
    assert_eq!(tried, 2, "tests/mimalloc/fetch knows other versions");
    Ok(())
}

/// What is free beyond the share that it is told to keep.
#[test]
fn a_java_machine_gives_back_most_of_what_is_retained_but_for_the_parallel_collector() -> Result<()>
{
    let machine = machine(17)?;
    for (collector, gives) in [("G1", true), ("Serial", true), ("Parallel", false)] {
        let flags = ["-Xms8m", "-Xmx512m", &format!("-XX:+Use{collector}GC")];
        let mut target = Target::spawn(&mut machine.command(&flags, 1000)?)?;
        target.step()?;
        let (_, found) = look(target.pid(), Depth::Full)?;
        let retention =
            found.iter().find(|f| f.id == "retention").context("of 100 MB 70 are free")?;
        let said = retention.bytes.point().context("an amount")?;
        let (before, pid) = (rss(target.pid())?, target.pid().to_string());
        for flag in ["MinHeapFreeRatio=10", "MaxHeapFreeRatio=20"] {
            machine.tool("jinfo", &["-flag", flag, &pid])?;
        }
        for _ in 0..4 {
            machine.tool("jcmd", &[&pid, "GC.run"])?;
        }
        let fell = before - rss(target.pid())?;
        println!("{collector}: {said} said, fell by {fell}");
        assert_eq!(fell > said / 2, gives, "{collector}: {said} said, fell by {fell}");
        assert_eq!(retention.remedy.starts_with("jinfo -flag"), gives, "{}", retention.remedy);
    }
    Ok(())
}

/// Without a call: the variable of the build keeps it from retaining anything.
#[test]
fn jemalloc_of_a_rust_program_retains_nothing_where_its_variable_says_so() -> Result<()> {
    let all = jemallocs()?;
    let rust = all.iter().find(|one| !one.is_library() && one.counts()).context("fetched")?;
    let retained = |options: &str| {
        let mut target = rust.start(options)?;
        target.step()?;
        target.step()?;
        Ok::<_, anyhow::Error>(bytes(&look(target.pid(), Depth::Full)?.1, "retention"))
    };
    let said = retained("dirty_decay_ms:-1")?.context("it keeps what was freed")?;
    assert!(said > 40 * MIB, "{said}");
    assert_eq!(retained("dirty_decay_ms:0,muzzy_decay_ms:0")?, None);
    Ok(())
}
