//! What is exported by runtime, and counters over processes that come and go.
#![allow(clippy::float_cmp, reason = "whole numbers of bytes and cycles")]

mod common;

use std::collections::BTreeMap;

use common::machine::{MIB, cgroup, container, golang, machine, process};
use common::{Counters, Family, parse, samples, write};
use memgap_exporter::encode::Format;
use memgap_exporter::limit::Limits;
use memgap_exporter::select::Grouping;
use memgap_ledger::runtime::Runtime;
use memgap_ledger::sample::{CgroupSample, MachineSample, ProcessSample};

const LIMITS: Limits = Limits { process_groups: 20, max_series: 20_000 };

const UNIT: &str = "/system.slice/api.service";

/// Collections of one exporter, one after the other.
#[derive(Default)]
struct Exporter(Counters);

impl Exporter {
    fn collect(&mut self, processes: Vec<ProcessSample>) -> Vec<Family> {
        let cgroups = vec![container(1), container(2), cgroup(UNIT)];
        self.families(&machine(cgroups, processes), LIMITS)
    }

    fn families(&mut self, sample: &MachineSample, limits: Limits) -> Vec<Family> {
        parse(&write(&mut self.0, sample, (limits, Grouping::Name), Format::Text), Format::Text)
    }
}

/// The values of a family by one label.
fn by(families: &[Family], name: &str, label: &str) -> BTreeMap<String, f64> {
    let all = samples(families, name);
    all.iter().map(|sample| (sample.label(label).to_owned(), sample.value)).collect()
}

fn cycles(families: &[Family], pod: &str) -> Option<f64> {
    by(families, "memgap_container_gc_cycles_total", "pod").get(pod).copied()
}

fn paths() -> [String; 2] {
    [container(1).path, container(2).path]
}

#[test]
fn in_use_by_runtime_sums_to_in_use() {
    let [path, _] = paths();
    let mut both = golang(1, "both", &path, 10 * MIB, 1);
    let mut claim = both.claims[0].clone();
    claim.owner = "glibc".to_owned();
    both.claims.push(claim);
    // Its own word counts what the ledger heap statistics as metadata.
    both.runtimes.push(Ok(Runtime { in_use: Some(11 * MIB), ..Runtime::named("glibc") }));
    let processes = vec![
        both,
        golang(2, "plain", &path, 5 * MIB, 1),
        golang(3, "api", UNIT, MIB, 1),
        process(4, "unread", &path, MIB),
    ];
    let found = Exporter::default().collect(processes);
    for (scope, count) in [("container", 2), ("unit", 1), ("process_group", 4)] {
        let name = |family| format!("memgap_{scope}_{family}");
        let by_runtime = samples(&found, &name("runtime_in_use_bytes"));
        assert_eq!(by_runtime.len(), count);
        let sum: f64 = by_runtime.iter().map(|s| s.value).sum();
        let whole: f64 = samples(&found, &name("in_use_bytes")).iter().map(|s| s.value).sum();
        assert_eq!(sum, whole, "{scope}");
    }
    let free = by(&found, "memgap_process_group_runtime_free_bytes", "group");
    assert_eq!(free.get("both"), Some(&((3 * MIB) as f64)));
}

#[test]
fn counters_count_from_the_start_and_survive_those_who_leave() {
    let [path, _] = paths();
    let mut exporter = Exporter::default();
    let one = |cycles| golang(1, "web", &path, MIB, cycles);
    let other = |cycles| golang(2, "web", &path, MIB, cycles);
    // What was before the exporter is not its to count.
    assert_eq!(cycles(&exporter.collect(vec![one(100)]), "web-1"), Some(0.0));
    assert_eq!(cycles(&exporter.collect(vec![one(103)]), "web-1"), Some(3.0));
    // A new process did everything since the last collection.
    assert_eq!(cycles(&exporter.collect(vec![one(104), other(5)]), "web-1"), Some(9.0));
    assert_eq!(cycles(&exporter.collect(vec![other(6)]), "web-1"), Some(10.0));
    // Another program in the same pid began anew.
    assert_eq!(cycles(&exporter.collect(vec![other(2)]), "web-1"), Some(12.0));
    let found = exporter.collect(vec![other(2)]);
    assert_eq!(cycles(&found, "web-1"), Some(12.0));
    let group = by(&found, "memgap_process_group_gc_cycles_total", "group");
    assert_eq!(group.get("web"), Some(&12.0));
    let paused = by(&found, "memgap_container_gc_pause_seconds_total", "pod");
    assert!((paused["web-1"] - 0.012).abs() < 1e-9, "{paused:?}");
}

