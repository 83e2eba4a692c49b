//! Pushes collections, each once at most and the newest there is.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use super::client::{Answer, Push};
use super::endpoint::Endpoint;
use super::exposition::families;
use super::headers::{self, Header};
use super::message::{Draft, Times, nanos, nanos_of_gauge};
use super::settings::Settings;
use crate::routes::Published;
use crate::snapshot::Snapshot;
use crate::telemetry::otlp::{self, Pushed};

/// What pushes.
#[derive(Debug)]
pub struct Pusher {
    endpoint: Endpoint,
    interval: Duration,
    timeout: Duration,
    headers: Vec<Header>,
    resource: Vec<(String, String)>,
    /// Where the endpoint is, by what is known last.
    addresses: watch::Receiver<Vec<SocketAddr>>,
    health: Health,
}

/// Whether pushes arrive, for the log.
#[derive(Debug, Default)]
struct Health {
    has_arrived: bool,
    /// How many collections did not since it was told.
    lost: Option<u64>,
}

/// Time before a second try; it doubles with each, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Bytes to compress before others have their turn.
const CHUNK: usize = 64 << 10;

impl Pusher {
    /// Reads what the settings name, while files can be. `name` is that of the system that
    /// this process sees, and whether that is the machine it tells of. None where nothing is
    /// to be pushed.
    pub fn of(
        settings: &Settings,
        name: Option<&str>,
        is_ours: bool,
        addresses: watch::Receiver<Vec<SocketAddr>>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = settings.endpoint.clone() else { return Ok(None) };
        let of_file = settings.headers_file.as_deref().map(headers::read).transpose();
        let of_file = of_file.context("headers to push with")?.unwrap_or_default();
        Ok(Some(Self {
            endpoint,
            interval: settings.interval,
            timeout: settings.timeout,
            headers: [settings.headers.clone(), of_file].concat(),
            resource: resource(&settings.resource, name, is_ours),
            addresses,
            health: Health::default(),
        }))
    }

    /// Pushes what is published, until nothing can be any more.
    pub async fn run(mut self, mut published: watch::Receiver<Published>) {
        // A name takes a moment to be looked up.
        let known = self.addresses.wait_for(|addresses| !addresses.is_empty());
        let _ = timeout(self.timeout, known).await;
        let mut last = None;
        loop {
            let snapshot = published.borrow_and_update().clone();
            match snapshot.filter(|snapshot| last != Some(snapshot.received)) {
                Some(snapshot) => {
                    last = Some(snapshot.received);
                    sleep_until(self.push(&snapshot).await).await;
                }
                None if published.changed().await.is_err() => return,
                None => {}
            }
        }
    }

    /// Pushes a collection; returns when the next one may be.
    async fn push(&mut self, snapshot: &Arc<Snapshot>) -> Instant {
        let due = Instant::now() + self.interval;
        let push = Push {
            endpoint: &self.endpoint,
            headers: &self.headers,
            body: body(snapshot, &self.resource).await,
            timeout: self.timeout,
        };
        let mut pause = PAUSE;
        loop {
            let addresses = self.addresses.borrow().clone();
            let (result, why) = match push.send(&addresses).await {
                Answer::Taken => (Pushed::Whole, None),
                Answer::TakenInPart(why) => (Pushed::Part, Some(why)),
                Answer::Refused(why) => (Pushed::Refused, Some(why)),
                Answer::Later(wait, why) => {
                    let next = Instant::now() + wait.unwrap_or_else(|| around(pause));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    if next < due {
                        self.health.tried(&self.endpoint, &why);
                        otlp::tried_again();
                        sleep_until(next).await;
                        continue;
                    }
                    otlp::pushed(Pushed::Failed);
                    self.health.lost(&self.endpoint, &why);
                    // How long to wait is the collector's to say, and else a matter of a try.
                    return if wait.is_some() { next } else { due };
                }
            };
            otlp::pushed(result);
            match why {
                None => self.health.arrived(&self.endpoint),
                Some(why) => self.health.lost(&self.endpoint, &why),
            }
            return due;
        }
    }
}

