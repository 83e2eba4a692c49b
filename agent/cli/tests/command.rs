//! The program as it is run: exit codes, streams, and a captured Kubernetes node.

mod common;
mod scratch;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use scratch::Scratch;
use serde_json::Value;

fn memgap(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memgap"));
    command.args(args).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// The node of `tests/fixtures/kubernetes`.
fn node(args: &[&str]) -> Command {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/kubernetes");
    let mut command = memgap(args);
    for (flag, path) in [
        ("--path.procfs", "proc"),
        ("--path.cgroupfs", "sys/fs/cgroup"),
        ("--path.container-logs", "var/log/containers"),
    ] {
        command.arg(flag).arg(format!("{root}/{path}"));
    }
    command
}

fn run(mut command: Command) -> Output {
    command.output().expect("memgap runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn json(command: Command) -> Value {
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let document = serde_json::from_slice(&output.stdout).expect("JSON");
    common::assert_schema(&document);
    document
}

/// The sum of the accounts on an axis.
fn sum(document: &Value, axis: &str) -> i64 {
    let accounts = document["accounts"].as_array().expect("array");
    accounts.iter().filter(|a| a["axis"] == axis).filter_map(|a| a["bytes"].as_i64()).sum()
}

/// A runtime of a process, by its name.
fn runtime<'d>(document: &'d Value, name: &str) -> &'d Value {
    let all = document["runtimes"].as_array().expect("array");
    all.iter().find(|runtime| runtime["name"] == name).expect("its heap statistics were read")
}

