//! What a user is told in words, held against the kernel's own files: throttling at
//! `memory.high`, and more in use than a cgroup is charged for.

use anyhow::{Context, Result, anyhow, ensure};
use memgap_ledger::size::iec;
use memgap_tests::release::release;

use crate::findings::Findings;
use crate::group::Group;
use crate::kernel;
use crate::memgap::Report;
use crate::statistics::{self, NOISE};

/// `memory.high` of the throttled cgroup.
const HIGH: i64 = 60 << 20;

/// How often something is asked for that comes late: the kernel counts stalls every two
/// seconds.
const TRIES: usize = 16;

/// What the swapping program is allowed, of 40 MiB of small blocks.
const ALLOWED: i64 = 24 << 20;
/// What it has beside its heap, and what is swapped in again to look into it.
const OTHERS: i64 = 2 << 20;

/// Far from its limit, and waiting all the same.
pub fn throttled(group: &mut Group, findings: &mut Findings) -> Result<()> {
    group.set("memory.max", &(200i64 << 20).to_string())?;
    group.set("memory.high", &HIGH.to_string())?;
    // What is over memory.high has to wait, the longer the more it is.
    group.tell("anon heap 59\n anon over 4")?;
    // Nobody waits any more: once the kernel has counted all of it, the share only falls.
    let (before, report, after) = (0..TRIES)
        .find_map(|_| {
            let read = || Ok((last_ten(group)?, Report::of(&group.target())?, last_ten(group)?));
            let read: Result<_> = read();
            read.map(|read| (read.0 > 0.0 && read.0 >= read.2).then_some(read)).transpose()
        })
        .context("the kernel counts nobody who waited")??;

    let finding = report.finding("throttled")?;
    let text = |name: &str| finding[name].as_str().unwrap_or_default();
    let usage = group.usage()?;
    findings.near("usage", finding["bytes"].as_i64().context("bytes")?, usage, NOISE);
    let summary = format!("its processes are throttled at memory.high {}", iec(HIGH));
    ensure!(text("summary") == summary, "{finding}");
    let evidence: Vec<_> =
        finding["evidence"].as_array().into_iter().flatten().filter_map(|e| e.as_str()).collect();
    let times = field(&group.read("memory.events")?, "high")?;
    findings.figures.push(format!("{times} times"));
    ensure!(evidence.contains(&&*format!("throttled {times} times")), "{evidence:?}");

    // Nobody waits any more, so the share only falls.
    let share = evidence
        .iter()
        .find_map(|line| {
            line.strip_prefix("some process waited ")?.strip_suffix("% of the last 10 s")
        })
        .with_context(|| format!("no word of waiting: {evidence:?}"))?;
    let share: f64 = share.parse()?;
    findings.figures.push(format!("waited {share:.1} % ({after:.1}..{before:.1})"));
    let rounding = 0.05;
    ensure!(
        (after - rounding..=before + rounding).contains(&share),
        "waited {share} %, the kernel says {before}, then {after}"
    );
    ensure!((text("severity") == "critical") == (share >= 10.0), "{finding}");
    let sentence =
        format!("its processes were throttled {times} times at memory.high {}", iec(HIGH));
    let total = waited_for(group)?;
    let waited = format!("some waited for memory for {total:.1} s since it began");
    let said = |note: &str| note.starts_with(&sentence) && note.contains(&waited);
    ensure!(report.notes().any(said), "no note says: {sentence}; {waited}");
    // Nothing was killed, and room is up to the limit.
    ensure!(!report.notes().any(|note| note.contains("OOM")), "somebody was killed?");
    let room = report.headline("room")?;
    findings.inside("room", room, (200 << 20) - usage, NOISE + statistics::residual_bound()?);
    Ok(())
}

