//! One collection, encoded: what every scraper gets until the next.

use std::io::Write;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::channel::Families;
use crate::encode::{Encoder, Format, Kind, Value, open_metrics};
use crate::select::Scopes;
use crate::telemetry::{Own, Telemetry};
use crate::workloads;

/// The bytes of one collection in every form that a scraper can ask for.
#[derive(Debug)]
pub struct Snapshot {
    /// When the server had it.
    pub received: Instant,
    /// The same by the clock.
    pub time: SystemTime,
    /// How many bytes of the text are the reader's: the server's own figures follow.
    of_reader: usize,
    text: Encoded,
    /// Made of the other when it is first asked for.
    open_metrics: OnceLock<Encoded>,
}

/// One format. Cloning its bytes copies a pointer.
#[derive(Debug)]
pub struct Encoded {
    plain: Bytes,
    /// Made when it is first asked for.
    gzip: OnceLock<Bytes>,
}

const FINDING_HELP: &str =
    "Memory that an active finding is about. A finding that does not apply has no sample.";

/// What a series takes in text, generously.
const LINE: usize = 192;

impl Snapshot {
    /// What the reader sent, and the server's own figures.
    pub fn of(families: Families, own: &Own) -> Self {
        let Families { mut text } = families;
        let of_reader = text.len();
        let mut end = Encoder::new(Format::Text, 0);
        own.write(&mut end);
        text.extend_from_slice(end.families().as_bytes());
        Self {
            received: Instant::now(),
            time: SystemTime::now(),
            of_reader,
            text: Encoded::of(text),
            open_metrics: OnceLock::new(),
        }
    }

    /// The families in Prometheus' text format: the reader's and the server's own.
    pub fn parts(&self) -> (Bytes, Bytes) {
        let text = self.text.plain();
        (text.slice(..self.of_reader), text.slice(self.of_reader..))
    }

    /// The bytes in a format.
    pub fn format(&self, format: Format) -> &Encoded {
        match format {
            Format::Text => &self.text,
            Format::OpenMetrics => self.open_metrics.get_or_init(|| {
                let text = String::from_utf8_lossy(&self.text.plain);
                Encoded::of(open_metrics::of(&text).into_bytes())
            }),
        }
    }
}

impl Encoded {
    fn of(bytes: Vec<u8>) -> Self {
        Self { plain: exact(bytes), gzip: OnceLock::new() }
    }

    /// As it is.
    pub fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// Compressed by gzip.
    pub fn gzip(&self) -> Bytes {
        let compress = || {
            let mut gzip =
                GzEncoder::new(Vec::with_capacity(self.plain.len() / 8), Compression::fast());
            // Writing to a vector can not fail.
            let written = gzip.write_all(&self.plain).and_then(|()| gzip.finish());
            exact(written.unwrap_or_default())
        };
        self.gzip.get_or_init(compress).clone()
    }
}

/// What is kept until the next collection keeps no room to grow.
fn exact(bytes: Vec<u8>) -> Bytes {
    bytes.into_boxed_slice().into()
}

/// Encodes scopes and the reader's own figures.
pub fn encode(scopes: &Scopes, telemetry: &Telemetry) -> Families {
    let mut out = Encoder::new(Format::Text, scopes.series().saturating_mul(LINE));
    write(scopes, &mut out);
    telemetry.render().write(&mut out);
    Families { text: out.families().into_bytes() }
}

/// Writes the families of every scope, then the findings of all.
pub fn write(scopes: &Scopes, out: &mut Encoder) {
    for scope in scopes.all() {
        scope.write(out);
    }
    workloads::write(&scopes.workloads, &scopes.pods, out);
    let mut family = out.family(Kind::Gauge, "memgap_finding_bytes", FINDING_HELP);
    for scope in scopes.all() {
        for (labels, member) in &scope.members {
            for ((finding, severity), bytes) in &member.findings {
                let more =
                    [("scope", scope.table.name), ("finding", finding), ("severity", severity)];
                family.sample(labels, &more, Value::Int(*bytes));
            }
        }
    }
}
