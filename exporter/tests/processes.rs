//! The processes of the exporter: what each may, and what happens when one dies.

mod common;

use std::process::Command;
use std::time::Instant;

use common::daemon::{Daemon, EXPORTER, PATIENCE};
use common::samples;
use rustix::process::{Pid, Signal, kill_process};

const READER: &str = "memgap-reader";
const SERVER: &str = "memgap-server";

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::KILL).expect("it is the exporter's");
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not in time");
        std::thread::yield_now();
    }
}

/// The figure of the first family of that name.
fn figure(daemon: &Daemon, name: &str) -> f64 {
    samples(&daemon.families(), name).first().unwrap_or_else(|| panic!("no {name}")).value
}

#[test]
fn the_server_has_no_capability_and_gets_none() {
    let daemon = Daemon::ready(&[]);
    let status = |name| {
        let path = format!("/proc/{}/status", daemon.process(name));
        std::fs::read_to_string(path).expect("it runs")
    };
    let server = status(SERVER);
    for line in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(server.contains(&format!("{line}:\t0000000000000000\n")), "{server}");
    }
    assert!(server.contains("NoNewPrivs:\t1\n") && server.contains("Seccomp:\t2\n"), "{server}");
    let own = std::fs::read_to_string("/proc/self/status").expect("procfs is mounted");
    let effective = own.lines().find(|line| line.starts_with("CapEff:")).expect("a line");
    assert!(status(READER).contains(effective), "the reader has what the exporter was given");
}

#[test]
fn a_reader_that_dies_is_restarted_and_the_last_collection_served_meanwhile() {
    let daemon = Daemon::ready(&["--interval", "1s"]);
    let started = figure(&daemon, "memgap_exporter_reader_start_time_seconds");
    let old = daemon.process(READER);
    kill(old);
    assert_eq!(daemon.get("/metrics").status, 200);
    wait_until("a new reader collects", || {
        figure(&daemon, "memgap_exporter_reader_start_time_seconds") > started
    });
    assert_ne!(daemon.process(READER), old);
    assert!(figure(&daemon, "process_start_time_seconds") <= started);
}

#[test]
fn a_server_that_dies_is_restarted_at_its_address() {
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        free.local_addr().expect("its address").to_string()
    };
    let daemon = Daemon::ready(&["--interval", "1s", "--web.listen-address", &port]);
    let old = daemon.process(SERVER);
    kill(old);
    let listening = daemon.wait_for_line(&format!("address={port}"));
    assert!(listening.contains("listening"));
    wait_until("a new server has a collection", || daemon_at(&port).is_some());
    assert_ne!(daemon.process(SERVER), old);
}

/// What `/metrics` answers at an address, once it answers.
fn daemon_at(address: &str) -> Option<u16> {
    let stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let response = Daemon::ask_over(stream, "GET", "/metrics", "");
    (response.status == 200).then_some(response.status)
}

#[test]
fn the_children_end_with_the_process_that_was_started() {
    let daemon = Daemon::ready(&[]);
    let pids = daemon.pids();
    assert_eq!(pids.len(), 3);
    kill(pids[0]);
    // A process that ended and that nobody has waited for has no memory.
    let runs = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/statm")).is_ok_and(|s| !s.starts_with("0 "))
    };
    wait_until("they end", || !pids.iter().any(runs));
}

#[test]
fn what_one_process_can_not_do_ends_all() {
    for bad in [
        &["--path.procfs", "/no/such/directory"][..],
        &["--web.listen-address", "192.0.2.1:1"],
        &["--endpoint", "host=http://127.0.0.1:1/"],
    ] {
        let output = Command::new(EXPORTER)
            .args(["--web.listen-address", "127.0.0.1:0"])
            .args(bad)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.matches("Error: ").count(), 1, "{said}");
    }
}
