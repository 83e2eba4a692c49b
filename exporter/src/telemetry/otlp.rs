//! Figures about pushing collections.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::own;

/// What came of a collection that was to be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was taken.
    Whole,
    /// It was taken but for some points.
    Part,
    /// It was refused for good.
    Refused,
    /// No try succeeded before the next one was due.
    Failed,
}

/// Counts a collection that was pushed, or should have been.
pub fn pushed(result: Pushed) {
    let word = match result {
        Pushed::Whole => "whole",
        Pushed::Part => "part",
        Pushed::Refused => "refused",
        Pushed::Failed => "failed",
    };
    counter!("memgap_exporter_otlp_pushes_total", "result" => word).increment(1);
    if result == Pushed::Whole {
        gauge!("memgap_exporter_otlp_last_push_timestamp_seconds").set(own::now());
    }
}

/// Counts a try after the first.
pub fn tried_again() {
    counter!("memgap_exporter_otlp_retries_total").increment(1);
}

/// Tells the recorder what they are.
pub fn describe() {
    describe_counter!(
        "memgap_exporter_otlp_pushes_total",
        "Collections that were to be pushed, by what came of it: whole, part, refused, failed."
    );
    describe_gauge!(
        "memgap_exporter_otlp_last_push_timestamp_seconds",
        "When a collection was last taken whole, since the epoch."
    );
    describe_counter!(
        "memgap_exporter_otlp_retries_total",
        "Tries to push a collection after the first one."
    );
}
