//! Clients that take what they can, and others that are served beside them.

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use common::daemon::{Daemon, EXPORTER, PATIENCE};
use common::network::{Network, SERVER};
use common::{Family, samples};
use memgap_tests::rights::{Need, left_out};

const ATTACKER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const SCRAPER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";

/// An exporter at an address of a network of its own.
struct Target {
    network: Network,
    daemon: Daemon,
}

impl Target {
    fn start(by: &mut Command) -> Self {
        let network = Network::enter();
        let everywhere = format!("{SERVER}:0");
        let daemon =
            Daemon::start_by(by, &["--web.listen-address", &everywhere, "--interval", "1s"]);
        daemon.wait_for_line("ready");
        Self { network, daemon }
    }

    fn address(&self) -> SocketAddr {
        self.daemon.address.parse().expect("an address")
    }

    fn connect(&self, from: Ipv4Addr) -> TcpStream {
        self.network.connect(from, self.address()).expect("the exporter accepts")
    }

    fn status(&self, from: Ipv4Addr, path: &str) -> u16 {
        Daemon::ask_over(self.connect(from), "GET", path, "").status
    }

    /// Whether all others are served, and this machine's own too.
    fn assert_serves_others(&self) {
        for _ in 0..20 {
            assert_eq!(self.status(SCRAPER, "/metrics"), 200);
            assert_eq!(self.status(SCRAPER, "/healthz"), 200);
            assert_eq!(self.status(SERVER, "/healthz"), 200);
        }
    }

    /// Waits until a figure about itself, all label sets together, is above 0.
    fn wait_for(&self, name: &str) {
        let mut answers = self.daemon.answers();
        let counted = |f: &Vec<Family>| samples(f, name).iter().any(|s| s.value > 0.0);
        assert!(answers.any(|families| counted(&families)), "{name} stays 0");
    }
}

#[test]
fn idle_connections_of_one_client_leave_room_for_others() {
    if left_out(Need::Mounts) {
        return;
    }
    let target = Target::start(&mut Command::new(EXPORTER));
    let idle: Vec<_> = (0..400)
        .map(|_| {
            let mut stream = target.connect(ATTACKER);
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("it is taken");
            let mut first = [0; 12];
            stream.read_exact(&mut first).expect("every one is served");
            assert_eq!(&first, b"HTTP/1.1 200");
            stream
        })
        .collect();
    target.assert_serves_others();
    // Its own idle connections make room for its next.
    assert_eq!(target.status(ATTACKER, "/metrics"), 200);
    drop(idle);
}

#[test]
fn connections_that_send_nothing_or_too_little_leave_room_for_others() {
    if left_out(Need::Mounts) {
        return;
    }
    let target = Target::start(&mut Command::new(EXPORTER));
    let silent: Vec<_> = (0..400)
        .map(|number| {
            let mut stream = target.connect(ATTACKER);
            let _ = stream.write_all(&METRICS[..number % METRICS.len()]);
            stream
        })
        .collect();
    target.assert_serves_others();
    drop(silent);
}

#[test]
fn clients_that_do_not_read_leave_room_for_others() {
    if left_out(Need::Mounts) {
        return;
    }
    let target = Target::start(&mut Command::new(EXPORTER));
    let slow: Vec<_> = (0..193)
        .map(|_| {
            let mut stream = target.connect(ATTACKER);
            // So many answers that no kernel buffer holds them.
            let _ = stream.write_all(&METRICS.repeat(200));
            stream
        })
        .collect();
    target.assert_serves_others();
    assert_eq!(target.status(ATTACKER, "/healthz"), 200);
    // Their places come back once they have proved slow.
    let end = Instant::now() + PATIENCE;
    while target.status(ATTACKER, "/metrics") != 200 {
        assert!(Instant::now() < end, "slow clients keep their places");
    }
    target.wait_for("memgap_exporter_connections_overflowed_total");
    drop(slow);
}

#[test]
fn clients_of_many_addresses_leave_health_and_this_machine_s_own_served() {
    if left_out(Need::Mounts) {
        return;
    }
    let target = Target::start(&mut Command::new(EXPORTER));
    let mut slow = Vec::new();
    for host in 0..20 {
        for _ in 0..4 {
            let mut stream = target.connect(Ipv4Addr::new(10, 9, 1, host));
            let _ = stream.write_all(&METRICS.repeat(200));
            slow.push(stream);
        }
    }
    for _ in 0..20 {
        assert_eq!(target.status(SCRAPER, "/healthz"), 200);
        let scrape = Daemon::ask_over(target.connect(SCRAPER), "GET", "/metrics", "");
        if scrape.status != 200 {
            assert_eq!((scrape.status, scrape.header("retry-after")), (503, "1"));
        }
        assert_eq!(target.status(SERVER, "/metrics"), 200);
    }
    drop(slow);
}

#[test]
fn a_scrape_is_answered_though_descriptors_run_out() {
    if left_out(Need::Mounts) {
        return;
    }
    // What it needs to collect, and few more.
    let mut limited = Command::new("prlimit");
    limited.args(["--nofile=64:64", EXPORTER]);
    let target = Target::start(&mut limited);
    let idle: Vec<_> =
        (0..400).map(|_| target.network.connect(ATTACKER, target.address())).collect();
    target.assert_serves_others();
    target.wait_for("memgap_exporter_accept_failures_total");
    drop(idle);
}
