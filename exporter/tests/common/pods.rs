//! Pods of the captured node as an API server tells them, and what the exporter says of them.

use std::fs;
use std::io::{self, Write};
use std::time::Instant;

use crate::api_server::{ApiServer, Client, Request, begin, hold, whole};
use crate::common::daemon::{Daemon, PATIENCE};
use crate::common::{Family, Sample, samples};

const NODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/kubernetes");

/// The pods of the node.
pub const CHECKOUT: [&str; 2] =
    ["checkout-6d5f7c9b48-x2x7q", "3f1c2a77-9d0e-4b7c-8a55-61f0c2d9e814"];
pub const ORDERS: [&str; 2] = ["orders-0", "a84b6e12-0c3d-4f9e-b1a7-5d2c8f7e9036"];

pub const REPLICA_SET: [&str; 3] = ["apps/v1", "ReplicaSet", "checkout-6d5f7c9b48"];
pub const STATEFUL_SET: [&str; 3] = ["apps/v1", "StatefulSet", "orders"];

/// Of the ReplicaSet by its owner.
pub const BY_OWNER: &str = "shop/checkout-6d5f7c9b48-x2x7q Deployment/checkout owner";
/// The same by its name.
pub const BY_NAME: &str = "shop/checkout-6d5f7c9b48-x2x7q Deployment/checkout name";
pub const OF_ORDERS: &str = "shop/orders-0 StatefulSet/orders owner";

pub fn owner([api, kind, name]: [&str; 3]) -> String {
    format!(
        r#"[{{"apiVersion":"{api}","kind":"{kind}","name":"{name}","uid":"uid-of-{name}","controller":true}}]"#
    )
}

/// A pod that something owns.
pub fn pod([name, uid]: [&str; 2], of: [&str; 3]) -> String {
    let owner = owner(of);
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"shop","uid":"{uid}","resourceVersion":"11",
        "labels":{{"app":"x","pod-template-hash":"6d5f7c9b48"}},"ownerReferences":{owner}}},"spec":{{"x":[1,null]}}}}"#
    )
    .replace('\n', "")
}

pub fn list(version: u32, pods: &[String]) -> String {
    let pods = pods.join(",");
    format!(r#"{{"kind":"PodList","metadata":{{"resourceVersion":"{version}"}},"items":[{pods}]}}"#)
}

pub fn both() -> Vec<String> {
    vec![pod(CHECKOUT, REPLICA_SET), pod(ORDERS, STATEFUL_SET)]
}

pub fn event(kind: &str, pod: &str) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{pod}}}\n")
}

/// The ReplicaSet, whose Deployment is known.
pub fn replica_set(client: &mut Client) -> io::Result<()> {
    let of = owner(["apps/v1", "Deployment", "checkout"]);
    let [_, _, name] = REPLICA_SET;
    whole(
        client,
        200,
        &format!(
            r#"{{"metadata":{{"name":"{name}","uid":"uid-of-{name}","ownerReferences":{of}}}}}"#
        ),
    )
}

/// What a sound server answers to what is not watched.
pub fn sound(request: &Request, client: &mut Client, pods: &[String]) -> io::Result<()> {
    if is_of(request, "replicasets") {
        return replica_set(client);
    }
    whole(client, 200, &list(10, pods))
}

pub fn is_of(request: &Request, word: &str) -> bool {
    request.path.contains(word)
}

/// A watch in which nothing happens.
pub fn quiet(client: &mut Client) -> io::Result<()> {
    begin(client)?;
    client.flush()?;
    hold(client)
}

pub fn start(server: &ApiServer) -> Daemon {
    start_with(server, &[])
}

pub fn start_with(server: &ApiServer, more: &[&str]) -> Daemon {
    let mut arguments = server.arguments();
    arguments.extend([
        format!("--path.procfs={NODE}/proc"),
        format!("--path.cgroupfs={NODE}/sys/fs/cgroup"),
        format!("--path.container-logs={NODE}/var/log/containers"),
        "--interval=100ms".to_owned(),
    ]);
    let arguments = arguments.iter().map(String::as_str).chain(more.iter().copied());
    Daemon::ready(&arguments.collect::<Vec<_>>())
}

/// `namespace/pod kind/workload known_by`.
pub fn told(families: &[Family]) -> Vec<String> {
    let all = samples(families, "memgap_pod_workload_info");
    let word = |s: &&Sample| {
        let of = |name| s.label(name).to_owned();
        let [namespace, pod, kind, workload, by] =
            ["namespace", "pod", "workload_kind", "workload", "known_by"].map(of);
        format!("{namespace}/{pod} {kind}/{workload} {by}")
    };
    all.iter().map(word).collect()
}

pub fn asked(families: &[Family], request: &str, outcome: &str) -> f64 {
    let all = samples(families, "memgap_exporter_kubernetes_requests_total");
    let is_it = |s: &&&Sample| s.label("request") == request && s.label("outcome") == outcome;
    all.iter().find(is_it).map_or(0.0, |s| s.value)
}

pub fn figure(families: &[Family], name: &str) -> Option<f64> {
    samples(families, &format!("memgap_exporter_kubernetes_{name}")).first().map(|s| s.value)
}

pub fn wait(daemon: &Daemon, what: &str, is_so: impl Fn(&[Family]) -> bool) -> Vec<Family> {
    let end = Instant::now() + PATIENCE;
    loop {
        let families = daemon.families();
        if is_so(&families) {
            return families;
        }
        assert!(Instant::now() < end, "{what}: {:?} {:?}", told(&families), daemon.said());
    }
}

/// The process that watches.
pub fn watcher(daemon: &Daemon) -> u32 {
    let reader = daemon.process("memgap-reader");
    // It is a child of the thread that listens to it.
    let tasks = fs::read_dir(format!("/proc/{reader}/task")).expect("it runs");
    let children = tasks.filter_map(|task| {
        fs::read_to_string(task.expect("a thread").path().join("children")).ok()
    });
    let children: String = children.collect();
    children.split_whitespace().next().expect("it has a child").parse().expect("a pid")
}

pub fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a figure") << 10
}