impl Health {
    fn arrived(&mut self, endpoint: &Endpoint) {
        if let Some(lost) = self.lost.take() {
            tracing::info!(%endpoint, lost, "pushes arrive again");
        } else if !self.has_arrived {
            tracing::info!(%endpoint, "the first push has arrived");
        }
        self.has_arrived = true;
    }

    /// Notes a try that failed and is not the last. Until one has arrived that is of interest.
    fn tried(&mut self, endpoint: &Endpoint, why: &str) {
        if !self.has_arrived && self.lost.is_none() {
            self.tell(endpoint, why, 0);
        }
    }

    /// Notes a collection that does not arrive as a whole.
    fn lost(&mut self, endpoint: &Endpoint, why: &str) {
        match &mut self.lost {
            Some(lost) => *lost += 1,
            None => self.tell(endpoint, why, 1),
        }
    }

    fn tell(&mut self, endpoint: &Endpoint, why: &str, lost: u64) {
        self.lost = Some(lost);
        tracing::warn!(%endpoint, "pushes do not arrive: {why}");
    }
}

/// The attributes of what is pushed: those that are known, and those that are given.
fn resource(
    given: &[(String, String)],
    name: Option<&str>,
    is_ours: bool,
) -> Vec<(String, String)> {
    let known = [
        ("service.name", Some("memgap-exporter")),
        ("service.version", Some(env!("CARGO_PKG_VERSION"))),
        ("service.instance.id", name),
        ("host.name", name.filter(|_| is_ours)),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let known = known.filter(|(name, _)| given.iter().all(|(other, _)| other != name));
    known.map(|(name, value)| (name.to_owned(), value.to_owned())).chain(given.to_vec()).collect()
}

/// A time of about that length: those who were refused together come back apart.
fn around(pause: Duration) -> Duration {
    let thousandths = RandomState::new().hash_one(0) % 1000;
    pause.mul_f64(0.5 + thousandths as f64 / 1000.0)
}

/// A collection as a compressed request. Others have their turn while it is made.
async fn body(snapshot: &Snapshot, resource: &[(String, String)]) -> Bytes {
    let (reader, server) = snapshot.parts();
    let [reader, server] = [&reader, &server].map(|part| String::from_utf8_lossy(part));
    let time = nanos(snapshot.time);
    let start = |text, name| nanos_of_gauge(text, name);
    let process = start(&reader, "process_start_time_seconds");
    let mut draft = Draft::default();
    for (text, name) in [
        (&reader, "memgap_exporter_reader_start_time_seconds"),
        (&server, "memgap_exporter_server_start_time_seconds"),
    ] {
        let of_part = start(text, name);
        for family in families(text) {
            let is_of_all = family.name.starts_with("process_");
            let start = if is_of_all { process } else { of_part };
            draft.add(family, Times { time, start });
            yield_now().await;
        }
    }
    if draft.left_out > 0 {
        tracing::debug!(lines = draft.left_out, "are not understood, and not pushed");
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    for chunk in draft.finish(resource).iter().flat_map(|part| part.chunks(CHUNK)) {
        // Writing to a vector can not fail.
        let _ = gzip.write_all(chunk);
        yield_now().await;
    }
    gzip.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_replaces_what_is_known() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let given = [pair("k8s.node.name", "n"), pair("host.name", "mine")];
        let found = resource(&given, Some("theirs"), true);
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "service.name",
            "service.version",
            "service.instance.id",
            "k8s.node.name",
            "host.name",
        ];
        assert_eq!(names, expected);
        assert_eq!(found[4].1, "mine");
        assert_eq!(resource(&[], Some("pod"), false).len(), 3);
        assert_eq!(resource(&[], None, true).len(), 2);
    }

    #[test]
    fn pauses_differ_and_are_bounded() {
        for _ in 0..100 {
            let pause = around(PAUSE);
            assert!(pause >= PAUSE / 2 && pause < PAUSE * 3 / 2, "{pause:?}");
        }
    }
}
