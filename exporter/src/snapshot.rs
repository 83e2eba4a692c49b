//! One collection, encoded: what every scraper gets until the next.

use std::io::Write;
use std::sync::OnceLock;
use std::time::Instant;

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::channel::Families;
use crate::encode::{Encoder, Format, Kind, Value};
use crate::select::Scopes;
use crate::telemetry::{Own, Telemetry};

/// The bytes of one collection in every form that a scraper can ask for.
#[derive(Debug)]
pub struct Snapshot {
    /// When the server had it.
    pub received: Instant,
    text: Encoded,
    open_metrics: Encoded,
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
        let Families { text, open_metrics } = families;
        Self {
            received: Instant::now(),
            text: Encoded::of(text, own, Format::Text),
            open_metrics: Encoded::of(open_metrics, own, Format::OpenMetrics),
        }
    }

    /// The bytes in a format.
    pub fn format(&self, format: Format) -> &Encoded {
        match format {
            Format::Text => &self.text,
            Format::OpenMetrics => &self.open_metrics,
        }
    }
}

impl Encoded {
    fn of(mut bytes: Vec<u8>, own: &Own, format: Format) -> Self {
        let mut end = Encoder::new(format, 0);
        own.write(format, &mut end);
        bytes.extend_from_slice(end.finish().as_bytes());
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
    let own = telemetry.render();
    let encode = |format| {
        let mut out = Encoder::new(format, scopes.series().saturating_mul(LINE));
        write(scopes, &mut out);
        own.write(format, &mut out);
        out.families().into_bytes()
    };
    Families { text: encode(Format::Text), open_metrics: encode(Format::OpenMetrics) }
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
