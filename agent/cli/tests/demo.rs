//! The demo is a check of its own; what is tested here is that it passes, that
//! its document keeps the schema, and that nothing stays behind.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn memgap(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memgap"));
    command.args(args);
    command
}

/// Cgroups of the demo with this pid, wherever below the mount.
fn cgroups(pid: u32) -> Vec<PathBuf> {
    let own = format!("memgap-demo-{pid}-");
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        // Cgroups of others come and go.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with(&own) {
                    found.push(entry.path());
                }
                folders.push(entry.path());
            }
        }
    }
    found
}

fn children(pid: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Kills the demo where a test fails before its end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_scenario_agrees_with_the_truth_or_says_why_it_was_skipped() {
    let child = memgap(&["demo", "--json"]).stdout(Stdio::piped()).spawn().expect("memgap runs");
    let pid = child.id();
    let output = child.wait_with_output().expect("memgap ends");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(0), "{document:#}");

    common::assert_schema(&document);

    let reported = document["demo"].as_array().expect("an array");
    let names: Vec<&str> = reported.iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(names, ["muzzy", "reuse", "ballast", "kept", "page-cache"]);
    for scenario in reported {
        let agrees = scenario["agrees"] == true;
        assert!(agrees || scenario["skipped"].is_string(), "{scenario:#}");
        // These need no right and no cgroup.
        let always = scenario["name"] != "page-cache";
        assert!(agrees || !always, "{scenario:#}");
    }
    // What is in use is memgap's own reading, and not the program's word.
    let kept = &reported[3];
    let read = kept["memgap"]["freed"]["in_use"].is_i64();
    assert!(read || kept["skipped"].is_string(), "{kept:#}");
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    let may_read =
        scope.ok().and_then(|scope| scope.trim().parse::<u8>().ok()).is_none_or(|s| s < 2);
    assert!(read || !may_read, "{kept:#}");
    assert_eq!(cgroups(pid), Vec::<PathBuf>::new());
}

#[test]
fn a_signal_ends_the_demo_and_nothing_stays() {
    for signal in [Signal::INT, Signal::TERM] {
        let child = memgap(&["demo", "reuse"]).stdout(Stdio::null()).spawn();
        let mut demo = Running(child.expect("memgap runs"));
        let pid = demo.0.id();
        // Once its programs are there, the signals are caught.
        let mut programs = children(pid);
        while programs.is_empty() {
            assert!(demo.0.try_wait().expect("ours").is_none(), "it ended too soon");
            std::thread::yield_now();
            programs = children(pid);
        }
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(raw, signal).expect("it runs");
        let status = demo.0.wait().expect("ours");
        assert_eq!(status.code(), Some(128 + signal.as_raw()));
        for program in programs {
            assert!(!Path::new("/proc").join(&program).exists(), "{program} runs on");
        }
        assert_eq!(cgroups(pid), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let child = memgap(&["demo", "ballast", "muzzy"]).stdout(Stdio::piped()).spawn();
    let mut demo = Running(child.expect("memgap runs"));
    let mut line = String::new();
    let stdout = demo.0.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert!(line.starts_with("muzzy: "), "{line}");
    assert!(demo.0.wait().expect("ours").success());
}

#[test]
fn a_scenario_that_is_not_there_is_wrong_usage() {
    let output = memgap(&["demo", "no-such"]).output().expect("memgap runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such"));
    let output = memgap(&["demo", "--list", "reuse"]).output().expect("memgap runs");
    assert!(output.stdout.starts_with(b"reuse ") && output.status.success());
}
