//! Limits that memgap advises, against the kernel: what a service needed while it was watched
//! is enough for it the next time, and less than it requires is not.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use memgap_ledger::advice::setting::settings;
use memgap_ledger::advice::{LEAST_READINGS, Need};
use memgap_ledger::{Advice, ProcessLedger, cgroup, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::golang::{Build, without_symbols};
use memgap_tests::redis::Client;
use memgap_tests::rights::{Need as Right, left_out};
use memgap_tests::service::Service;
use memgap_tests::target::Target;

const MIB: i64 = 1 << 20;

/// Of a file.
const SIZE: i64 = 32 * MIB;

fn advise(group: &Cgroup) -> Result<Advice> {
    let reader = Reader::open(Roots::default())?;
    let mut needs = Vec::new();
    let mut last = Vec::new();
    for _ in 0..LEAST_READINGS {
        let (sample, members) = reader.cgroup_and_members(group.path(), Depth::Runtimes)?;
        last = members?.iter().map(process::ledger).collect();
        let refs: Vec<&ProcessLedger> = last.iter().collect();
        needs.push(Need::of(&cgroup::ledger(&sample, Ok(&refs))).context("it is known")?);
    }
    let mut made = Advice::of(&needs, Duration::from_secs(1)).context("there are readings")?;
    made.settings = settings(&last, made.limit, made.required.point().context("known")?);
    Ok(made)
}

fn limited(bytes: i64) -> Result<Cgroup> {
    let group = Cgroup::new("advised")?;
    group.limit(Some(u64::try_from(bytes)?))?;
    Ok(group)
}

/// Redis with 64 MiB of values; whether it still answers then.
fn filled(group: &Cgroup) -> Result<(Service, bool)> {
    let redis = Service::redis_in(group)?;
    let is_filled = Client::of(&redis)?.ask("DEBUG POPULATE 65536 key 1000").is_ok();
    Ok((redis, is_filled))
}

#[test]
fn redis_lives_with_the_limit_that_is_advised_and_not_with_less_than_it_requires() -> Result<()> {
    if left_out(Right::Cgroups) {
        return Ok(());
    }
    let free = Cgroup::new("unlimited")?;
    let (redis, _) = filled(&free)?;
    let made = advise(&free)?;
    drop(redis);
    let (low, high) = made.required.bounds().context("known")?;
    println!("limit {}, required {low}..{high}, cache {}", made.limit, made.hot_cache);
    ensure!(made.limit >= high && made.limit <= (high + made.hot_cache) / 100 * 106);

    let enough = limited(made.limit)?;
    let (redis, is_filled) = filled(&enough)?;
    assert_eq!((is_filled, enough.events()?.oom_kills), (true, 0));
    drop(redis);

    let less = limited(low / 10 * 9)?;
    let (redis, is_filled) = filled(&less)?;
    assert_eq!((is_filled, less.events()?.oom_kills), (false, 1));
    drop(redis);
    Ok(())
}

/// A shell that has read a file so many times, in the cgroup.
fn reading(group: &Cgroup, file: &str, times: u32) -> Result<Child> {
    let script = "for n in $(seq $1); do cat \"$0\" >/dev/null; done; echo read; read -r end";
    let mut command: Command = group.command("sh");
    command.args(["-c", script, file, &times.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("piped")?).read_line(&mut line)?;
    ensure!(line == "read\n", "{line:?}");
    Ok(child)
}

#[test]
fn cache_that_was_read_again_belongs_to_the_limit_and_cache_that_was_read_once_does_not()
-> Result<()> {
    if left_out(Right::Cgroups) {
        return Ok(());
    }
    for (times, cached) in [(1, 0), (3, SIZE)] {
        let file = format!("{}/advised-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        std::fs::write(&file, vec![1; usize::try_from(SIZE)?])?;
        // Whoever reads it first is charged.
        let opened = std::fs::File::open(&file)?;
        opened.sync_all()?;
        rustix::fs::fadvise(&opened, 0, None, rustix::fs::Advice::DontNeed)?;
        let group = Cgroup::new("cached")?;
        let mut shell = reading(&group, &file, times);
        std::fs::remove_file(&file)?;
        let made = advise(&group);
        if let Ok(shell) = &mut shell {
            drop(shell.stdin.take());
            shell.wait()?;
        }
        let (_, made) = (shell?, made?);
        let off = (made.hot_cache - cached).abs();
        ensure!(off <= 2 * MIB, "read {times} times: {} of {SIZE}", made.hot_cache);
    }
    Ok(())
}

#[test]
fn go_lives_with_the_limit_and_the_setting_that_are_advised() -> Result<()> {
    if left_out(Right::Cgroups) {
        return Ok(());
    }
    let toolchain = without_symbols()?.pop().context("no toolchain")?;
    let program = toolchain.build(Build::Stripped)?;
    let run = |group: &Cgroup, setting: Option<&str>| {
        let mut command = group.command(&program);
        let setting = setting.and_then(|setting| setting.split_once('='));
        Target::spawn(command.env("STEPS", "steady churn").envs(setting))
    };
    // A collection that was late leaves so much that nothing is said: then once more.
    let mut said = None;
    for _ in 0..16 {
        let free = Cgroup::new("unlimited")?;
        let target = run(&free, None)?;
        let made = advise(&free)?;
        drop(target);
        ensure!(made.settings.len() <= 1, "{:?}", made.settings);
        if let Some(setting) = made.settings.first().cloned() {
            said = Some((made, setting));
            break;
        }
    }
    let (made, setting) = said.context("no setting in 16 runs")?;
    ensure!(setting.set.starts_with("GOMEMLIMIT="), "{setting:?}");
    println!("limit {}, {}", made.limit, setting.set);

    let enough = limited(made.limit)?;
    let target = run(&enough, Some(&setting.set))?;
    assert_eq!(enough.events()?.oom_kills, 0);
    drop(target);
    Ok(())
}
