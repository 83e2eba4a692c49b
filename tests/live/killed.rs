//! Why something was killed, after kills by the kernel: by whose limit, and what held the
//! memory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use memgap_ledger::oom::{OomKill, Short};
use memgap_ledger::post_mortem::PostMortem;
use memgap_reader::{Reader, Roots, post_mortem};
use memgap_tests::cgroup::{Cgroup, Version};
use memgap_tests::rights::{Need, left_out};
use memgap_tests::room::actor::Actor;

const MIB: u64 = 1 << 20;
/// What processes and their kernel memory take beside what they are told to.
const BESIDE: u64 = 24 * MIB;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_vm-guest"))
}

fn limited(group: &Cgroup, mib: u64) -> Result<()> {
    group.limit(Some(mib * MIB))?;
    group.swap_limit(0)
}

fn ask(target: &str) -> Result<PostMortem> {
    let reader = Reader::open(Roots::default())?;
    Ok(post_mortem(&reader, &target.parse()?)?)
}

fn ask_of(group: &Cgroup) -> Result<PostMortem> {
    ask(&format!("cgroup:{}", group.path()))
}

/// Makes the situation again where the kernel left the report out, as it does where others
/// are killed at the same time.
fn reported(mut situation: impl FnMut() -> Result<PostMortem>) -> Result<(PostMortem, OomKill)> {
    for _ in 0..8 {
        let found = situation()?;
        println!("{}\n  {:?}", found.verdict(), found.notes());
        let kill = found.kills.first().context("the kill is in the kernel's log")?.clone();
        ensure!(found.ago(&kill) < Duration::from_mins(2), "{:?}", found.ago(&kill));
        ensure!(kill.short == Short::Cgroup, "{kill:?}");
        if kill.report.is_some() {
            println!("  {:?}\n  not {:?}\n  {:?}", kill.held(), kill.was_not(), kill.advice());
            return Ok((found, kill));
        }
        // As long as the kernel counts kills that follow each other.
        std::thread::sleep(Duration::from_secs(6));
    }
    bail!("the kernel left eight reports out")
}

/// Parts add up to what was used, which was the limit.
fn closes(kill: &OomKill, limit: u64) -> Result<()> {
    let report = kill.report.as_ref().context("a report")?;
    ensure!(report.limit == Some(limit), "{report:?}");
    let used = report.usage.context("usage is told")?;
    ensure!(used <= limit && limit - used < 4 * MIB, "{used} of {limit}");
    let sum: u64 = kill.held().iter().map(|(_, bytes)| bytes).sum();
    ensure!(sum.abs_diff(used) <= 8 * MIB, "{sum} of {used}: {:?}", kill.held());
    Ok(())
}

#[test]
fn several_in_a_container_meet_its_own_limit() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let situation = || {
        let group = Cgroup::new("killed-own")?;
        limited(&group, 96)?;
        let mut first = Actor::start(program(), &group)?;
        first.tell("anon it 24")?;
        let mut second = Actor::start(program(), &group)?;
        ensure!(!second.attempt("anon it 120")?, "it lives");
        let found = ask_of(&group)?;
        ensure!(found.is_there && found.most_counted() == 1, "{:?}", found.counted);
        Ok(found)
    };
    let (found, kill) = reported(situation)?;
    closes(&kill, 96 * MIB)?;
    let report = kill.report.as_ref().context("a report")?;
    ensure!(!report.is_ancestors() && report.limit_of == report.task_cgroup, "{report:?}");
    ensure!(report.task_count == 2 && report.tasks[0].pid == kill.pid, "{:?}", report.tasks);
    ensure!(kill.held()[0].0 == "anonymous memory", "{:?}", kill.held());
    ensure!((40 * MIB..96 * MIB).contains(&kill.anon), "{}", kill.anon);
    ensure!(
        found.verdict().contains("the limit of 96.0 MiB of its own cgroup"),
        "{}",
        found.verdict()
    );
    ensure!(kill.advice()[0].starts_with("vm-guest had most of it"), "{:?}", kill.advice());
    // The process and its cgroup are gone, and are asked about by name.
    let gone = ask(&kill.pid.to_string())?;
    ensure!(!gone.is_there && gone.kills[0].pid == kill.pid, "{gone:?}");
    let gone = ask(&format!("cgroup:{}", report.task_cgroup.as_deref().context("its cgroup")?))?;
    ensure!(!gone.is_there && gone.kills.len() == 1 && gone.counted.is_empty(), "{gone:?}");
    ensure!(ask("vm-guest")?.kills.iter().any(|other| other.pid == kill.pid));
    ensure!(ask("host")?.kills.iter().any(|other| other.pid == kill.pid));
    Ok(())
}

