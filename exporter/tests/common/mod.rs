//! What the tests share: a strict reader of both text formats, and promtool.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::float_cmp, reason = "whole numbers of bytes")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use memgap_exporter::count_totals;
use memgap_exporter::encode::{Encoder, Format};
use memgap_exporter::gc;
use memgap_exporter::gc_totals::Totals;
use memgap_exporter::limit::{Limiter, Limits};
use memgap_exporter::select::{Grouping, Kept, Scopes};
use memgap_exporter::snapshot;
use memgap_ledger::Machine;
use memgap_ledger::sample::MachineSample;

pub mod daemon;
pub mod machine;
pub mod network;

/// What the exporter keeps from one collection to the next.
#[derive(Default)]
pub struct Counters {
    pub kept: Kept,
    gc: gc::Last,
    totals: Totals,
    counts: count_totals::Totals,
}

/// One family as it was read.
#[derive(Debug)]
pub struct Family {
    pub name: String,
    pub help: String,
    pub kind: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug)]
pub struct Sample {
    pub name: String,
    /// Pairs of name and value, as they stand.
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Sample {
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

/// Reads an exposition by the letter of its specification and panics on the first
/// line that departs from it.
pub fn parse(text: &str, format: Format) -> Vec<Family> {
    let open = format == Format::OpenMetrics;
    let body =
        if open { text.strip_suffix("# EOF\n").expect("the last line is # EOF") } else { text };
    assert!(body.is_empty() || body.ends_with('\n'), "the last line has no end");
    let mut families: Vec<Family> = Vec::new();
    let mut names = BTreeSet::new();
    let mut series = BTreeSet::new();
    let mut help = None;
    for line in body.split_terminator('\n') {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match *words.as_slice() {
            ["#", "HELP", name, text] => {
                assert!(!text.is_empty(), "{line}");
                assert!(names.insert(name.to_owned()), "family {name} stands twice");
                help = Some((name, text));
            }
            ["#", "TYPE", name, kind] => {
                let (helped, help) = help.take().expect("TYPE follows HELP");
                assert_eq!(helped, name);
                let [name, help, kind] = [name, help, kind].map(str::to_owned);
                families.push(Family { name, help, kind, samples: Vec::new() });
            }
            ["#", "UNIT", name, unit] => {
                let family = families.last().expect("a family");
                assert!(open && family.name == name && family.samples.is_empty(), "{line}");
                assert!(name.ends_with(&format!("_{unit}")), "{line}");
            }
            _ => {
                let sample = sample(line);
                let mut labels = sample.labels.clone();
                labels.sort_unstable();
                assert!(series.insert((sample.name.clone(), labels)), "{line}");
                let family = families.last_mut().expect("a family");
                let suffix = sample.name.strip_prefix(&family.name);
                let suffix = suffix.unwrap_or_else(|| panic!("{line} is not of {}", family.name));
                assert!(suffixes(&family.kind, open).contains(&suffix), "{line}: {}", family.kind);
                family.samples.push(sample);
            }
        }
    }
    for family in &families {
        assert!(!family.samples.is_empty(), "{} has no sample", family.name);
        assert_label_sets_stand_together(family);
    }
    families
}

/// As OpenMetrics wants it: buckets, sum and count of a histogram are of one metric.
fn assert_label_sets_stand_together(family: &Family) {
    let label_set = |sample: &Sample| {
        sample.labels.iter().filter(|(name, _)| name != "le").cloned().collect::<Vec<_>>()
    };
    let mut sets: Vec<_> = family.samples.iter().map(label_set).collect();
    sets.dedup();
    let distinct: BTreeSet<_> = sets.iter().collect();
    assert_eq!(distinct.len(), sets.len(), "label sets of {} stand apart", family.name);
}

/// Every sample of that name.
pub fn samples<'f>(families: &'f [Family], name: &str) -> Vec<&'f Sample> {
    families.iter().flat_map(|f| &f.samples).filter(|s| s.name == name).collect()
}

