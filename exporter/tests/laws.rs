//! What holds for every machine: the exposition is valid in both formats, no
//! series stands twice, and ledgers sum to their headlines under any bounds.

mod common;

// The ledger's own strategies: samples of any shape.
#[path = "../../agent/ledger/tests/any/mod.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod any;

use any::Scale;
use common::machine::{id, pod_uid};
use common::{assert_closed, exposition, parse};
use memgap_exporter::encode::Format;
use memgap_exporter::limit::Limits;
use memgap_ledger::sample::{ContainerNames, MachineSample};
use proptest::prelude::*;
use proptest::sample::select;

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
    let cgroups = prop::collection::vec(cgroup, 0..8);
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
