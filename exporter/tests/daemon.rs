//! The real binary, asked over HTTP.

mod common;

use std::io::{Read, Write};
use std::process::Command;
use std::time::Instant;

use common::daemon::Daemon;
use common::{Family, assert_closed, parse, promtool, samples};
use memgap_exporter::encode::Format;
use rustix::process::Signal;

const OPEN_METRICS: &str = "Accept: application/openmetrics-text;version=1.0.0\r\n";

#[test]
fn the_same_collection_is_served_in_every_form() {
    // One collection, so that every answer is of the same bytes.
    let daemon = Daemon::ready(&["--interval", "60m"]);
    let text = daemon.get("/metrics");
    assert_eq!(text.status, 200);
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(text.header("content-length"), text.body.len().to_string());
    assert_closed(&parse(&text.text(), Format::Text));
    promtool(&text.text());

    let gzip = daemon.ask("GET", "/metrics", "Accept-Encoding: gzip\r\n");
    assert_eq!(gzip.header("content-encoding"), "gzip");
    assert!(gzip.body.len() < text.body.len());
    assert_eq!(gzip.text(), text.text());

    let open = daemon.ask("GET", "/metrics", OPEN_METRICS);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), content_type);
    let families = parse(&open.text(), Format::OpenMetrics);
    assert_eq!(samples(&families, "process_cpu_seconds_total").len(), 1);
    let both = format!("{OPEN_METRICS}Accept-Encoding: gzip\r\n");
    assert_eq!(daemon.ask("GET", "/metrics", &both).text(), open.text());

    let head = daemon.ask("HEAD", "/metrics", "");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), text.header("content-length"));
}

#[test]
fn nothing_is_read_when_a_scraper_asks() {
    let daemon = Daemon::ready(&["--interval", "60m"]);
    let both = ["memgap-reader", "memgap-server"].map(|name| daemon.process(name));
    let supervisor = daemon.pids()[0];
    // The first answer may load what it needs.
    daemon.get("/metrics");
    let began = Instant::now();
    let before = both.map(Daemon::read_so_far);
    let (_, looks) = Daemon::read_so_far(supervisor);
    for _ in 0..50 {
        assert_eq!(daemon.get("/metrics").status, 200);
        assert_eq!(daemon.ask("GET", "/metrics", OPEN_METRICS).status, 200);
    }
    // Sockets are not in these figures, files of any file system are.
    assert_eq!(both.map(Daemon::read_so_far), before);
    // The supervisor looks by its own clock whether the reader lives, every two seconds, and
    // reads one file then: how many answers that is depends on the machine.
    let looks = Daemon::read_so_far(supervisor).1 - looks;
    let due = 1 + began.elapsed().as_secs() / 2;
    assert!(looks <= 8 * due, "{looks} reads, {due} looks");
}

#[test]
fn only_what_exists_is_answered_and_only_to_reads() {
    let daemon = Daemon::ready(&["--web.telemetry-path", "/m"]);
    for path in ["/m", "/healthz", "/readyz", "/"] {
        assert_eq!(daemon.get(path).status, 200, "{path}");
        let post = daemon.ask("POST", path, "Content-Length: 0\r\n");
        assert_eq!((post.status, post.header("allow")), (405, "GET,HEAD"), "{path}");
    }
    assert_eq!(daemon.get("/metrics").status, 404);
    let index = daemon.get("/").text();
    for link in ["\"/m\"", "\"/healthz\"", "\"/readyz\""] {
        assert!(index.contains(link), "{link}");
    }
}

#[test]
fn each_collection_tells_of_the_one_before() {
    let daemon = Daemon::ready(&["--interval", "100ms"]);
    let counted = || {
        let families = daemon.families();
        let scrapes = samples(&families, "memgap_exporter_scrapes_total");
        let ok = scrapes.iter().find(|s| s.label("code") == "200").map(|s| s.value);
        let allocated = samples(&families, "memgap_exporter_jemalloc_bytes")
            .iter()
            .find(|s| s.label("stat") == "allocated")
            .map(|s| s.value);
        (ok, allocated)
    };
    // The counters in an answer are as old as the collection.
    let (scrapes, allocated) =
        std::iter::repeat_with(counted).find(|(ok, _)| *ok >= Some(2.0)).expect("scrapes count");
    assert!(scrapes >= Some(2.0) && allocated > Some(0.0));
}

