//! `memgap record` and `memgap replay`, as they are run: on a program that is stopped, with a
//! recorder that is killed.

mod common;
mod run;
mod scratch;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use run::{json, memgap};
use rustix::process::{Pid, Signal, kill_process};
use scratch::Scratch;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(1);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A process that ends with the test, however it ends.
struct Running(Child);

impl Running {
    /// A shell with memory worth a walk, stopped.
    fn stopped() -> Self {
        let script = "a=$(head -c 24000000 /dev/zero | tr '\\0' x); echo ready; read b";
        let mut command = Command::new("bash");
        command.args(["-c", script]).env("LC_ALL", "C");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut shell = Self(child.expect("bash runs"));
        let mut line = String::new();
        let output = shell.0.stdout.as_mut().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("it answers");
        assert_eq!(line, "ready\n");
        shell.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", shell.0.id());
        until("it is stopped", || {
            std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "))
        });
        shell
    }

    fn record(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_memgap"));
        command.arg("record").args(args).stdin(Stdio::null());
        Self(command.spawn().expect("memgap runs"))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "not so after a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn file(scratch: &Scratch) -> String {
    scratch.0.join("recording").to_str().expect("UTF-8").to_owned()
}

/// The accounts without when they were read, and where.
fn accounts(document: &Value) -> Value {
    let mut accounts = document["accounts"].clone();
    for account in accounts.as_array_mut().expect("array") {
        let account = account.as_object_mut().expect("object");
        account.remove("age_seconds");
        // Once all of `status` is read, each time again the part of it in `statm`.
        account.remove("source");
    }
    accounts
}

#[test]
fn what_a_killed_recorder_wrote_explains_a_stopped_program_to_the_byte() {
    let scratch = Scratch::new("record-killed");
    let file = file(&scratch);
    let shell = Running::stopped();
    let pid = shell.0.id().to_string();
    let recorder = Running::record(&[&file, "--redact=false", "--interval", "100ms"]);
    let said = |args: &[&str]| -> Value {
        let output = memgap(&[&["replay", &file], args, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    until("four samples are written", || said(&[])["recording"]["samples"].as_u64() >= Some(4));
    until("its heap is read", || said(&[&pid])["headline"]["in_use"].is_i64());
    recorder.signal(Signal::KILL);
    drop(recorder);
    // And in the middle of a block.
    let mut cut = std::fs::OpenOptions::new().append(true).open(&file).expect("it is there");
    cut.write_all(&[200, 0, 0, 0, 1, 2, 3, 4, 5]).expect("written");
    let list = json(&["replay", &file, "--json"]);
    let damage = list["recording"]["damage"].as_str().expect("the rest is named");
    assert!(damage.contains("not written whole"), "{damage}");
    assert!(list["recording"]["samples"].as_u64() >= Some(4), "{list}");

    let live = json(&[&pid, "--json"]);
    let replayed = json(&["replay", &file, &pid, "--json"]);
    assert_eq!(replayed["scope"], live["scope"]);
    // Others may map its files meanwhile, and share in them: not so these.
    for figure in ["rss", "vsz", "in_use"] {
        assert_eq!(replayed["headline"][figure], live["headline"][figure], "{figure}");
    }
    assert_eq!(accounts(&replayed), accounts(&live));
    let from = list["recording"]["from"].as_str().expect("a time");
    let first = json(&["replay", &file, &pid, "--at", from, "--json"]);
    assert_eq!(first["headline"]["rss"], live["headline"]["rss"]);

    let page = memgap(&["replay", &file, &pid]);
    let page = text(&page.stdout);
    assert!(page.starts_with("bash has ") && page.contains("whether it leaks"), "{page}");
    let same = json(&["replay", &file, &pid, "--since", "1ms", "--json"]);
    let headline = same["diff"]["headline"].as_array().expect("array");
    let rss = headline.iter().find(|figure| figure["name"] == "rss").expect("it has one");
    assert_eq!(rss["by"], 0, "{same}");
    // The machine as a whole, and a cgroup.
    assert!(json(&["replay", &file, "host", "--json"])["headline"]["total"].is_i64());
}

/// The fixture was written by the first version, of the node in `tests/fixtures/kubernetes`.
#[test]
fn a_recording_of_the_first_version_stays_readable() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/recording-1");
    let list = json(&["replay", file, "--json"]);
    assert_eq!(list["recording"]["samples"], 3);
    assert!(list["recording"]["damage"].is_null(), "{list}");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/kubernetes");
    let node = ["--path.procfs", &format!("{root}/proc"), "--json"];
    let now = json(&[&["host"], &node[..]].concat());
    let then = json(&["replay", file, "host", "--json"]);
    assert_eq!(then["headline"], now["headline"]);
    assert_eq!(accounts(&then), accounts(&now));
    let now = json(&[&["243"], &node[..]].concat());
    let then = json(&["replay", file, "243", "--at", "1ms", "--json"]);
    assert_eq!(then["scope"]["pid"], 243);
    assert_eq!(accounts(&then), accounts(&now));
}

#[test]
fn a_recording_is_redacted_unless_it_is_asked_otherwise() {
    let scratch = Scratch::new("record-redacted");
    let (file, shell) = (file(&scratch), Running::stopped());
    let pid = shell.0.id().to_string();
    let done = json(&["record", &file, "--for", "1ms", "--json"]);
    assert_eq!(done["recording"]["samples"], 1);
    let replayed = json(&["replay", &file, &pid, "--json"]);
    let name = replayed["scope"]["name"].as_str().expect("text");
    assert!(name.starts_with('p') && name != "bash", "{name}");
    assert_eq!(replayed["headline"]["rss"], json(&[&pid, "--json"])["headline"]["rss"]);
}

#[test]
fn what_can_not_be_replayed_gets_a_line() {
    let scratch = Scratch::new("record-wrong");
    let file = file(&scratch);
    json(&["record", &file, "--for", "1ms", "--json"]);
    let foreign = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (args, code, says) in [
        (&["replay", "/no/such/file"][..], 1, "/no/such/file"),
        (&["replay", foreign], 1, "no recording"),
        (&["replay", &file, "4000000000"], 1, "not there at that time"),
        (&["replay", &file, "self"], 2, "a pid"),
        (&["replay", &file, "host", "--at", "2001-01-01T00:00:00Z"], 1, "begins at"),
        (&["replay", &file, "host", "--at", "noon"], 2, "10m"),
        (&["record", &file], 1, "name another file"),
    ] {
        let output = memgap(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.lines().count() == 1 && said.contains(says), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
