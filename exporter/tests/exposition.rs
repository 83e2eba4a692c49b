//! What is written of machines made by hand.
#![allow(clippy::float_cmp, reason = "whole numbers of bytes")]

mod common;

use std::collections::BTreeMap;

use common::machine::{
    MIB, cgroup, container, golang, id, machine, one_of_each, parent, process, unwalked,
};
use common::{Family, assert_closed, exposition, parse, promtool, samples};
use memgap_exporter::encode::Format;
use memgap_exporter::gc::Increments;
use memgap_exporter::limit::{Limiter, Limits};
use memgap_exporter::select::{Grouping, Scopes};
use memgap_ledger::sample::{CgroupSample, MachineSample};
use memgap_ledger::{Machine, Missing};

const LIMITS: Limits = Limits { process_groups: 20, max_series: 20_000 };

fn families(sample: &MachineSample, limits: Limits) -> Vec<Family> {
    parse(&exposition(sample, limits, Format::Text), Format::Text)
}

#[test]
fn the_text_format_is_golden() {
    let text = exposition(&one_of_each(), LIMITS, Format::Text);
    assert_closed(&parse(&text, Format::Text));
    insta::assert_snapshot!("text", text);
}

#[test]
fn open_metrics_is_golden() {
    let text = exposition(&one_of_each(), LIMITS, Format::OpenMetrics);
    assert_closed(&parse(&text, Format::OpenMetrics));
    insta::assert_snapshot!("open_metrics", text);
}

#[test]
fn promtool_accepts_the_text_format() {
    promtool(&exposition(&one_of_each(), LIMITS, Format::Text));
}

#[test]
fn cgroups_with_equal_labels_are_summed() {
    let mut restarted = container(2);
    restarted.names = container(1).names;
    let found = families(&machine(vec![container(1), restarted], Vec::new()), LIMITS);
    let usage = samples(&found, "memgap_container_usage_bytes");
    assert_eq!(usage.len(), 1);
    assert_eq!(usage[0].value, (128 * MIB) as f64);
    assert_eq!(samples(&found, "memgap_container_info").len(), 2);
    assert_closed(&found);
}

#[test]
fn a_sum_over_the_node_counts_each_byte_once() {
    let outer = CgroupSample { leaf: false, ..container(1) };
    let inner = cgroup(&format!("{}/init.scope", outer.path));
    let nested = cgroup(&format!("{}/docker/{}", outer.path, id(7)));
    let within = process(1, "init", &inner.path, MIB);
    let cgroups = vec![parent("/"), parent("/kubepods"), outer, inner, nested];
    let found = families(&machine(cgroups, vec![within]), LIMITS);
    assert_eq!(samples(&found, "memgap_container_usage_bytes").len(), 1);
    for scope in ["unit", "cgroup"] {
        assert!(samples(&found, &format!("memgap_{scope}_usage_bytes")).is_empty());
    }
    assert_eq!(samples(&found, "memgap_process_group_rss_bytes")[0].label("pod"), "web-1");
}

#[test]
fn what_is_not_known_has_no_sample() {
    let mut blind = container(1);
    blind.stat = Err(Missing::absent("a test"));
    blind.limit = Ok(None);
    let mut gone = container(2);
    gone.usage = Err(Missing::absent("a test"));
    let found = families(&machine(vec![blind, gone], Vec::new()), LIMITS);
    assert_eq!(samples(&found, "memgap_container_usage_bytes").len(), 1);
    for name in ["working_set", "working_set_hidden", "required", "in_use", "limit"] {
        assert!(samples(&found, &format!("memgap_container_{name}_bytes")).is_empty(), "{name}");
    }
    assert_closed(&found);
}

#[test]
fn a_container_stays_within_its_budget_of_series() {
    let path = container(1).path;
    let series = |process| {
        let found = families(&machine(vec![container(1)], vec![process]), LIMITS);
        let of_container = |f: &&Family| f.name.starts_with("memgap_container_");
        found.iter().filter(of_container).map(|f| f.samples.len()).sum::<usize>()
    };
    let (plain, go) = (process(1, "a", &path, 48 * MIB), golang(1, "a", &path, 46 * MIB, 1));
    let (plain, go) = (series(plain), series(go));
    assert!(plain <= 29 && go <= 39, "{plain} and {go} series");
}