#[test]
fn walks_that_are_made_refused_and_skipped_are_reported() {
    // Large enough that a walk over it is expected to take more than a millisecond.
    let large = vec![1u8; 128 << 20];
    let reported = |args: &[&str]| {
        let every = ["--interval", "100ms", "--walk.min-bytes", "0", "--walk.cap", "1ms"];
        let daemon = Daemon::ready(&[&every, args].concat());
        // The figures of a collection are in the answers of the next.
        let answers = daemon.answers();
        let counted = |families: &[Family], stage: &str| {
            let seconds = samples(families, "memgap_exporter_collection_seconds_count");
            seconds.iter().any(|s| s.label("stage") == stage && s.value >= 2.0)
        };
        let found = { answers }.find(|f| counted(f, "encode")).expect("it goes on");
        let left_out = samples(&found, "memgap_exporter_walks_left_out_total");
        let of = |reason| left_out.iter().find(|s| s.label("reason") == reason).map(|s| s.value);
        let made = samples(&found, "memgap_exporter_walk_seconds_count").first().map(|s| s.value);
        let cpu = samples(&found, "memgap_exporter_cpu_seconds_total");
        assert_eq!(cpu.len(), 7);
        let walking = cpu.iter().find(|s| s.label("stage") == "walk").expect("a stage").value;
        assert!(walking > 0.0 && cpu.iter().all(|s| s.value >= 0.0));
        (made, of("over_cap"), of("over_budget"))
    };
    let (made, refused, _) = reported(&["--walk.budget", "1"]);
    assert!(made > Some(0.0) && refused > Some(0.0), "{made:?} made, {refused:?} refused");
    let (made, _, skipped) = reported(&["--walk.budget", "0"]);
    assert!(made.is_none() && skipped > Some(0.0), "{made:?} made, {skipped:?} skipped");
    assert_eq!(large.last(), Some(&1));
}

#[test]
fn statistics_are_read_as_far_as_their_budget_goes() {
    let reported = |budget: &str| {
        let daemon = Daemon::ready(&["--interval", "100ms", "--probe.budget", budget]);
        let mut answers = daemon.answers();
        let of = |families: &[Family], name: &str| {
            samples(families, name).iter().map(|s| s.value).sum::<f64>()
        };
        let skipped = "memgap_exporter_probes_skipped_total";
        let in_use = "memgap_process_group_runtime_in_use_bytes";
        let found = if budget == "0" {
            answers.find(|f| of(f, skipped) > 0.0)
        } else {
            answers.find(|f| of(f, in_use) > 0.0)
        };
        let found = found.expect("it goes on");
        (of(&found, in_use), of(&found, skipped))
    };
    assert!(reported("1").0 > 0.0);
    let (in_use, skipped) = reported("0");
    assert!(in_use == 0.0 && skipped > 0.0, "{in_use} in use, {skipped} skipped");
}

#[test]
fn every_family_has_its_line_in_the_docs() {
    let page = include_str!("../../docs/metrics.md");
    let daemon = Daemon::ready(&["--interval", "60m"]);
    for family in daemon.families() {
        assert!(page.contains(&format!("| `{}` |", family.name)), "{}", family.name);
    }
}

#[test]
fn it_stops_at_once_though_a_connection_is_idle() {
    for signal in [Signal::TERM, Signal::INT] {
        let daemon = Daemon::ready(&[]);
        let mut idle = daemon.connect();
        write!(idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("the request is taken");
        let mut first = [0; 12];
        idle.read_exact(&mut first).expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200");
        assert!(daemon.stop(signal).success());
    }
}

#[test]
fn a_bad_request_gets_an_answer_and_harms_nobody() {
    let daemon = Daemon::ready(&[]);
    for bad in ["\r\n\r\n", "GET\r\n\r\n", "\0\0\0\0\r\n\r\n", &"x".repeat(64 << 10)] {
        let mut stream = daemon.connect();
        // The server may hang up before it has read everything.
        let _ = stream.write_all(bad.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn an_address_in_use_is_said_so() {
    let daemon = Daemon::start(&[]);
    let output = Command::new(env!("CARGO_BIN_EXE_memgap-exporter"))
        .args(["--web.listen-address", &daemon.address])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains(&format!("can not listen on {}", daemon.address)), "{said}");
}
