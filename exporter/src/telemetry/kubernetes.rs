//! Figures about the watch of pods.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::kubernetes::message::{Outcome, Request};

/// Records what is known, and how long ago the API server last said something: before it ever
/// has, there may be any number of pods.
pub fn known(pods: usize, age: Option<Duration>) {
    if let Some(age) = age {
        gauge!("memgap_exporter_kubernetes_pods").set(pods as f64);
        gauge!("memgap_exporter_kubernetes_age_seconds").set(age.as_secs_f64());
    }
}

/// Counts a request.
pub fn asked(request: Request, outcome: Outcome) {
    counter!(
        "memgap_exporter_kubernetes_requests_total",
        "request" => request.name(), "outcome" => outcome.name()
    )
    .increment(1);
}

/// Records the pods of the last list that are left out.
pub fn left_out(pods: usize) {
    gauge!("memgap_exporter_kubernetes_pods_left_out").set(pods as f64);
}

/// Tells the recorder what they are.
pub fn describe() {
    describe_gauge!(
        "memgap_exporter_kubernetes_pods",
        "Pods of this node that the API server told, and that have not ended."
    );
    describe_gauge!(
        "memgap_exporter_kubernetes_age_seconds",
        "Time since the API server last told of pods, if only that nothing has changed, as it does about once a minute. What it told before stays in force."
    );
    describe_counter!(
        "memgap_exporter_kubernetes_requests_total",
        "Requests to the API server, by what was asked for and what came of it. A watch that ended in mid-course counts twice."
    );
    describe_gauge!(
        "memgap_exporter_kubernetes_pods_left_out",
        "Pods of the last list that are left out: too many, or with names that are none."
    );
}
