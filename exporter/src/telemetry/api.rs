//! Figures about the HTTP API.

use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Records the documents of a collection.
pub fn made(bytes: u64, left_out: [(&'static str, u64); 4]) {
    gauge!("memgap_exporter_api_bytes").set(bytes as f64);
    for (list, count) in left_out {
        gauge!("memgap_exporter_api_left_out", "list" => list).set(count as f64);
    }
}

/// Counts an answer.
pub fn answered(code: u16) {
    counter!("memgap_exporter_api_answers_total", "code" => code.to_string()).increment(1);
}

/// Tells the recorder what they are.
pub fn describe() {
    describe_gauge!(
        "memgap_exporter_api_bytes",
        "Documents that the API serves, where --web.api asks for them."
    );
    describe_gauge!(
        "memgap_exporter_api_left_out",
        "Documents that are not kept for the API, for want of room: see --web.api-max-bytes."
    );
    describe_counter!(
        "memgap_exporter_api_answers_total",
        "Answers of the API, by HTTP status code."
    );
}
