//! Figures about the HTTP server.

use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Why the server closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It was idle, and another client had no place.
    MadeRoom,
    /// No whole request arrived in time.
    Head,
    /// Its client read an answer too slowly.
    Slow,
    /// It was as old as a connection may get.
    Age,
    /// There was no place for it, not even to refuse it.
    NoPlace,
    /// It did not speak TLS, or had not the certificate that it takes.
    Handshake,
}

/// Counts an answer to a scraper.
pub fn scrape(code: u16) {
    counter!("memgap_exporter_scrapes_total", "code" => code.to_string()).increment(1);
}

/// Records the connections that are open.
pub fn connections(idle: usize, busy: usize, overflow: usize) {
    for (state, count) in [("idle", idle), ("busy", busy), ("overflow", overflow)] {
        gauge!("memgap_exporter_connections", "state" => state).set(count as f64);
    }
}

/// Counts a connection that was closed.
pub fn closed(reason: Closed) {
    let reason = match reason {
        Closed::MadeRoom => "made_room",
        Closed::Head => "no_request",
        Closed::Slow => "slow",
        Closed::Age => "age",
        Closed::NoPlace => "no_place",
        Closed::Handshake => "no_handshake",
    };
    counter!("memgap_exporter_connections_closed_total", "reason" => reason).increment(1);
}

/// Counts a connection for which there was no place.
pub fn overflowed() {
    counter!("memgap_exporter_connections_overflowed_total").increment(1);
}

/// Counts a connection that could not be accepted.
pub fn accept_failed() {
    counter!("memgap_exporter_accept_failures_total").increment(1);
}

/// Tells the recorder what they are.
pub fn describe() {
    describe_counter!("memgap_exporter_scrapes_total", "Answers to scrapers, by HTTP status code.");
    describe_gauge!(
        "memgap_exporter_connections",
        "HTTP connections that are open: idle, busy, or overflow, beyond those that are served."
    );
    describe_counter!(
        "memgap_exporter_connections_closed_total",
        "Connections that the server closed, by reason."
    );
    describe_counter!(
        "memgap_exporter_connections_overflowed_total",
        "Connections beyond those that are served: answered about health, refused else."
    );
    describe_counter!(
        "memgap_exporter_accept_failures_total",
        "Connections that could not be accepted."
    );
}