#[test]
fn process_groups_beyond_the_largest_are_conserved_in_other() {
    let path = container(1).path;
    let mut processes: Vec<_> =
        (1..=30).map(|n| process(n, &format!("p{n}"), &path, u64::from(n) * MIB)).collect();
    processes.push(unwalked(99, "other", &path, MIB));
    let sample = machine(vec![container(1)], processes);
    let found = families(&sample, Limits { process_groups: 3, ..LIMITS });
    let rss: BTreeMap<_, _> = samples(&found, "memgap_process_group_rss_bytes")
        .iter()
        .map(|s| (s.label("group").to_owned(), s.value))
        .collect();
    let folded: u64 = (1..=27).sum::<u64>() + 1;
    let expected = [("p30", 30), ("p29", 29), ("p28", 28), ("other", folded)];
    let expected = expected.map(|(group, mib)| (group.to_owned(), (mib * MIB) as f64));
    assert_eq!(rss, BTreeMap::from(expected));
    assert_eq!(samples(&found, "memgap_process_group_processes")[0].label("container"), "");
    assert_closed(&found);
    let none = families(&sample, Limits { process_groups: 0, ..LIMITS });
    assert!(none.iter().all(|f| !f.name.contains("process_group")));
}

#[test]
fn a_group_keeps_its_place_against_one_of_like_size() {
    let shown = |limiter: &mut Limiter, a: u64, b: u64| {
        let sample = machine(Vec::new(), vec![process(1, "a", "/", a), process(2, "b", "/", b)]);
        let mut scopes = Scopes::of(&Machine::of(&sample), &Increments::new(), Grouping::Name);
        limiter.apply(&mut scopes);
        let shown = scopes.groups.members.into_keys().find(|l| !l.contains("other"));
        shown.expect("one group is shown")
    };
    let mut limiter = Limiter::new(Limits { process_groups: 1, ..LIMITS });
    assert!(shown(&mut limiter, 11 * MIB, 10 * MIB).contains("group=\"a\""));
    assert!(shown(&mut limiter, 10 * MIB, 11 * MIB).contains("group=\"a\""));
    assert!(shown(&mut limiter, 10 * MIB, 20 * MIB).contains("group=\"b\""));
}

#[test]
fn the_cap_folds_process_groups_first_and_containers_last() {
    let mut cgroups: Vec<_> = (0..60).map(container).collect();
    cgroups.extend((0..40).map(|n| cgroup(&format!("/system.slice/unit-{n}.service"))));
    let processes = (0..60)
        .map(|n: u32| {
            golang(n, &format!("p{n}"), &container(n as usize).path, u64::from(n + 1) * MIB, 1)
        })
        .collect();
    let sample = machine(cgroups, processes);
    let limits = Limits { process_groups: 60, max_series: usize::MAX };
    let whole = families(&sample, limits);
    let count = |f: &[Family]| f.iter().map(|f| f.samples.len()).sum::<usize>();
    let of = |f: &[Family], scope: &str| {
        let usage = ["usage", "rss"].map(|u| samples(f, &format!("memgap_{scope}_{u}_bytes")));
        let all: Vec<_> = usage.into_iter().flatten().map(|s| s.value).collect();
        (all.len(), all.iter().sum::<f64>())
    };
    for max_series in [3000, 2300, 1400, 700] {
        let capped = families(&sample, Limits { max_series, ..limits });
        assert!(count(&capped) <= max_series, "{} of {max_series}", count(&capped));
        assert_closed(&capped);
        for scope in ["container", "unit", "process_group"] {
            assert_eq!(of(&capped, scope).1, of(&whole, scope).1, "{scope} at {max_series}");
        }
        let named = ["process_group", "unit", "container"].map(|s| of(&capped, s).0);
        let full = named[2] == 60;
        assert!(full || (named[0] <= 1 && named[1] <= 1), "{named:?} at {max_series}");
    }
}
