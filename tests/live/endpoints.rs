//! Endpoints that nobody here wrote: Go's expvar and pprof beside the program's own
//! words, and Debian's Prometheus, with promtool as the judge of what a series is.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use memgap_ledger::{Account, process};
use memgap_reader::endpoint::exposition;
use memgap_reader::{Answer, Depth, Limits, Reader, Roots, read_endpoint};
use memgap_tests::programs::Program;
use memgap_tests::target::Target;

/// A word for this thread of this process.
fn unique() -> String {
    format!("{}-{:?}", std::process::id(), std::thread::current().id())
}

fn ask(port: u64, path: &str) -> Answer {
    let endpoint = format!("http://127.0.0.1:{port}{path}").parse().expect("an address");
    read_endpoint(&endpoint, &Limits::default()).expect("an answer")
}

/// A Go program of one file, built by whatever Go is there.
fn go_program(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets").join(name);
    // Each test builds its own: a program that runs can not be written over.
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", unique()));
    let mut go = Command::new("go");
    go.args(["build", "-o"]).args([&program, &source]);
    go.envs([("GOFLAGS", ""), ("GOTOOLCHAIN", "local"), ("GOPROXY", "off")]);
    let output = go.output().expect("go is installed by tests/install");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

#[test]
fn expvar_and_pprof_tell_what_the_program_knows() {
    let mut target = Target::run(&go_program("endpoint.go"), &[]).expect("it starts");
    for (path, form) in [
        ("/debug/vars", "expvar"),
        ("/debug/pprof/heap?debug=1", "pprof"),
        ("/debug/vars", "expvar"),
    ] {
        let word = |target: &Target, name| target.holds(name).expect("said");
        target.step().expect("it goes on");
        let before = word(&target, "heap_in_use");
        let answer = ask(word(&target, "port"), path);
        target.step().expect("it goes on");
        assert_eq!((answer.form, answer.figures.len()), (form, 1));
        let go = &answer.figures[0];
        assert_eq!(go.runtime, "go");
        // Without a collector it only grows: the answer lies between the two words.
        let between = before..=word(&target, "heap_in_use");
        assert!(between.contains(&go.in_use), "{path}: {} not in {between:?}", go.in_use);
        assert_eq!(go.cycles, Some(word(&target, "cycles")));
        assert!(go.free.is_some() && go.released.is_some());
        let accounts: Vec<_> = go.others.iter().map(|part| part.account).collect();
        assert_eq!(accounts, [Account::Stack, Account::AllocatorMetadata, Account::GcTables]);
    }
}

/// Both read the same counters: the probe from outside, first.
#[test]
fn probe_and_endpoint_agree() {
    let target = Target::run(&go_program("endpoint.go"), &[]).expect("it starts");
    let reader = Reader::open(Roots::default()).expect("procfs is mounted");
    let mut sample = reader.process(target.pid(), Depth::Full).expect("it is ours");
    let port = target.holds("port").expect("said");
    let endpoint = format!("http://127.0.0.1:{port}/debug/vars").parse().expect("valid");
    let answer = read_endpoint(&endpoint, &Limits::default());
    sample.add_report(answer.map(|answer| answer.reported(&endpoint)));
    let made = process::ledger(&sample);
    let go = made.runtimes.iter().find(|r| r.name == "go").expect("its heap statistics");
    let second = go.second_source.as_ref().expect("both answered");
    // What answering takes, which nothing collects.
    assert!((0..4 << 20).contains(&second.differs_by), "{second:?}");
}

#[test]
fn a_profile_in_binary_form_is_refused_with_the_remedy() {
    let target = Target::run(&go_program("endpoint.go"), &[]).expect("it starts");
    let port = target.holds("port").expect("said");
    let endpoint = format!("http://127.0.0.1:{port}/debug/pprof/heap").parse().expect("valid");
    let lack = read_endpoint(&endpoint, &Limits::default()).expect_err("not text");
    assert!(lack.why.contains("add ?debug=1"), "{}", lack.why);
    let endpoint = format!("http://127.0.0.1:{port}/debug").parse().expect("valid");
    let lack = read_endpoint(&endpoint, &Limits::default()).expect_err("not there");
    assert!(lack.why.contains("no such path"), "{}", lack.why);
}

#[test]
fn prometheus_is_read_as_promtool_reads_it() {
    let text = exposition(&Program::prometheus().expect("it starts"));
    let bytes = as_promtool(&text);
    // The figures as the text gives them, added up as Go does.
    let figure = |name: &str| bytes[&format!("go_memstats_{name}_bytes")];
    assert_eq!(figure("heap_inuse") + figure("heap_idle"), figure("heap_sys"));
    let line = text.lines().find_map(|l| l.strip_prefix("go_memstats_heap_inuse_bytes "));
    let float: f64 = line.expect("there").parse().expect("a number");
    assert!((figure("heap_inuse") as f64 - float).abs() < 1.0);
}

#[test]
fn our_exporter_is_read_as_promtool_reads_it() {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exporter/tests/snapshots");
    let body = |name: &str| {
        let snapshot = std::fs::read_to_string(snapshots.join(name)).expect("readable");
        snapshot.splitn(3, "---\n").nth(2).expect("a body").to_owned()
    };
    as_promtool(&body("exposition__text.snap"));
    let open_metrics = body("exposition__open_metrics.snap");
    exposition::parse(open_metrics.as_bytes(), true, |_| Ok(())).expect("it is well formed");
}

/// Holds the series of a text against promtool's count of each family; gives the
/// values that are amounts.
fn as_promtool(text: &str) -> BTreeMap<String, u64> {
    let mut series: BTreeMap<String, u64> = BTreeMap::new();
    let mut bytes: BTreeMap<String, u64> = BTreeMap::new();
    exposition::parse(text.as_bytes(), false, |one| {
        let name = String::from_utf8_lossy(one.name).into_owned();
        bytes.extend(one.bytes().ok().map(|bytes| (name.clone(), bytes)));
        *series.entry(name).or_default() += 1;
        Ok(())
    })
    .expect("it is well formed");

    let families = promtool(text);
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in series {
        let parts = ["_bucket", "_sum", "_count"];
        let bare = parts.iter().find_map(|part| name.strip_suffix(part));
        let family = bare.filter(|bare| families.contains_key(*bare)).unwrap_or(&name);
        *counted.entry(family.to_owned()).or_default() += count;
    }
    assert_eq!(counted, families);
    bytes
}

#[test]
fn prometheus_tells_the_same_by_exposition_and_profile() {
    let prometheus = Program::prometheus().expect("it starts");
    for (path, form) in [("/metrics", "exposition"), ("/debug/pprof/heap?debug=1", "pprof")] {
        let answer = ask(prometheus.port().into(), path);
        assert_eq!((answer.form, answer.figures.len()), (form, 1));
        let go = &answer.figures[0];
        assert_eq!((go.runtime, go.version.is_some()), ("go", form == "exposition"));
        // A server that was just started and holds nothing.
        assert!((1 << 20..1 << 30).contains(&go.in_use), "{path}: {}", go.in_use);
        assert!(go.cycles.is_some() && go.free.is_some() && go.others.len() == 3);
    }
}

/// Series of each family, as promtool counts them.
fn promtool(text: &str) -> BTreeMap<String, u64> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics", "--extended"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("promtool is installed by tests/install");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    let family = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    };
    let families: BTreeMap<_, _> =
        table.lines().filter_map(family).filter(|(name, _)| name != "Total").collect();
    assert!(families.len() > 10, "{table}");
    families
}

/// The text as it is, fetched by other means than ours.
fn exposition(prometheus: &Program) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", prometheus.port())).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    text.split_once("\r\n\r\n").expect("a head").1.to_owned()
}
