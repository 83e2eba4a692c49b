//! Processes that wait for a file server which does not answer, and the exporter beside them.

mod common;

use std::time::{Duration, Instant};

use common::daemon::{Daemon, PATIENCE};
use common::{Family, samples};
use memgap_tests::procfs::Procfs;
use memgap_tests::rights::{Need, left_out};
use memgap_tests::target::{Target, compiled};
use rustix::process::{Pid, Signal, kill_process};

/// How long the exporter may take to end.
const END: Duration = Duration::from_secs(10);

const ARGS: &[&str] = &["--interval", "500ms", "--process-pids", "--probe.budget", "1"];

/// A server that takes requests and answers none, and the pids of those who wait for it.
fn hung() -> (Target, Vec<u32>) {
    let mut target = Target::start("hung").expect("FUSE is there");
    let pid = |name| target.holds(name).expect("it says").try_into().expect("a pid");
    let waiting = ["map", "first", "second"].map(pid).to_vec();
    target.step().expect("it stops to answer");
    (target, waiting)
}

/// The same of six processes of one user who hold their memory maps.
fn held() -> (Target, Vec<u32>) {
    let mut target =
        Target::run(&compiled("hung").expect("cc"), &[("HOLDERS", "1")]).expect("FUSE is there");
    let pid = |name| target.holds(name).expect("it says").try_into().expect("a pid");
    let waiting = ["first", "second", "third", "fourth", "fifth", "sixth"].map(pid).to_vec();
    target.step().expect("it stops to answer");
    (target, waiting)
}

/// Waits for an answer of which that holds; every other one must be of a collection too.
fn wait_for(daemon: &Daemon, what: &str, holds: impl Fn(&[Family]) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = daemon.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        if holds(&common::parse(&answer.text(), memgap_exporter::encode::Format::Text)) {
            return;
        }
        assert!(Instant::now() < end, "{what}: not in time");
        std::thread::yield_now();
    }
}

fn sum(families: &[Family], name: &str) -> f64 {
    samples(families, name).iter().map(|sample| sample.value).sum()
}

fn is(figure: f64, number: f64) -> bool {
    figure.to_bits() == number.to_bits()
}

/// Resident bytes of a process.
fn rss(families: &[Family], pid: u32) -> f64 {
    let of = samples(families, "memgap_process_rss_bytes");
    let of = of.iter().find(|sample| sample.label("pid") == pid.to_string());
    of.map_or(0.0, |sample| sample.value)
}

fn is_stuck(families: &[Family], name: &str) -> bool {
    let stuck = samples(families, "memgap_exporter_stuck_targets");
    stuck.iter().any(|sample| sample.label("name") == name && is(sample.value, 1.0))
}

/// Whether both kinds are named: of the programs one only, for they have one file system.
fn are_stuck(families: &[Family]) -> bool {
    is_stuck(families, "hung-map")
        && is_stuck(families, "hung-program")
        && is(sum(families, "memgap_exporter_workers_stuck"), 2.0)
}

/// Whether a process runs, or has ended and is not gone.
fn exists(pid: u32) -> bool {
    std::fs::exists(format!("/proc/{pid}")).expect("procfs is mounted")
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::KILL).expect("it is the exporter's");
}

#[test]
fn a_file_server_that_does_not_answer_takes_the_figures_of_nobody_else() {
    if left_out(Need::Mounts) {
        return;
    }
    let (hung, waiting) = hung();
    let mut healthy = Target::start("ballast").expect("it starts");
    let pids = waiting.into_iter().chain([hung.pid(), healthy.pid()]);
    let procfs = Procfs::with(pids).expect("it is ours");
    let place = format!("--path.procfs={}", procfs.path().display());
    let args = [ARGS, &[place.as_str()]].concat();
    let daemon = Daemon::ready(&args);
    wait_for(&daemon, "those who do not answer are named", are_stuck);
    // Others are read as ever.
    let mut taken = 0;
    while taken == 0 {
        healthy.step().expect("it takes memory");
        taken = healthy.holds("touched").expect("it says");
    }
    let is_fresh =
        |families: &[Family]| rss(families, healthy.pid()) >= taken as f64 && are_stuck(families);
    wait_for(&daemon, "others are fresh", is_fresh);

    // A reader that can not be ended is replaced.
    let old = daemon.process("memgap-reader");
    let started = |families: &[Family]| sum(families, "memgap_exporter_reader_start_time_seconds");
    let first = started(&daemon.families());
    kill(old);
    let end = Instant::now() + PATIENCE;
    while started(&daemon.families()) <= first {
        assert!(Instant::now() < end, "no other reader is started");
    }
    assert!(exists(old), "somebody could end it: the test tests nothing");
    wait_for(&daemon, "the new one names them too", are_stuck);

    // What is left of it keeps neither the port nor the figures.
    let (address, pids) = (daemon.address.clone(), daemon.pids());
    let began = Instant::now();
    assert!(daemon.stop(Signal::TERM).success());
    assert!(began.elapsed() < END, "it took {:?}", began.elapsed());
    let next = Daemon::ready(&[&args[..], &["--web.listen-address", &address]].concat());
    wait_for(&next, "another exporter names them too", are_stuck);
    drop(next);

    drop(hung);
    let end = Instant::now() + PATIENCE;
    while pids.iter().copied().chain([old]).any(exists) {
        assert!(Instant::now() < end, "they wait for what has ended");
        std::thread::yield_now();
    }
}

/// Heap statistics of a process: what its malloc says is in use.
fn in_use(families: &[Family], pid: u32) -> f64 {
    let of = samples(families, "memgap_process_ledger_bytes");
    let of = of.iter().filter(|sample| sample.label("pid") == pid.to_string());
    let is_known = |sample: &&&common::Sample| sample.label("account") == "heap_in_use";
    of.filter(is_known).map(|sample| sample.value).sum()
}

#[test]
fn one_user_does_not_keep_all_workers_waiting() {
    if left_out(Need::Mounts) {
        return;
    }
    let (held, waiting) = held();
    let mut healthy = Target::start("ballast").expect("it starts");
    let pids = waiting.into_iter().chain([held.pid(), healthy.pid()]);
    let procfs = Procfs::with(pids).expect("it is ours");
    let place = format!("--path.procfs={}", procfs.path().display());
    let daemon = Daemon::ready(&[ARGS, &[place.as_str()]].concat());
    let are_two = |families: &[Family]| {
        let stuck = samples(families, "memgap_exporter_stuck_targets");
        stuck.iter().any(|one| one.label("name") == "nobodys-map" && is(one.value, 2.0))
            && is(sum(families, "memgap_exporter_workers_stuck"), 2.0)
    };
    wait_for(&daemon, "two of them are waited for", are_two);
    // Everybody else is walked, and his heap statistics are read: time and again.
    let mut taken = 0;
    while taken == 0 {
        healthy.step().expect("it takes memory");
        taken = healthy.holds("touched").expect("it says");
    }
    let walks = |families: &[Family]| sum(families, "memgap_exporter_walk_seconds_count");
    let before = walks(&daemon.families());
    let is_read = |families: &[Family]| {
        walks(families) > before && in_use(families, healthy.pid()) > 0.0 && are_two(families)
    };
    wait_for(&daemon, "a healthy process of another user is read", is_read);
}
