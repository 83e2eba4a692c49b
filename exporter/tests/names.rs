//! Whose a series is does not change: pods and containers are exported by the names that the
//! node tells, from when it does until they end.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::machine::{MIB, cgroup, container, id, machine, parent, pod_uid, process};
use common::{Counters, Family, parse, samples, write};
use memgap_exporter::encode::Format;
use memgap_exporter::limit::Limits;
use memgap_exporter::select::Grouping;
use memgap_ledger::sample::{CgroupSample, ContainerNames};

const LIMITS: Limits = Limits { process_groups: 20, max_series: 20_000 };

/// What is exported of a pod with a sandbox and those containers, after what was before. Each of
/// them has a process.
fn exported(counters: &mut Counters, containers: &[CgroupSample]) -> Vec<Family> {
    let pod = parent(&format!("/kubepods/pod{}", pod_uid(1)));
    let sandbox = cgroup(&format!("{}/{}", pod.path, id(0xfeed)));
    let mut processes = vec![process(1, "pause", &sandbox.path, MIB)];
    for (pid, container) in (2..).zip(containers) {
        processes.push(process(pid, "web", &container.path, MIB));
    }
    let mut cgroups = vec![parent("/"), parent("/kubepods"), pod, sandbox];
    cgroups.extend_from_slice(containers);
    let sample = machine(cgroups, processes);
    parse(&write(counters, &sample, (LIMITS, Grouping::Name), Format::Text), Format::Text)
}

/// Whose samples a family has, as `namespace/pod/container`.
fn names(families: &[Family], family: &str) -> Vec<String> {
    let name = |label: [&str; 3]| label.join("/").trim_end_matches('/').to_owned();
    let all = samples(families, &format!("memgap_{family}"));
    all.iter().map(|s| name(["namespace", "pod", "container"].map(|l| s.label(l)))).collect()
}

/// Pods, containers and process groups.
fn named(families: &[Family]) -> [Vec<String>; 3] {
    ["pod_usage_bytes", "container_usage_bytes", "process_group_rss_bytes"]
        .map(|family| names(families, family))
}

/// A container without the node's word, `n` its id.
fn unnamed(n: usize) -> CgroupSample {
    cgroup(&format!("/kubepods/pod{}/{}", pod_uid(1), id(n)))
}

#[test]
fn who_has_no_name_is_absent_and_who_has_one_keeps_it() {
    let counters = &mut Counters::default();
    let none: [Vec<String>; 3] = [vec![], vec![], vec![]];
    let pod = || vec!["shop/web-1".to_owned()];
    let whole = [pod(), vec!["shop/web-1/web".to_owned()], vec!["shop/web-1/web".to_owned()]];

    assert_eq!(named(&exported(counters, &[])), none);
    assert_eq!(named(&exported(counters, &[unnamed(1)])), none);
    // The kubelet has made the link.
    let found = exported(counters, &[container(1)]);
    assert_eq!(named(&found), whole);
    // The sandbox is nobody's container.
    assert_eq!(samples(&found, "memgap_container_info").len(), 1);
    // It has removed it, and the container is not yet gone.
    assert_eq!(named(&exported(counters, &[unnamed(1)])), whole);
    // It ended, and waits to be started again.
    assert_eq!(named(&exported(counters, &[])), [pod(), vec![], vec![]]);
    assert_eq!(named(&exported(counters, &[unnamed(2)])), [pod(), vec![], vec![]]);
    let again = CgroupSample { names: container(1).names, ..unnamed(2) };
    assert_eq!(named(&exported(counters, &[again])), whole);
}

/// As one that crashes again and again: what is left of it between is its sandbox.
#[test]
fn a_pod_is_named_also_while_none_of_its_containers_runs() {
    let counters = &mut Counters::default();
    let name = ["shop", "web-1"].map(str::to_owned);
    counters.kept.names.node_tells(Some(Arc::new([(pod_uid(1), name)].into())));
    let pod = vec!["shop/web-1".to_owned()];
    assert_eq!(named(&exported(counters, &[])), [pod, vec![], vec![]]);
}

#[test]
fn a_name_that_was_given_once_is_not_exchanged_for_another() {
    let counters = &mut Counters::default();
    let first = named(&exported(counters, &[container(1)]));
    let other = ContainerNames {
        namespace: "shop".to_owned(),
        pod: "cart-1".to_owned(),
        container: "cart".to_owned(),
    };
    let other = CgroupSample { names: Some(other), ..container(1) };
    assert_eq!(named(&exported(counters, &[other])), first);
}

#[test]
fn where_the_node_tells_no_names_all_go_by_id() {
    let counters = &mut Counters::default();
    counters.kept.names.node_tells(None);
    let before = named(&exported(counters, &[unnamed(1)]));
    let pod = format!("/{}", pod_uid(1));
    assert_eq!(before[0], [pod.as_str()]);
    let ids: BTreeSet<_> = before[1].iter().cloned().collect();
    assert_eq!(ids, ["000000000001", "00000000feed"].map(|id| format!("{pod}/{id}")).into());
    // It tells them now: of those that come.
    counters.kept.names.node_tells(Some(Arc::default()));
    assert_eq!(named(&exported(counters, &[container(1)])), before);
    // Outside of Kubernetes there is nobody to name a container.
    let docker = cgroup(&format!("/docker/{}", id(7)));
    let sample = machine(vec![docker], Vec::new());
    let text = write(&mut Counters::default(), &sample, (LIMITS, Grouping::Name), Format::Text);
    let found = parse(&text, Format::Text);
    assert_eq!(names(&found, "container_usage_bytes"), ["//000000000007"]);
}
