//! Endpoints that the exporter asks: on threads of their own, beside the probes.
#![allow(clippy::float_cmp, reason = "whole numbers of bytes")]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use common::daemon::{Daemon, PATIENCE};
use common::{Family, samples};

/// How often an endpoint was asked with that outcome.
fn asked(families: &[Family], outcome: &str) -> f64 {
    let all = samples(families, "memgap_exporter_endpoint_scrapes_total");
    all.iter().find(|s| s.label("outcome") == outcome).map_or(0.0, |s| s.value)
}

/// A Go program's word, given to whoever asks on a free port of this machine.
fn serve_go(in_use: u64) -> String {
    serve(format!(
        "go_memstats_heap_inuse_bytes {in_use}\ngo_memstats_heap_idle_bytes 8192\n\
         go_memstats_heap_released_bytes 4096\n"
    ))
}

/// A text, given to whoever asks on a free port of this machine.
fn serve(text: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let _ = stream.read(&mut [0; 1024]);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length";
            let _ = write!(stream, "{head}: {}\r\n\r\n{text}", text.len());
        }
    });
    format!("http://{address}/metrics")
}

#[test]
fn what_an_endpoint_tells_is_in_use_of_its_process() {
    let url = serve_go(123 << 20);
    let named = format!("{}={url}", std::process::id());
    let daemon = Daemon::ready(&["--interval", "100ms", "--endpoint", &named]);
    let reported = |families: &Vec<Family>| {
        let in_use = samples(families, "memgap_process_group_runtime_in_use_bytes");
        in_use.iter().any(|s| s.label("runtime") == "go" && s.value == f64::from(123 << 20))
    };
    let found = daemon.answers().find(|f| reported(f) && asked(f, "ok") > 0.0).expect("it goes on");
    assert!(samples(&found, "memgap_exporter_endpoint_unmatched_total").is_empty());
    for status in daemon.threads("endpoint") {
        assert!(status.contains("CapEff:\t0000000000000000\nCapBnd"), "{status}");
    }
}

#[test]
fn who_does_not_answer_holds_nothing_up() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", silent.local_addr().expect("its address"));
    let nobody = format!("no-such-process={}", serve_go(1 << 20));
    let named = format!("{}={url}", std::process::id());
    let args = ["--interval", "100ms", "--endpoint", &named, "--endpoint", &nobody];
    let daemon = Daemon::ready(&args);
    let collections = |families: &[Family]| {
        let counts = samples(families, "memgap_exporter_collection_seconds_count");
        counts.iter().find(|s| s.label("stage") == "encode").map_or(0.0, |s| s.value)
    };
    let found = daemon.answers().find(|f| collections(f) >= 5.0).expect("it goes on");
    // It waits for its first answer yet, or gave up on it.
    assert!(samples(&found, "memgap_exporter_endpoint_scrapes_total").len() <= 2);
    assert!(samples(&found, "memgap_exporter_endpoint_unmatched_total").len() == 1);
    drop(silent);
}

#[test]
fn both_sources_are_compared() {
    // The allocator of an exporter's reader is read by a probe and tells of itself.
    let other = Daemon::ready(&["--interval", "60m"]);
    let families = other.families();
    let stats = samples(&families, "memgap_exporter_jemalloc_bytes");
    let reported = stats.iter().find(|s| s.label("stat") == "allocated").expect("told").value;
    // Without the figures of all its processes together, which are not the reader's.
    let text = other.get("/metrics").text();
    let own = text.lines().filter(|line| line.contains("memgap_exporter_jemalloc_bytes"));
    let own = own.collect::<Vec<_>>().join("\n") + "\n";
    let named = format!("{}={}", other.process("memgap-reader"), serve(own));
    // On a machine with many programs this one is among the largest by no means, nor is
    // its turn soon.
    let all = ["--process-groups", "1000", "--probe.budget", "1"];
    let args = [&["--interval", "100ms", "--endpoint", &named][..], &all].concat();
    let daemon = Daemon::ready(&args);
    let of = |families: &[Family], name: &str| {
        let all = samples(families, &format!("memgap_process_group_runtime_{name}_bytes"));
        let mut jemalloc = all.iter().filter(|s| s.label("runtime") == "jemalloc");
        jemalloc.find(|s| s.label("group").starts_with("memgap-reader")).map(|s| s.value)
    };
    let found = daemon
        .answers()
        .find(|families| of(families, "endpoint_difference").is_some())
        .expect("it goes on");
    let difference = of(&found, "endpoint_difference").expect("found");
    assert!(difference.abs() < reported, "{difference} of {reported}");
}

#[test]
fn what_can_not_be_asked_is_said_at_once() {
    for (bad, why) in [
        ("api", "give TARGET=URL"),
        ("=http://127.0.0.1/", "give TARGET=URL"),
        ("api=https://127.0.0.1/", "TLS is not spoken"),
        ("api=http://example.org/", "names are not resolved"),
        ("host=http://127.0.0.1/", "name the process"),
        ("pod/=http://127.0.0.1/", "is no target"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_memgap-exporter"))
            .args(["--web.listen-address", "127.0.0.1:0", "--endpoint", bad])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{bad}: {said}");
    }
}

#[test]
fn pods_are_asked_for_on_this_machine_only() {
    for (bad, why) in [
        ("http://10.0.0.1:8001/api/v1/pods", "name a proxy on this machine"),
        ("https://127.0.0.1/api/v1/pods", "TLS is not spoken"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_memgap-exporter"))
            .args(["--web.listen-address", "127.0.0.1:0", "--endpoint.pods", bad])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{bad}: {said}");
    }
}