/// More is in use than the limit allows, because the rest is swapped out.
pub fn swapped_out(_: &mut Group, findings: &mut Findings) -> Result<()> {
    // The oldest kernel asks for each page by itself: emulated it is too slow for the bound
    // of time that a reading has.
    if release()? < (6, 0, 0) {
        findings.left_out = true;
        return Ok(());
    }
    let mut group = Group::running("swapping", &["/opt/malloc"], &[("STEPS", "steady cache")])?;
    group.add_report()?;
    group.set("memory.swap.max", "max")?;
    group.set("memory.max", &ALLOWED.to_string())?;
    // It works on: what its allocator needs comes back.
    group.say("")?;
    let line = group.add_report()?;
    let in_use = number(&line, "in_use=")?;
    let report = read_of(&group)?;
    let swapped = kernel::smaps(group.pid(), "Swap")?;
    let charged: i64 = group.read("memory.swap.current")?.trim().parse()?;

    findings.note("swapped", swapped);
    ensure!(swapped > in_use - ALLOWED - OTHERS, "only {swapped} are swapped out");
    let swap = report.headline("swap")?;
    findings.near("swap", swap.point, charged, OTHERS);
    let found = report.finding("swapped")?["bytes"].as_i64().context("bytes")?;
    findings.near("swapped", found, charged, OTHERS);

    let told = report.headline("in_use")?;
    findings.near("in use", told.point, in_use, in_use / 100);
    // Whether what a thread keeps for itself is in use is a matter of taste.
    findings.inside("in use", told, in_use, number(&line, "cached=")?);
    let usage = report.headline("usage")?.point;
    findings.near("usage", usage, group.usage()?, OTHERS);
    ensure!(told.point > usage && usage <= ALLOWED, "in use {}, usage {usage}", told.point);
    let why = report.gap("in_use", "usage")?;
    let part = why.split("; ").find_map(|part| part.strip_suffix(" swapped out"));
    let part = part.with_context(|| format!("nothing is swapped out: {why}"))?;
    findings.near("of it swapped out", bytes(part)?, swapped, OTHERS);
    ensure!(!why.contains("another cgroup"), "{why}");
    Ok(())
}

/// The report on a cgroup once heap statistics were read: a look into a program of an
/// emulated machine may run out of time.
fn read_of(group: &Group) -> Result<Report> {
    let mut report = Report::of(&group.target())?;
    for _ in 0..TRIES {
        if report.headline("in_use").is_ok() {
            break;
        }
        report = Report::of(&group.target())?;
    }
    Ok(report)
}

/// Share of the last ten seconds that some process waited for, in percent.
fn last_ten(group: &Group) -> Result<f64> {
    stall(group, "avg10=")
}

/// For how long some process waited, in seconds.
fn waited_for(group: &Group) -> Result<f64> {
    Ok(stall(group, "total=")? / 1e6)
}

/// A number of the first line of `memory.pressure`.
fn stall(group: &Group, name: &str) -> Result<f64> {
    let text = group.read("memory.pressure")?;
    let mut words = text.lines().next().into_iter().flat_map(str::split_whitespace);
    let found = words.find_map(|word| word.strip_prefix(name));
    Ok(found.with_context(|| format!("no {name} in {text:?}"))?.parse()?)
}

/// A word's number in a program's report.
fn number(line: &str, name: &str) -> Result<i64> {
    let found = line.split_whitespace().find_map(|word| word.strip_prefix(name));
    Ok(found.with_context(|| format!("no {name} in {line:?}"))?.parse()?)
}

/// A line of a file of names and numbers.
fn field(text: &str, name: &str) -> Result<i64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(key, _)| *key == name);
    Ok(found.with_context(|| format!("no {name} in {text:?}"))?.1.parse()?)
}

/// The bytes behind what people read, at the end of a text.
fn bytes(text: &str) -> Result<i64> {
    let unread = || anyhow!("{text:?} ends in no size");
    let mut words = text.split_whitespace().rev();
    let (unit, amount) = words.next().zip(words.next()).ok_or_else(unread)?;
    let scale = match unit {
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(unread()),
    };
    let amount: f64 = amount.parse()?;
    #[allow(clippy::cast_possible_truncation, reason = "a size with four digits")]
    Ok((amount * scale) as i64)
}
