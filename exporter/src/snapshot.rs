//! One collection, encoded: what every scraper gets until the next.

use std::io::Write;
use std::time::Instant;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::encode::{Encoder, Format, Kind, Value};
use crate::select::Scopes;
use crate::telemetry::Telemetry;

/// The bytes of one collection in every form that a scraper can ask for.
/// Cloning one of them copies a pointer.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was made.
    pub made: Instant,
    text: Encoded,
    open_metrics: Encoded,
}

/// One format, plain and compressed.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// As it is.
    pub plain: Bytes,
    /// Compressed by gzip.
    pub gzip: Bytes,
}

const FINDING_HELP: &str =
    "Memory that an active finding is about. A finding that does not apply has no sample.";

impl Snapshot {
    /// Encodes scopes and the exporter's own figures.
    pub fn of(scopes: &Scopes, telemetry: &Telemetry) -> Self {
        let own = telemetry.render();
        let encode = |format| {
            let mut out = Encoder::new(format, scopes.series().saturating_mul(LINE));
            write(scopes, &mut out);
            own.write(format, &mut out);
            Encoded::of(out.finish())
        };
        Self {
            made: Instant::now(),
            text: encode(Format::Text),
            open_metrics: encode(Format::OpenMetrics),
        }
    }

    /// The bytes in a format.
    pub fn format(&self, format: Format) -> &Encoded {
        match format {
            Format::Text => &self.text,
            Format::OpenMetrics => &self.open_metrics,
        }
    }

    /// How many bytes it holds.
    pub fn size(&self) -> usize {
        [&self.text, &self.open_metrics].iter().map(|e| e.plain.len() + e.gzip.len()).sum()
    }
}

/// What a series takes in text, generously.
const LINE: usize = 192;

impl Encoded {
    fn of(text: String) -> Self {
        let plain = exact(text.into_bytes());
        let mut gzip = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::fast());
        let written = gzip.write_all(&plain).and_then(|()| gzip.finish());
        let gzip = written.expect("writing to a vector can not fail");
        Self { plain, gzip: exact(gzip) }
    }
}

/// What is kept until the next collection keeps no room to grow.
fn exact(bytes: Vec<u8>) -> Bytes {
    bytes.into_boxed_slice().into()
}

/// Writes the families of every scope, then the findings of all.
pub fn write(scopes: &Scopes, out: &mut Encoder) {
    for scope in scopes.all() {
        scope.write(out);
    }
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
