//! What the real binary pushes is what it serves, and who takes it badly harms nobody.
#![allow(clippy::float_cmp, reason = "they are the same figure twice")]

#[path = "common/collector.rs"]
mod collector;
mod common;
#[path = "common/pushed.rs"]
mod pushed;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use collector::{Collector, say};
use common::daemon::{Daemon, EXPORTER, PATIENCE};
use common::{Family, parse, samples};
use memgap_exporter::encode::Format;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, metric, number_data_point};
use prost::Message;
use pushed::{Series, decoded, pushed, text_of};

/// A captured node, which costs little to read.
const NODE: [&str; 3] = [
    concat!("--path.procfs=", env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/kubernetes/proc"),
    concat!(
        "--path.cgroupfs=",
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/kubernetes/sys/fs/cgroup"
    ),
    concat!(
        "--path.container-logs=",
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/kubernetes/var/log/containers"
    ),
];

fn on_node(args: &[&str]) -> Daemon {
    Daemon::ready(&[&NODE, args].concat())
}

/// The series of what was scraped.
fn scraped(families: &[Family]) -> Series {
    let all = families.iter().flat_map(|family| &family.samples);
    all.map(|sample| {
        let mut labels = sample.labels.clone();
        labels.sort();
        ((sample.name.clone(), labels), sample.value)
    })
    .collect()
}

fn assert_same(pushed: &Series, scraped: &Series) {
    for (series, value) in scraped {
        assert_eq!(pushed.get(series), Some(value), "{series:?}");
    }
    assert_eq!(pushed.len(), scraped.len());
}

fn nanos(families: &[Family], name: &str) -> u64 {
    let value = samples(families, name).first().expect("a sample").value;
    Duration::from_secs_f64(value).as_nanos().try_into().expect("in this age")
}

#[test]
fn every_series_is_that_of_the_same_collection() {
    let collector = Collector::that_takes_all();
    let path = std::env::temp_dir().join(format!("memgap-otlp-{}", std::process::id()));
    std::fs::write(&path, "Authorization: Bearer secret\n").expect("a scratch file");
    let file = format!("--otlp.headers-file={}", path.display());
    let endpoint = collector.endpoint();
    let more = ["--otlp.header=X-Tenant=a", "--otlp.resource=k8s.node.name=worker"];
    // One collection, so that both tell of the same one.
    let daemon = on_node(&[&["--interval=60m", &endpoint, &file][..], &more].concat());
    let request = collector.next();
    std::fs::remove_file(&path).expect("it was written");
    assert_eq!(request.line, "POST /v1/metrics HTTP/1.1");
    for (name, value) in [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "gzip"),
        ("host", &format!("127.0.0.1:{}", collector.port)),
        ("authorization", "Bearer secret"),
        ("x-tenant", "a"),
    ] {
        assert_eq!(request.headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    let families = parse(&daemon.get("/metrics").text(), Format::Text);
    let message = decoded(&request);
    assert_eq!(message.resource_metrics.len(), 1);
    let of_resource = &message.resource_metrics[0];
    assert_eq!(of_resource.scope_metrics.len(), 1);
    let metrics = &of_resource.scope_metrics[0].metrics;
    assert_same(&pushed(metrics), &scraped(&families));

    let resource = of_resource.resource.as_ref().expect("a resource");
    let attributes: BTreeMap<_, _> =
        resource.attributes.iter().map(|pair| (pair.key.as_str(), text_of(pair))).collect();
    let of = |name: &str| attributes.get(name).map(String::as_str);
    assert_eq!(of("service.name"), Some("memgap-exporter"));
    assert_eq!(of("service.version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(of("k8s.node.name"), Some("worker"));
    assert!(of("service.instance.id").is_some());
    // It is not this machine that is told of.
    assert_eq!(of("host.name"), None);
    assert_described(metrics, &families);
}

/// Names, texts, units and times.
fn assert_described(metrics: &[Metric], families: &[Family]) {
    assert_eq!(metrics.len(), families.len());
    let reader = nanos(families, "memgap_exporter_reader_start_time_seconds");
    let server = nanos(families, "memgap_exporter_server_start_time_seconds");
    let process = nanos(families, "process_start_time_seconds");
    let mut starts = BTreeMap::new();
    for (metric, family) in metrics.iter().zip(families) {
        assert_eq!((&metric.name, &metric.description), (&family.name, &family.help));
        let unit = match family.name.trim_end_matches("_total").rsplit('_').next() {
            Some("bytes") => "By",
            Some("seconds") => "s",
            Some("ratio") => "1",
            _ => "",
        };
        assert_eq!(metric.unit, unit, "{}", metric.name);
        match metric.data.as_ref().expect("points") {
            metric::Data::Sum(sum) => {
                starts.insert(&*metric.name, sum.data_points[0].start_time_unix_nano);
            }
            metric::Data::Histogram(histogram) => {
                starts.insert(&*metric.name, histogram.data_points[0].start_time_unix_nano);
            }
            metric::Data::Gauge(gauge) => {
                let is_whole = |p: &NumberDataPoint| {
                    matches!(p.value, Some(number_data_point::Value::AsInt(_)))
                };
                let whole = gauge.data_points.iter().all(is_whole);
                assert_eq!(whole, unit == "By", "{}", metric.name);
            }
            other => panic!("{}: {other:?}", metric.name),
        }
    }
    assert_eq!(starts.get("process_cpu_seconds_total"), Some(&process));
    assert_eq!(starts.get("memgap_exporter_collection_seconds"), Some(&reader));
    // Nobody else has asked the server when the collection was finished.
    let of_server = starts.get("memgap_exporter_connections_closed_total");
    assert!(of_server.is_none_or(|start| *start == server));
}

#[test]
fn a_name_is_looked_up_by_a_process_of_its_own() {
    let collector = Collector::that_takes_all();
    let endpoint = format!("--otlp.endpoint=http://localhost:{}/a?b=c", collector.port);
    let daemon = Daemon::ready(&["--interval=1s", "--otlp.interval=1s", &endpoint]);
    let request = collector.next();
    assert_eq!(request.line, "POST /a?b=c HTTP/1.1");
    assert_eq!(request.headers["host"], format!("localhost:{}", collector.port));
    let server = daemon.process("memgap-server");
    let status =
        |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let children = format!("/proc/{server}/task/{server}/children");
    let children = std::fs::read_to_string(children).expect("it runs");
    let resolver: u32 = children.trim().parse().expect("one child");
    assert!(status(resolver).starts_with("Name:\tmemgap-resolver\n"), "{}", status(resolver));
    assert!(status(resolver).contains("CapEff:\t0000000000000000\n"));
    assert!(status(server).contains("CapEff:\t0000000000000000\n"));
    assert!(status(server).contains("Seccomp:\t2\n"));
    // The next one is of another collection, at least a second later, and tells of this
    // machine.
    let next = collector.next();
    assert!(next.at - request.at > Duration::from_millis(900), "{:?}", next.at - request.at);
    let message = decoded(&next);
    let resource = message.resource_metrics[0].resource.as_ref().expect("a resource");
    let name = rustix::system::uname();
    let name = name.nodename().to_str().expect("UTF-8");
    for key in ["host.name", "service.instance.id"] {
        let pair = resource.attributes.iter().find(|pair| pair.key == key).expect(key);
        assert_eq!(text_of(pair), name);
    }
    // It ends with who started it.
    assert!(daemon.stop(rustix::process::Signal::TERM).success());
    let end = Instant::now() + Duration::from_secs(10);
    while std::path::Path::new(&format!("/proc/{resolver}/fd/0")).exists() {
        assert!(Instant::now() < end, "the process that looks names up stays");
        thread::sleep(Duration::from_millis(10));
    }
}

fn of_result(families: &[Family], result: &str) -> f64 {
    let pushes = samples(families, "memgap_exporter_otlp_pushes_total");
    pushes.iter().find(|s| s.label("result") == result).map_or(0.0, |sample| sample.value)
}

#[test]
fn what_is_not_taken_now_is_tried_again_when_it_may_be() {
    let collector = Collector::start(|number, stream| match number {
        0 => say(stream, "503 Service Unavailable", "Retry-After: 2\r\n", b"busy\n"),
        1 => say(stream, "429 Too Many Requests", "", b""),
        2 => say(stream, "502 Bad Gateway", "", b""),
        3 => say(stream, "504 Gateway Timeout", "Retry-After: 0\r\n", b""),
        4 => {}
        _ => say(stream, "200 OK", "", b""),
    });
    let endpoint = collector.endpoint();
    // Longer than all further tries take, however busy the machine is.
    let daemon = on_node(&["--interval=500ms", "--otlp.interval=10m", &endpoint]);
    let line = daemon.wait_for_line("pushes do not arrive");
    assert!(line.contains("503 Service Unavailable: busy"), "{line}");
    let first = collector.next();
    let mut last = first.clone();
    for least in [2000, 500, 1000, 0, 4000] {
        let next = collector.next();
        assert_eq!(next.compressed, first.compressed, "another collection");
        let pause = next.at - last.at;
        assert!(pause >= Duration::from_millis(least), "{pause:?} is less than {least} ms");
        last = next;
    }
    daemon.wait_for_line("pushes arrive again");
    let found = daemon.answers().find(|f| of_result(f, "whole") == 1.0).expect("it goes on");
    let retries = samples(&found, "memgap_exporter_otlp_retries_total");
    assert_eq!(retries.first().map(|s| s.value), Some(5.0));
}

#[test]
fn what_is_refused_for_good_is_not_tried_again_but_the_next_is_pushed() {
    let collector = Collector::start(|number, stream| match number {
        0 => say(stream, "200 OK", "", &partial()),
        1 => say(stream, "400 Bad Request", "Retry-After: 0\r\n", b"no\x1b[1mthing"),
        _ => say(stream, "200 OK", "", b""),
    });
    let endpoint = collector.endpoint();
    let daemon = on_node(&["--interval=500ms", "--otlp.interval=1s", &endpoint]);
    let line = daemon.wait_for_line("pushes do not arrive");
    assert!(line.contains("7 points were left out: too old"), "{line}");
    daemon.wait_for_line("pushes arrive again");
    let is_all = |f: &Vec<Family>| {
        of_result(f, "part") == 1.0 && of_result(f, "refused") == 1.0 && of_result(f, "whole") > 0.0
    };
    daemon.answers().find(is_all).expect("it goes on");
}

fn partial() -> Vec<u8> {
    let partial = ExportMetricsPartialSuccess {
        rejected_data_points: 7,
        error_message: "too\nold".to_owned(),
    };
    ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
}

/// Says nothing until the other side has had enough.
fn hold(stream: &mut TcpStream) {
    while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
}

/// Sends for as long as somebody reads.
fn endless(stream: &mut TcpStream, head: &str, part: &[u8]) {
    let _ = stream.write_all(head.as_bytes());
    while stream.write_all(part).is_ok() {}
}

#[test]
fn who_takes_it_badly_delays_nothing_and_costs_no_memory() {
    let refusing = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("its address").port()
    };
    let elsewhere = Collector::that_takes_all();
    let to = format!("Location: http://127.0.0.1:{}/v1/metrics\r\n", elsewhere.port);
    let ok = "HTTP/1.1 200 OK\r\n";
    let collectors = [
        ("failed", Collector::start(|_, stream| hold(stream))),
        ("failed", Collector::start(|_, stream| endless(stream, ok, b"X-A: aaaaaaaaaaaaaaa\r\n"))),
        ("failed", Collector::start(|_, stream| endless(stream, "", &[b'x'; 4096]))),
        (
            "failed",
            Collector::start(move |_, stream| {
                endless(stream, "HTTP/1.1 200 OK\r\nX-A: ", &[b'x'; 4096]);
            }),
        ),
        (
            "whole",
            Collector::start(move |_, stream| {
                endless(stream, "HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 4096]);
            }),
        ),
        (
            "refused",
            Collector::start(move |_, stream| {
                say(stream, "307 Temporary Redirect", &to, b"");
            }),
        ),
    ];
    let cases = collectors.iter().map(|(result, collector)| (*result, collector.port));
    let cases: Vec<_> = cases.chain([("failed", refusing)]).collect();
    thread::scope(|scope| {
        for (result, port) in cases {
            scope.spawn(move || assert_harmless(result, port));
        }
    });
    assert!(elsewhere.is_unasked(), "a redirection was followed");
}

fn assert_harmless(result: &str, port: u16) {
    let endpoint = format!("--otlp.endpoint=http://127.0.0.1:{port}");
    let more = ["--interval=200ms", "--otlp.interval=1s", "--otlp.timeout=300ms"];
    let daemon = on_node(&[&more[..], &[&endpoint]].concat());
    let server = daemon.process("memgap-server");
    let before = peak(server);
    let mut said = Vec::new();
    let end = Instant::now() + PATIENCE;
    loop {
        let asked = Instant::now();
        let answer = daemon.get("/metrics");
        assert_eq!(answer.status, 200, "{result} at {port}: {}", answer.text());
        assert!(asked.elapsed() < Duration::from_secs(2), "{result} at {port} delays scrapes");
        let families = parse(&answer.text(), Format::Text);
        said.extend(daemon.said());
        for other in ["whole", "part", "refused", "failed"] {
            let count = of_result(&families, other);
            assert!(other == result || count == 0.0, "{other} at {port}, not {result}");
        }
        if of_result(&families, result) >= 3.0 {
            break;
        }
        assert!(asked < end, "no push is {result} at {port}");
        thread::sleep(Duration::from_millis(50));
    }
    let told = said.iter().filter(|line| line.contains("pushes do not arrive")).count();
    assert_eq!(told, usize::from(result != "whole"), "{said:?}");
    let grown = peak(server) - before;
    assert!(grown < 16 << 10, "{result} at {port}: {grown} KiB more");
}

/// The most that a process has had resident, in KiB.
fn peak(pid: u32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a figure");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn what_is_wrong_with_its_settings_is_told_beforehand() {
    let check = |args: &[&str]| {
        let output = Command::new(EXPORTER).arg("--check-config").args(args).output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), said.is_empty(), "{said}");
        said
    };
    assert_eq!(check(&["--otlp.endpoint=http://collector:4318"]), "");
    for (args, why) in [
        (&["--otlp.endpoint=https://collector:4318"][..], "https is not spoken"),
        (&["--otlp.endpoint=collector"], "give http://HOST:PORT"),
        (&["--otlp.interval=0s"], "it must be from 1s to 60m"),
        (&["--otlp.header=Host=x"], "host is the exporter's to say"),
        (&["--otlp.resource=x"], "give NAME=VALUE"),
        (&["--otlp.headers-file=/nonexistent/x"], "can not read /nonexistent/x"),
    ] {
        let said = check(args);
        assert!(said.contains(why) && said.lines().count() == 1, "{args:?}: {said}");
    }
}
