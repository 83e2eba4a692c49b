//! An exporter in a cgroup of its own that has little memory, beside many processes.

mod common;

use std::fs::File;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use common::daemon::{Daemon, EXPORTER, PATIENCE};
use common::{Family, assert_closed, samples};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::rights::{Need, left_out};
use rustix::fs::{MemfdFlags, memfd_create};

const MIB: u64 = 1 << 20;

/// More than what it takes beside so many, by so much that it is far from it without what is held.
const LITTLE: u64 = 40 * MIB;
/// What more of it is taken at a time: less than what is left of it when something is given up.
const STEP: u64 = 2 * MIB;
const PROCESSES: usize = 100;
const CGROUPS: usize = 10;

/// A document of the API's.
const HOST: &str = "/api/v1/host";

/// Many small processes in some cgroups, gone with the value.
struct Many {
    kids: Vec<Child>,
    cgroups: Vec<Cgroup>,
}

impl Many {
    fn start() -> Self {
        let made = (0..CGROUPS).map(|_| Cgroup::new("many").expect("a cgroup"));
        let cgroups: Vec<_> = made.collect();
        let mut many = Self { kids: Vec::with_capacity(PROCESSES), cgroups };
        for nth in 0..PROCESSES {
            let kid = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn();
            let kid = kid.expect("it starts");
            many.cgroups[nth % CGROUPS].admit(kid.id()).expect("it moves");
            many.kids.push(kid);
        }
        many
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        for kid in &mut self.kids {
            let _ = kid.kill();
        }
        for kid in &mut self.kids {
            let _ = kid.wait();
        }
    }
}

fn one(families: &[Family], name: &str) -> Option<f64> {
    samples(families, name).first().map(|sample| sample.value)
}

/// How many collections were made.
fn collections(families: &[Family]) -> f64 {
    let counts = samples(families, "memgap_exporter_collection_seconds_count");
    counts.iter().find(|s| s.label("stage") == "encode").map_or(0.0, |s| s.value)
}

/// Adds memory that is charged to a cgroup as long as the file is held.
fn hold(cgroup: &Cgroup, held: &mut File) {
    let _inside = cgroup.enter().expect("the test enters it");
    io::copy(&mut io::repeat(1).take(STEP), held).expect("there is room");
}

/// Waits until some answer is as it should be.
fn wait_for(daemon: &Daemon, what: &str, is_it: impl Fn(&[Family]) -> bool) -> Vec<Family> {
    let end = Instant::now() + PATIENCE;
    loop {
        let families = daemon.families();
        if is_it(&families) {
            return families;
        }
        assert!(Instant::now() < end, "never {what}");
    }
}

#[test]
fn with_little_memory_it_gives_things_up_and_says_so_and_lives() {
    if left_out(Need::Cgroups) {
        return;
    }
    let _many = Many::start();
    let own = Cgroup::new("little").expect("a cgroup");
    own.limit(Some(LITTLE)).expect("it is limited");
    let options =
        ["--interval=100ms", "--probe.budget=0.1", "--web.api", "--web.api-max-bytes=1048576"];
    let daemon = Daemon::start_by(&mut own.command(EXPORTER), &options);
    daemon.wait_for_line("ready");
    assert_eq!(daemon.get(HOST).status, 200);

    let is_known = |f: &[Family]| one(f, "memgap_exporter_cgroup_used_bytes").is_some();
    let families = wait_for(&daemon, "says what it uses", is_known);
    let limit = one(&families, "memgap_exporter_cgroup_limit_bytes");
    assert_eq!(limit, Some(LITTLE as f64));
    let mut families = wait_for(&daemon, "has collected often", |f| collections(f) >= 10.0);
    let used = one(&families, "memgap_exporter_cgroup_used_bytes").expect("it is limited");
    assert!(used > 0.0 && used < LITTLE as f64, "{used}");
    let open_before = one(&families, "process_open_fds").expect("it is known");
    assert!(open_before > PROCESSES as f64, "{open_before} files are open");

    let mut held = File::from(memfd_create("held", MemfdFlags::CLOEXEC).expect("memory"));
    while one(&families, "memgap_exporter_degraded") == Some(0.0) {
        hold(&own, &mut held);
        let before = collections(&families);
        families = wait_for(&daemon, "collects", |f| collections(f) > before);
    }
    daemon.wait_for_line("too little memory: ");
    let before = collections(&families);
    let after = wait_for(&daemon, "goes on", |f| collections(f) >= before + 10.0);
    assert_closed(&after);
    let refused = daemon.get(HOST);
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("too little memory"), "{}", refused.text());
    let open = one(&after, "process_open_fds").expect("it is known");
    assert!(open < open_before - PROCESSES as f64, "{open} of {open_before} files are open");

    // With memory again it takes a step back by and by.
    drop(held);
    daemon.wait_for_line("there is memory again: ");
    assert_eq!(own.events().expect("they are counted").oom_kills, 0);
    assert_eq!(daemon.pids().len(), 3);
}