#[test]
fn one_that_could_not_be_read_for_a_while_goes_on_where_it_was() {
    let [path, _] = paths();
    let mut exporter = Exporter::default();
    let silent = || process(1, "web", &path, MIB);
    exporter.collect(vec![silent()]);
    // It was there before: nobody knows when it did all that.
    assert_eq!(
        cycles(&exporter.collect(vec![golang(1, "web", &path, MIB, 50)]), "web-1"),
        Some(0.0)
    );
    assert_eq!(cycles(&exporter.collect(vec![silent()]), "web-1"), None);
    let again = exporter.collect(vec![golang(1, "web", &path, MIB, 54)]);
    assert_eq!(cycles(&again, "web-1"), Some(4.0));
}

#[test]
fn a_process_that_moves_takes_nothing_with_it() {
    let [path, elsewhere] = paths();
    let mut exporter = Exporter::default();
    exporter.collect(vec![golang(1, "web", &path, MIB, 1), golang(2, "web", &elsewhere, MIB, 1)]);
    exporter.collect(vec![golang(1, "web", &path, MIB, 8), golang(2, "web", &elsewhere, MIB, 1)]);
    let moved = golang(1, "web", &elsewhere, MIB, 10);
    let stays = golang(3, "web", &path, MIB, 0);
    let found = exporter.collect(vec![moved, golang(2, "web", &elsewhere, MIB, 1), stays]);
    assert_eq!((cycles(&found, "web-1"), cycles(&found, "web-2")), (Some(7.0), Some(2.0)));
}

#[test]
fn a_scope_that_is_gone_is_forgotten() {
    let [path, _] = paths();
    let mut exporter = Exporter::default();
    let all = machine(vec![container(1)], vec![golang(1, "web", &path, MIB, 1)]);
    exporter.families(&all, LIMITS);
    let later = machine(vec![container(1)], vec![golang(1, "web", &path, MIB, 9)]);
    assert_eq!(cycles(&exporter.families(&later, LIMITS), "web-1"), Some(8.0));
    exporter.families(&machine(Vec::<CgroupSample>::new(), Vec::new()), LIMITS);
    let new = machine(vec![container(1)], vec![golang(7, "web", &path, MIB, 2)]);
    assert_eq!(cycles(&exporter.families(&new, LIMITS), "web-1"), Some(2.0));
}

#[test]
fn no_counter_stands_in_other() {
    let [path, _] = paths();
    let processes: Vec<_> = ["a", "b", "other"]
        .iter()
        .zip(1..)
        .map(|(name, pid)| golang(pid, name, &path, u64::from(pid) * MIB, 5))
        .collect();
    let sample = machine(vec![container(1)], processes);
    let limits = Limits { process_groups: 1, ..LIMITS };
    let found = Exporter::default().families(&sample, limits);
    let groups = by(&found, "memgap_process_group_runtime_in_use_bytes", "group");
    assert!(groups.contains_key("other"), "{groups:?}");
    let counted = by(&found, "memgap_process_group_gc_cycles_total", "group");
    assert!(!counted.contains_key("other"), "{counted:?}");
}

#[test]
fn single_processes_are_shown_where_that_is_asked_for() {
    let [path, _] = paths();
    let processes: Vec<_> = ["web", "web", "other"]
        .iter()
        .zip(1..)
        .map(|(name, pid)| golang(pid, name, &path, u64::from(pid) * MIB, 5))
        .collect();
    let sample = machine(vec![container(1)], processes);
    let write = |limits| {
        let text = write(&mut Counters::default(), &sample, (limits, Grouping::Pid), Format::Text);
        parse(&text, Format::Text)
    };
    let found = write(LIMITS);
    assert!(found.iter().all(|f| !f.name.contains("process_group")));
    let in_use = by(&found, "memgap_process_in_use_bytes", "pid");
    let mib = |n: u64| (n * MIB) as f64;
    let expected = [("", mib(3)), ("1", mib(1)), ("2", mib(2))];
    assert_eq!(in_use, expected.map(|(pid, bytes)| (pid.to_owned(), bytes)).into());
    let folded = write(Limits { process_groups: 1, ..LIMITS });
    let sum: f64 = by(&folded, "memgap_process_in_use_bytes", "pid").values().sum();
    assert_eq!(sum, mib(6));
}
