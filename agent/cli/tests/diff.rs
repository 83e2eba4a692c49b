//! `memgap diff`, as it is run: on a program that grows by a known amount, on saved documents,
//! on what can not be compared.

mod common;
mod run;
mod scratch;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use run::{json, memgap};
use scratch::Scratch;
use serde_json::Value;

const MIB: i64 = 1 << 20;

/// A shell that holds as much more in a variable, for each line that it reads.
struct Grower(Child);

impl Grower {
    fn new() -> Self {
        let script = "a=; while read n; do \
            a=$a$(head -c $n /dev/zero | tr '\\0' x); echo ready; done";
        let child = Command::new("bash")
            .args(["-c", script])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash runs");
        Self(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn grow(&mut self, bytes: i64) {
        let input = self.0.stdin.as_mut().expect("piped");
        writeln!(input, "{bytes}").expect("it reads");
        let mut line = String::new();
        let output = self.0.stdout.as_mut().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("it answers");
        assert_eq!(line, "ready\n");
    }
}

impl Drop for Grower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn save(scratch: &Scratch, name: &str, document: &Value) -> String {
    let path = scratch.0.join(name);
    std::fs::write(&path, document.to_string()).expect("writable");
    text(&path)
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// What the accounts of an axis changed by; what one side does not know stands elsewhere.
fn sum(diff: &Value, axis: &str) -> i64 {
    let rows = diff["accounts"].as_array().expect("array").iter().filter(|row| row["axis"] == axis);
    rows.map(|row| row["to"].as_i64().unwrap_or(0) - row["from"].as_i64().unwrap_or(0)).sum()
}

fn by(diff: &Value, list: &str, name: &str) -> i64 {
    let row = diff[list].as_array().expect("array").iter().find(|row| row["name"] == name);
    row.expect("it is there")["by"].as_i64().expect("known")
}

#[test]
fn what_a_program_has_allocated_explains_how_it_grew() {
    const GREW: i64 = 24 * MIB;
    let scratch = Scratch::new("diff");
    let mut program = Grower::new();
    program.grow(MIB);
    let before = json(&[&program.pid(), "--json"]);
    program.grow(GREW);
    let after = json(&[&program.pid(), "--json"]);
    let (before, after) = (save(&scratch, "a.json", &before), save(&scratch, "b.json", &after));
    let document = json(&["diff", &before, &after, "--json"]);
    let diff = &document["diff"];
    assert!(diff["seconds"].is_number(), "{diff:#}");
    let rss = by(diff, "headline", "rss");
    assert_eq!(sum(diff, "rss"), rss);
    assert_eq!(sum(diff, "rss") + sum(diff, "vsz"), by(diff, "headline", "vsz"));
    let in_use = by(diff, "accounts", "heap_in_use");
    assert!((in_use - GREW).abs() <= MIB, "{in_use} of {GREW}");
    let sentence = diff["sentence"].as_str().expect("text");
    assert!(
        sentence.starts_with("RSS grew by ") && sentence.contains("heap_in_use (glibc)"),
        "{sentence}"
    );
    // The other way round it is the other thing that has less.
    let back = json(&["diff", &after, &before, "--json"]);
    assert_eq!(by(&back["diff"], "headline", "rss"), -rss);
}

#[test]
fn two_processes_and_one_at_two_times_are_compared() {
    let (mut small, mut large) = (Grower::new(), Grower::new());
    small.grow(MIB);
    large.grow(16 * MIB);
    let document = json(&["diff", &small.pid(), &large.pid(), "--json"]);
    let diff = &document["diff"];
    assert!(diff["seconds"].is_null() && by(diff, "headline", "rss") >= 15 * MIB, "{diff:#}");
    let still = json(&["diff", &small.pid(), "--for", "300ms", "--json"]);
    assert!(still["diff"]["seconds"].as_f64().is_some_and(|seconds| seconds >= 0.3));
    assert_eq!(by(&still["diff"], "headline", "rss"), 0);
    let page = memgap(&["diff", &small.pid(), &large.pid()]);
    let page = String::from_utf8(page.stdout).expect("UTF-8");
    assert!(page.contains("CHANGE") && page.lines().all(|line| line.len() <= 80), "{page}");
}

#[test]
fn what_can_not_be_compared_is_refused_in_a_line() {
    let scratch = Scratch::new("diff-wrong");
    let other = save(&scratch, "a.json", &serde_json::json!({"schema": "memgap/9"}));
    let own = std::process::id().to_string();
    for (args, code, why) in [
        (&["diff", &own, "host"][..], 1, "do not have the same accounts"),
        (&["diff", &own], 2, "required"),
        (&["diff", &own, &own, "--for", "1s"], 2, "cannot be used"),
        (&["diff", &own, "--for", "1y"], 2, "as in 10s"),
        (&["diff", &own, "no-such-process"], 1, "no-such-process"),
        (&["diff", &other, &other], 1, "memgap/9"),
        (&["diff", "no.json", "no.json"], 1, "failed to open no.json"),
    ] {
        let output = memgap(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.starts_with("memgap: ") && said.lines().count() == 1, "{said}");
        assert!(said.contains(why), "{args:?}: {said}");
    }
}