/// What is written of a sample under bounds, self-telemetry left out.
pub fn exposition(sample: &MachineSample, limits: Limits, format: Format) -> String {
    write(&mut Counters::default(), sample, (limits, Grouping::Name), format)
}

/// The same after other samples, which `counters` has seen.
pub fn write(
    counters: &mut Counters,
    sample: &MachineSample,
    (limits, grouping): (Limits, Grouping),
    format: Format,
) -> String {
    write_machine(counters, &Machine::of(sample), (limits, grouping), format)
}

/// The same of ledgers.
pub fn write_machine(
    counters: &mut Counters,
    machine: &Machine,
    (limits, grouping): (Limits, Grouping),
    format: Format,
) -> String {
    let increments = counters.gc.increments(&machine.processes);
    let mut scopes = Scopes::with(machine, &increments, grouping, &mut counters.kept);
    counters.totals.add_up(&mut scopes);
    counters.counts.add_up(&mut scopes);
    Limiter::new(limits).apply(&mut scopes);
    let mut out = Encoder::new(format, 0);
    snapshot::write(&scopes, &mut out);
    out.finish()
}

/// Sums of a metric by the labels that `key` picks.
fn sums(families: &[Family], name: &str, keys: &[&str]) -> BTreeMap<Vec<String>, f64> {
    let mut sums = BTreeMap::new();
    for sample in samples(families, name) {
        let key = keys.iter().map(|k| sample.label(k).to_owned()).collect();
        *sums.entry(key).or_default() += sample.value;
    }
    sums
}

/// Every ledger sums to its headline, wherever there is a headline.
pub fn assert_closed(families: &[Family]) {
    for (ledger, headline, keys) in [
        ("container_ledger", "container_usage", &["namespace", "pod", "container"][..]),
        ("unit_ledger", "unit_usage", &["unit"]),
        ("cgroup_ledger", "cgroup_usage", &["cgroup"]),
        ("process_group_ledger", "process_group_rss", &["namespace", "pod", "container", "group"]),
        ("host_ledger", "host_memory_total", &[]),
    ] {
        let ledger = sums(families, &format!("memgap_{ledger}_bytes"), keys);
        let headline = sums(families, &format!("memgap_{headline}_bytes"), keys);
        assert_eq!(ledger, headline, "{keys:?}");
    }
}

fn suffixes(kind: &str, open: bool) -> &'static [&'static str] {
    match (kind, open) {
        ("counter", true) => &["_total"],
        ("info", true) => &["_info"],
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        ("gauge", _) | ("counter", false) => &[""],
        _ => panic!("unknown kind {kind}"),
    }
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
    let (name, rest) = line.split_at(end);
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(valid));
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest, line),
        None => (Vec::new(), rest),
    };
    let value = value.strip_prefix(' ').unwrap_or_else(|| panic!("no space: {line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    Sample { name: name.to_owned(), labels, value }
}

/// Reads the pairs up to the closing brace; returns what follows it.
fn labels<'l>(mut rest: &'l str, line: &str) -> (Vec<(String, String)>, &'l str) {
    let mut labels: Vec<(String, String)> = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("label: {line}"));
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name:?} in {line}");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("open label: {line}")) {
                (at, '"') => break at,
                (_, '\\') => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('\\' | '"'))) => value.push(c),
                    other => panic!("escape {other:?}: {line}"),
                },
                (_, c) => value.push(c),
            }
        };
        assert!(labels.iter().all(|(n, _)| n != name), "label {name} twice: {line}");
        labels.push((name.to_owned(), value));
        rest = &after[end + 1..];
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        rest = rest.strip_prefix(',').unwrap_or_else(|| panic!("comma: {line}"));
    }
}

/// Has Prometheus' own tool check the text format; its absence is a failure.
pub fn promtool(text: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts: install the package prometheus");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("promtool reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool: {said}");
}