#[test]
fn the_limit_of_a_parent_kills_a_childs_process() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let mut paths = None;
    let situation = || {
        let pod = Cgroup::new("killed-pod")?;
        limited(&pod, 96)?;
        let (own, beside) = (pod.child("own")?, pod.child("beside")?);
        limited(&own, 512)?;
        let mut sidecar = Actor::start(program(), &beside)?;
        sidecar.tell("anon it 30")?;
        let mut main = Actor::start(program(), &own)?;
        ensure!(!main.attempt("anon it 120")?, "it lives");
        let (found, others) = (ask_of(&own)?, ask_of(&beside)?);
        ensure!(others.kills.is_empty() && others.most_counted() == 0, "{others:?}");
        ensure!(others.verdict().starts_with("no OOM kill of cgroup:"), "{}", others.verdict());
        let of_pod = ask_of(&pod)?;
        ensure!(of_pod.kills.len() + of_pod.unplaced > 0, "{of_pod:?}");
        let met = found.counted[1].limit_met.as_ref().is_ok_and(|n| *n > 0);
        ensure!(met || pod.version() == Version::V1 || found.counted[1].limit_met.is_err());
        paths = Some((pod.path().to_owned(), own.path().to_owned()));
        // In the order in which they must go.
        drop((main, sidecar, beside, own));
        Ok(found)
    };
    let (found, kill) = reported(situation)?;
    closes(&kill, 96 * MIB)?;
    let report = kill.report.as_ref().context("a report")?;
    let (pod, own) = paths.context("it was made")?;
    ensure!(report.limit_of.as_deref() == Some(&*pod), "{report:?}");
    ensure!(kill.cgroup() == Some(&*own), "{report:?}");
    let said = found.verdict();
    ensure!(said.contains(&format!("of {pod}, above its own cgroup")), "{said}");
    ensure!(
        kill.was_not().iter().any(|not| not.contains("its own cgroup")),
        "{:?}",
        kill.was_not()
    );
    ensure!(kill.advice().iter().any(|do_it| do_it.contains(&pod)), "{:?}", kill.advice());
    Ok(())
}

/// Files on a tmpfs that are removed whatever happens.
struct Filled(PathBuf);

impl Drop for Filled {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn who_is_killed_for_files_of_a_tmpfs_held_nothing() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let situation = || {
        let file = Filled(PathBuf::from(format!("/dev/shm/memgap-killed-{}", std::process::id())));
        let group = Cgroup::new("killed-tmpfs")?;
        limited(&group, 96)?;
        let mut filler = Actor::start(program(), &group)?;
        filler.tell(&format!("fill {} 80", file.0.display()))?;
        drop(filler);
        let mut victim = Actor::start(program(), &group)?;
        ensure!(!victim.attempt("anon it 40")?, "it lives");
        ask_of(&group)
    };
    let (_, kill) = reported(situation)?;
    closes(&kill, 96 * MIB)?;
    let (most, bytes) = kill.held()[0];
    ensure!(most == "tmpfs and other shared memory", "{:?}", kill.held());
    // Kernels of v2 are some pages a processor behind.
    ensure!((79 * MIB..96 * MIB).contains(&bytes), "{bytes}");
    ensure!(kill.bytes() < BESIDE, "{kill:?}");
    let not = kill.was_not();
    ensure!(not.iter().any(|not| not.starts_with("the process that was killed")), "{not:?}");
    ensure!(
        kill.advice()[0].contains("no kill gives back files of a tmpfs"),
        "{:?}",
        kill.advice()
    );
    Ok(())
}

#[test]
fn who_was_not_killed_is_said_to_be_so() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("killed-not")?;
    limited(&group, 64)?;
    let mut actor = Actor::start(program(), &group)?;
    actor.tell("anon it 24")?;
    let found = ask_of(&group)?;
    ensure!(found.is_there && found.kills.is_empty() && found.most_counted() == 0, "{found:?}");
    ensure!(found.log.is_ok(), "{:?}", found.log);
    ensure!(found.verdict().contains("is known since"), "{}", found.verdict());
    Ok(())
}
