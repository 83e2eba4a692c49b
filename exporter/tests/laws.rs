//! What holds for every machine: the exposition is valid in both formats, no
//! series stands twice, and ledgers sum to their headlines under any bounds. What is kept
//! from one collection to the next changes nothing of it.

mod common;

// The ledger's own strategies: samples of any shape.
#[path = "../../agent/ledger/tests/any/mod.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod any;

use std::mem;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime};

use any::Scale;
use common::machine::{id, pod_uid};
use common::{Counters, assert_closed, exposition, parse, write_machine};
use memgap_exporter::api::documents::{Made, Maker};
use memgap_exporter::api::index::Entry;
use memgap_exporter::encode::Format;
use memgap_exporter::limit::Limits;
use memgap_exporter::select::{Grouping, Kept};
use memgap_ledger::sample::{ContainerNames, MachineSample};
use memgap_ledger::{Machine, Machines};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

/// Paths that contain one another, and names that need escaping.
fn path() -> impl Strategy<Value = String> {
    let pod = format!("/kubepods/pod{}", pod_uid(1));
    let container = format!("{pod}/{}", id(1));
    select(vec![
        "/".to_owned(),
        "/a\"\\\n".to_owned(),
        "/a/b.service".to_owned(),
        "/c/b.service".to_owned(),
        format!("{pod}/{}", id(2)),
        format!("/docker/{}", id(1)),
        format!("{container}/docker/{}", id(3)),
        format!("{container}/init.scope"),
        container,
        pod,
    ])
}

fn word() -> impl Strategy<Value = String> {
    select(vec!["", "other", "a", "é\\", "\"\n", "=,{}"]).prop_map(str::to_owned)
}

fn machine(scale: Scale) -> impl Strategy<Value = MachineSample> {
    let names = (word(), word(), word()).prop_map(|(namespace, pod, container)| ContainerNames {
        namespace,
        pod,
        container,
    });
    let cgroup = (any::cgroup(scale), path(), prop::option::of(names), any::<bool>());
    let cgroup = cgroup.prop_map(|(mut cgroup, path, names, leaf)| {
        (cgroup.path, cgroup.names, cgroup.leaf) = (path, names, leaf);
        cgroup
    });
    let process = (any::process(scale), word(), path()).prop_map(|(mut process, name, path)| {
        process.name = name;
        process.cgroup = process.cgroup.map(|_| path);
        process
    });
    // No two have one path.
    let cgroups = prop::collection::vec(cgroup, 0..8).prop_map(|mut cgroups| {
        cgroups.sort_by(|a, b| a.path.cmp(&b.path));
        cgroups.dedup_by(|a, b| a.path == b.path);
        cgroups
    });
    let processes = prop::collection::vec(process, 0..8);
    (any::host(scale), cgroups, processes).prop_map(|(host, cgroups, processes)| MachineSample {
        host,
        cgroups: Ok(cgroups),
        processes,
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    (0usize..6, 0usize..300)
        .prop_map(|(process_groups, max_series)| Limits { process_groups, max_series })
}

/// Two collections; some processes and cgroups of the first are in the second as they were, be
/// it a process in another cgroup.
fn two_machines() -> impl Strategy<Value = [MachineSample; 2]> {
    let machines = (machine(Scale::Real), machine(Scale::Real), any::<[[bool; 8]; 2]>());
    machines.prop_map(|(mut first, mut second, [stays, stays_too])| {
        second.processes.truncate(4);
        for (pid, machine) in [(1, &mut first), (101, &mut second)] {
            for (pid, process) in (pid..).zip(&mut machine.processes) {
                process.pid = pid;
            }
        }
        let stays = first.processes.iter().zip(stays).filter(|(_, stays)| *stays);
        second.processes.extend(stays.map(|(process, _)| process.clone()));
        if let (Ok(before), Ok(cgroups)) = (&first.cgroups, &mut second.cgroups) {
            for (cgroup, stays) in cgroups.iter_mut().zip(stays_too) {
                let same = before.iter().find(|before| stays && before.path == cgroup.path);
                *cgroup = same.unwrap_or(cgroup).clone();
            }
        }
        [first, second]
    })
}

/// The ledgers of a machine, those that are as before shared with it.
fn after(before: &Machine, sample: &MachineSample) -> Machine {
    let mut machine = Machine::of(sample);
    for process in &mut machine.processes {
        if let Some(same) = before.processes.iter().find(|one| *one == process) {
            *process = same.clone();
        }
    }
    for cgroup in machine.cgroups.iter_mut().flatten() {
        if let Some(same) = before.cgroups.iter().flatten().find(|one| *one == cgroup) {
            *cgroup = same.clone();
        }
    }
    machine
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_kept_is_what_would_be_made(
        [first, second] in two_machines(),
        limits in limits(),
        grouping in select(vec![Grouping::Name, Grouping::Pid]),
    ) {
        let first = Machine::of(&first);
        let second = after(&first, &second);
        let (mut kept, mut anew) = (Counters::default(), Counters::default());
        for machine in [&first, &second, &second, &first] {
            anew.kept = Kept { names: mem::take(&mut anew.kept.names), ..Kept::default() };
            let [kept, anew] = [&mut kept, &mut anew].map(|counters| {
                write_machine(counters, machine, (limits, grouping), Format::Text)
            });
            prop_assert_eq!(kept, anew);
        }
    }
}

proptest! {
    #[test]
    fn any_machine_is_written_whole(sample in machine(Scale::Real), limits in limits()) {
        for format in [Format::Text, Format::OpenMetrics] {
            assert_closed(&parse(&exposition(&sample, limits, format), format));
        }
    }

    #[test]
    fn absurd_figures_are_written_too(sample in machine(Scale::Absurd), limits in limits()) {
        for format in [Format::Text, Format::OpenMetrics] {
            parse(&exposition(&sample, limits, format), format);
        }
    }
}

/// The ages in a ledger count from when it was made, which its document has to say.
#[test]
fn a_cgroup_that_has_not_changed_keeps_the_time_of_its_ledger() {
    let mut maker = Maker::new(1 << 20);
    let mut machines = Machines::default();
    let mut times = |usage: u64, seconds: u64| {
        let mut sample = common::machine::machine(
            vec![common::machine::cgroup("/a"), common::machine::cgroup("/b")],
            Vec::new(),
        );
        for of in sample.cgroups.iter_mut().flatten().filter(|of| of.path == "/b") {
            of.usage = Ok(usage);
        }
        let made = machines.next(None, &sample.host, &sample.cgroups, Vec::new());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let Made { file, index, .. } = maker.make(&made, now).expect("memory for a file");
        let time = |entry: &Entry| {
            let mut bytes = vec![0; entry.span.length as usize];
            file.read_exact_at(&mut bytes, entry.span.at).expect("it is there");
            let document: Value = serde_json::from_slice(&bytes).expect("JSON");
            document["time"].as_str().expect("a time").to_owned()
        };
        index.cgroups.entries.iter().map(time).collect::<Vec<_>>()
    };
    let first = times(1 << 30, 0);
    assert_eq!(times(1 << 30, 60), first);
    // One of the two has another usage.
    let last = times(1 << 29, 120);
    assert!(last[0] == first[0] && last[1] != first[1], "{last:?}");
}