#[test]
fn a_captured_container_is_explained() {
    let output = run(node(&["pod/shop/orders-0"]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let document = json(node(&["container/58817a7aed10", "--json"]));
    assert_eq!(sum(&document, "usage"), document["headline"]["usage"].as_i64().expect("known"));
    assert_eq!(document["scope"]["identity"]["names"]["container"], "api");
    // 96 MiB were freed and written again: tests/fixtures/kubernetes/README.md.
    let hidden = document["headline"]["working_set_hidden"].as_i64().expect("known");
    assert!((hidden - (96 << 20)).abs() <= 256 << 10, "{hidden}");
    assert_eq!(document["findings"][0]["id"], "hidden-working-set");
}

#[test]
fn the_statistics_of_memgap_itself_close() {
    let document = json(memgap(&["self", "--json"]));
    let headline = &document["headline"];
    assert_eq!(sum(&document, "rss"), headline["rss"].as_i64().expect("known"));
    let whole = sum(&document, "rss") + sum(&document, "vsz");
    assert_eq!(whole, headline["vsz"].as_i64().expect("known"));
    runtime(&document, "jemalloc");
    assert!(headline["in_use"].as_i64().expect("known") > 0);
}

#[test]
fn what_is_explained_and_what_is_not_is_the_whole() {
    let document = json(node(&["ps", "--coverage", "--json"]));
    let bytes = |rows: &Value| -> i64 {
        let rows = rows.as_array().expect("array").iter();
        rows.filter(|r| r["name"] != "skew" && r["name"] != "cut")
            .map(|r| r["bytes"].as_i64().expect("known"))
            .sum()
    };
    let programs = document["programs"].as_array().expect("array");
    for one in programs.iter().chain([&document["coverage"]]) {
        let whole = bytes(&one["explained"]) + bytes(&one["residual"]);
        assert_eq!(Some(whole), one["anonymous"].as_i64(), "{one}");
    }
    let sum: i64 = programs.iter().map(|one| one["rss"].as_i64().expect("known")).sum();
    assert_eq!(Some(sum), document["coverage"]["rss"].as_i64());
    let own = json(memgap(&["probes", "self", "--json"]));
    assert_eq!(own["coverage"]["processes"], 1);
}

#[test]
fn lists_are_sorted_filtered_and_cut() {
    let all = json(node(&["ps", "--json"]));
    let rss = |line: &Value| line["headline"]["rss"].as_i64().expect("known");
    let processes = all["processes"].as_array().expect("array");
    assert!(processes.len() > 3 && processes.is_sorted_by_key(|p| -rss(p)));
    let one = json(node(&["ps", "--json", "--top", "1", "--name", "postgres"]));
    assert_eq!(one["processes"][0]["scope"]["name"], "postgres");
    assert_eq!(one["processes"].as_array().map(Vec::len), Some(1));
    let inside = json(node(&["ps", "--json", "--cgroups", "--cgroup", "/system.slice"]));
    let paths: Vec<&str> = inside["cgroups"]
        .as_array()
        .expect("array")
        .iter()
        .map(|c| c["scope"]["path"].as_str().expect("text"))
        .collect();
    assert!(paths.contains(&"/system.slice") && paths.contains(&"/system.slice/kubelet.service"));
    assert!(paths.iter().all(|path| path.starts_with("/system.slice")));
}

#[test]
fn failures_have_their_code_and_one_line() {
    for (args, code) in [
        (&["no-such-process"][..], 1),
        (&["cgroup:/no/such"], 1),
        (&["4000000000"], 1),
        (&["pod/"], 2),
        (&["ps", "--top", "x"], 2),
        (&["ps", "extra"], 2),
        (&["name", "ps"], 2),
        (&[], 2),
        (&["a\u{1b}[2Jb"], 1),
        (&["capture", "/dev/null"], 1),
    ] {
        let output = run(node(args));
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(output.stdout.is_empty(), "{args:?}");
        assert!(error.starts_with("memgap: ") && error.lines().count() == 1, "{error}");
        assert!(!error.contains('\u{1b}'), "{error:?}");
        assert!(error.matches("os error").count() <= 1, "{error}");
    }
}

#[test]
fn a_tree_that_tells_nothing_is_no_answer() {
    let nothing = env!("CARGO_MANIFEST_DIR");
    for (command, why) in [("host", "meminfo does not exist"), ("ps", "lists no process")] {
        let output = run(memgap(&[command, "--path.procfs", nothing]));
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(why));
    }
}

#[test]
fn a_finding_has_its_page() {
    let document = json(memgap(&["why", "retention", "--json"]));
    assert_eq!(document["finding"], "retention");
    assert!(document["page"].as_str().is_some_and(|page| page.starts_with("# retention\n")));
    let page = run(memgap(&["why", "retention"]));
    assert!(text(&page.stdout).starts_with("retention\n\nPart of the RSS"), "{page:?}");
    let wrong = run(memgap(&["why", "leaks"]));
    let said = text(&wrong.stderr);
    assert_eq!((wrong.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("leaks") && said.contains("retention"), "{said}");
}

#[test]
fn what_is_not_found_is_an_error_also_where_nobody_waits_for_children() {
    for ignored in ["", "--ignore-signal=CHLD"] {
        let mut command = Command::new("env");
        command.args(Some(ignored).filter(|flag| !flag.is_empty()));
        command.arg(env!("CARGO_BIN_EXE_memgap")).arg("no-such-process");
        let output = run(command);
        assert_eq!(output.status.code(), Some(1), "{ignored}: {}", text(&output.stderr));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    for args in [&["accounts"][..], &["host", "--json"], &["--help"], &["completions", "bash"]] {
        let mut command = memgap(args);
        let out = writer.try_clone().expect("a handle");
        let output = command.stdout(out).stderr(Stdio::piped()).output().expect("memgap runs");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn without_rights_the_answer_is_in_part_and_says_so() {
    // Where everyone may run it, whatever the rights of the build directory.
    let scratch = Scratch::new("rights");
    let program = scratch.0.join("memgap");
    std::fs::copy(env!("CARGO_BIN_EXE_memgap"), &program).expect("a copy");
    let mut command = Command::new(&program);
    command.args(["1", "--json"]);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = run(command);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(document["headline"]["rss"].as_i64().expect("known") > 0);
    let denied = document["absent"].as_array().expect("array").iter().find(|a| a["what"] == "walk");
    assert_eq!(denied.expect("the walk is missing")["kind"], "denied");
}

#[test]
fn a_capture_is_explained_as_the_machine_was() {
    let scratch = Scratch::new("capture");
    let path = scratch.0.join("node");
    let path = path.to_str().expect("UTF-8");
    let saved = json(node(&["capture", path, "--json"]));
    assert_eq!(saved["captured"]["redacted"], true);
    let replay = |args: &[&str]| {
        let mut command = memgap(args);
        command.arg("--path.procfs").arg(format!("{path}/proc"));
        command.arg("--path.cgroupfs").arg(format!("{path}/sys/fs/cgroup"));
        command.arg("--path.container-logs").arg(format!("{path}/var/log/containers"));
        json(command)
    };
    assert_eq!(
        replay(&["host", "--json"])["accounts"],
        json(node(&["host", "--json"]))["accounts"]
    );
    let again = replay(&["ps", "--cgroups", "--json"]);
    assert!(!again.to_string().contains("checkout"));
    let usages = |list: &Value| {
        let lines = list["cgroups"].as_array().expect("array").iter();
        let mut usages: Vec<_> = lines.map(|c| c["headline"]["usage"].as_i64()).collect();
        usages.sort_unstable();
        usages
    };
    assert_eq!(usages(&again), usages(&json(node(&["ps", "--cgroups", "--json"]))));
}

#[test]
fn man_pages_are_written_where_asked() {
    let scratch = Scratch::new("man");
    let output = run(memgap(&["man", scratch.0.to_str().expect("UTF-8")]));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found = std::fs::read_dir(&scratch.0).expect("listable").count();
    assert_eq!(text(&output.stdout).lines().count(), found);
    assert!(text(&output.stdout).contains("memgap-explain.1"));
}

#[test]
fn an_endpoint_is_a_second_source() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/metrics", listener.local_addr().expect("bound"));
    let server = std::thread::spawn(move || {
        let bodies = ["jemalloc_allocated_bytes 1.048576e+06\n", "jemalloc_allocated_bytes NaN\n"];
        for body in bodies {
            let (mut peer, _) = listener.accept().expect("a connection");
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && peer.read(&mut byte).expect("sent") == 1 {
                request.push(byte[0]);
            }
            write!(peer, "HTTP/1.1 200 OK\r\n\r\n{body}").expect("received");
        }
    });
    let args = ["explain", "self", "--json", "--endpoint", &url];
    let document = json(memgap(&args));
    let runtime = runtime(&document, "jemalloc");
    let second = &runtime["second_source"];
    assert_eq!((&second["name"], &second["in_use"]), (&Value::from(&*url), &Value::from(1 << 20)));
    let statistics = runtime["in_use"].as_i64().expect("known");
    assert_eq!(second["differs_by"], Value::from((1 << 20) - statistics));

    let document = json(memgap(&args));
    // Then the second source is what it tells of itself.
    let second = &self::runtime(&document, "jemalloc")["second_source"];
    assert_eq!(second["name"], "mallctl in this process");
    let absent = document["absent"].as_array().expect("array");
    let why = absent.iter().find(|a| a["what"] == "runtime").expect("told")["why"].to_string();
    assert!(why.contains(&url) && why.contains("NaN"), "{why}");
    server.join().expect("it ends");

    for args in [["host", "--endpoint", &url], ["self", "--endpoint", "http://example.org/"]] {
        let output = run(memgap(&[&["explain"][..], &args].concat()));
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    }
}

/// Its own words about allocators are no allocators.
#[test]
fn memgap_takes_itself_for_nothing_that_it_names() {
    let document = json(memgap(&["explain", "self", "--json"]));
    assert_eq!(document["unread"], Value::Array(Vec::new()), "{document}");
}

#[test]
fn a_limit_is_advised_of_a_cgroup_that_is_watched() {
    let watched = |args: &[&str]| node(&[&["advise"], args, &["--interval", "100ms"]].concat());
    let usage = json(node(&["container/58817a7aed10", "--json"]));
    let limited = json(watched(&["container/58817a7aed10", "--for", "250ms", "--json"]));
    let advice = &limited["advice"];
    assert!(advice["readings"].as_u64().is_some_and(|readings| readings >= 2), "{advice}");
    assert_eq!(advice["usage"], usage["headline"]["usage"]);
    assert_eq!(advice["required"], usage["headline"]["required"]);
    assert!(advice["limit"].as_i64() > advice["required"].as_i64(), "{advice}");

    let few = run(watched(&["container/58817a7aed10", "--for", "1ms"]));
    assert!(text(&few.stdout).contains("too few readings"), "{}", text(&few.stdout));
    let host = run(watched(&["host"]));
    assert_eq!((host.status.code(), text(&host.stdout)), (Some(2), String::new()));
    assert!(text(&host.stderr).contains("name a cgroup below the root"), "{}", text(&host.stderr));
}

#[test]
fn why_answers_of_findings_and_of_kills() {
    // The machine whose log is here is not the captured one.
    let document = json(node(&["why", "container/58817a7aed10", "--json"]));
    assert_eq!((&document["is_there"], &document["kills"]), (&true.into(), &Value::Array(vec![])));
    assert_eq!(
        (&document["log"], &document["absent"][0]["what"]),
        (&Value::Null, &"kernel_log".into())
    );
    let verdict = document["verdict"].as_str().expect("a sentence");
    assert!(verdict.contains("the kernel's log, which"), "{verdict}");

    let page = run(memgap(&["why", "retention"]));
    assert!(page.status.success() && text(&page.stdout).contains("malloc_trim"));
    let nobody = run(memgap(&["why", "no-such-thing"]));
    assert_eq!((nobody.status.success(), text(&nobody.stdout)), (false, String::new()));
}

#[test]
fn who_is_watched_is_shown_again_and_again() {
    let args = ["watch", "container/58817a7aed10", "--interval", "100ms", "--for", "250ms"];
    let page = run(node(&args));
    let shown = text(&page.stdout);
    let samples = shown.lines().filter(|line| line.ends_with("  unknown")).count();
    assert!(page.status.success() && samples >= 2, "{shown}{}", text(&page.stderr));
    assert!(shown.ends_with("whether it leaks is not known: that takes 48 samples\n"), "{shown}");
    // A document a line.
    let once = json(node(&["watch", "container/58817a7aed10", "--json", "--for", "1ms"]));
    let explained = json(node(&["container/58817a7aed10", "--json"]));
    assert_eq!(once["growth"]["name"], "unknown");
    let (sample, headline) = (&once["sample"], &explained["headline"]);
    assert_eq!(sample["required"], headline["required"]);
    let host = run(node(&["watch", "host"]));
    assert_eq!((host.status.code(), text(&host.stdout)), (Some(2), String::new()));
}
