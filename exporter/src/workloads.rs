//! What pods are of: an info metric to join others with, for pods that are exported by name.
//!
//! The node tells a pod's name, the API server what it is of. Where they do not agree on the
//! name nothing is said, nor of two pods of one name that are not of the same.

use std::collections::BTreeMap;

use crate::encode::{Encoder, Kind, Value, labels};
use crate::kubernetes::told::Workloads;
use crate::names::Names;
use crate::scope::Scope;

const HELP: &str = "What a pod is of, as the API server tells: for joins. known_by is owner where references of objects to their owners say so; name where the Deployment is told from the name of its ReplicaSet, which could not be read. A pod that nobody controls is its own workload, of kind Pod.";

/// The labels of what each pod is of, by the pod's own.
pub fn of_pods(names: &Names, workloads: &Workloads) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (uid, [namespace, pod]) in names.pods() {
        let told = workloads.get(uid);
        let Some(told) = told.filter(|t| (&t.namespace, &t.name) == (namespace, pod)) else {
            continue;
        };
        let Some(workload) = &told.workload else { continue };
        let of = labels(&[
            ("workload_kind", &workload.kind),
            ("workload", &workload.name),
            ("known_by", workload.known_by.name()),
        ]);
        let pod = labels(&[("namespace", namespace), ("pod", pod)]);
        let several = found.entry(pod).or_insert_with(|| Some(of.clone()));
        if several.as_ref() != Some(&of) {
            *several = None;
        }
    }
    found.into_iter().filter_map(|(pod, of)| Some((pod, of?))).collect()
}

/// Writes the family, of pods that the cap on series has left.
pub fn write(workloads: &BTreeMap<String, String>, pods: &Scope, out: &mut Encoder) {
    let mut family = out.family(Kind::Info, "memgap_pod_workload_info", HELP);
    for (pod, of) in workloads {
        if pods.members.contains_key(pod.as_str()) {
            family.sample(&format!("{pod},{of}"), &[], Value::Int(1));
        }
    }
}
