//! A collection as a request of OTLP (opentelemetry/proto/metrics/v1/metrics.proto).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::exposition::{Family, Sample, families, pairs, unescaped};
use super::protobuf::{double, fixed, head, message, number, packed, text};
use crate::encode::unit;

/// A request that is being made.
#[derive(Debug, Default)]
pub struct Draft {
    metrics: Vec<u8>,
    /// Lines that were not understood.
    pub left_out: usize,
}

/// When what is told was, in nanoseconds since the epoch. 0 is not known.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When it was read.
    pub time: u64,
    /// When its counters were 0.
    pub start: u64,
}

/// A histogram of one label set, as far as it was read.
#[derive(Debug, Default)]
struct Histogram<'t> {
    labels: &'t str,
    bounds: Vec<f64>,
    /// How many are at most each bound.
    cumulative: Vec<u64>,
    count: u64,
    sum: f64,
}

/// Counts from the start on, and does not restart with each push.
const CUMULATIVE: u64 = 2;

/// The fields that points have in common, by the kind of point.
struct Fields {
    attributes: u64,
    start: u64,
    time: u64,
}

const NUMBER: Fields = Fields { attributes: 7, start: 2, time: 3 };

const HISTOGRAM: Fields = Fields { attributes: 9, start: 2, time: 3 };

/// Nanoseconds since the epoch.
pub fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The same of the value of a gauge in seconds; 0 where there is none.
pub fn nanos_of_gauge(families_text: &str, name: &str) -> u64 {
    let family = families(families_text).find(|family| family.name == name);
    let value = family.and_then(|family| family.samples().flatten().next());
    let seconds = value.and_then(|sample| sample.value.parse().ok());
    let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

impl Draft {
    /// Adds a family.
    pub fn add(&mut self, family: Family<'_>, times: Times) {
        let mut left_out = 0;
        message(&mut self.metrics, 2, |out| {
            text(out, 1, family.name);
            text(out, 2, &unescaped(family.help));
            text(out, 3, symbol(family.name));
            match family.kind {
                "counter" => message(out, 7, |out| {
                    left_out = numbers(out, family, times);
                    number(out, 2, CUMULATIVE);
                    number(out, 3, 1);
                }),
                "histogram" => message(out, 9, |out| {
                    left_out = histograms(out, family, times);
                    number(out, 2, CUMULATIVE);
                }),
                _ => message(out, 5, |out| {
                    left_out = numbers(out, family, Times { start: 0, ..times });
                }),
            }
        });
        self.left_out += left_out;
    }

    /// The request, in two parts.
    pub fn finish(self, resource: &[(String, String)]) -> [Vec<u8>; 2] {
        let mut scope = Vec::new();
        message(&mut scope, 1, |out| {
            text(out, 1, "memgap-exporter");
            text(out, 2, env!("CARGO_PKG_VERSION"));
        });
        let mut of_resource = Vec::new();
        message(&mut of_resource, 1, |out| {
            for (name, value) in resource {
                attribute(out, 1, name, value);
            }
        });
        // All metrics stand at the end of both messages that they are within.
        head(&mut of_resource, 2, scope.len() + self.metrics.len());
        let mut request = Vec::new();
        head(&mut request, 1, of_resource.len() + scope.len() + self.metrics.len());
        request.append(&mut of_resource);
        request.append(&mut scope);
        [request, self.metrics]
    }
}

/// The unit as UCUM writes it.
fn symbol(name: &str) -> &'static str {
    match unit(name.trim_end_matches("_total")) {
        Some("bytes") => "By",
        Some("seconds") => "s",
        Some("ratio") => "1",
        _ => "",
    }
}

/// Writes a point for each sample, and tells how many are none.
fn numbers(out: &mut Vec<u8>, family: Family<'_>, times: Times) -> usize {
    // A family's points are of one type each time: bytes are whole.
    let is_whole = symbol(family.name) == "By";
    let mut left_out = 0;
    for sample in family.samples() {
        let whole = |sample: &Sample<'_>| sample.value.parse::<i64>().ok().filter(|_| is_whole);
        let written = sample.filter(|sample| sample.suffix.is_empty()).and_then(|sample| {
            let value: f64 = sample.value.parse().ok()?;
            point(out, sample.labels, &NUMBER, times, |out| match whole(&sample) {
                Some(whole) => fixed(out, 6, whole.cast_unsigned()),
                None => double(out, 4, value),
            })
        });
        left_out += usize::from(written.is_none());
    }
    left_out
}

/// Writes a point for each label set, and tells how many samples are of none.
fn histograms(out: &mut Vec<u8>, family: Family<'_>, times: Times) -> usize {
    let mut left_out = 0;
    let mut current: Option<Histogram<'_>> = None;
    let mut finish = |histogram: Option<Histogram<'_>>| {
        histogram.map_or(0, |histogram| usize::from(histogram.write(out, times).is_none()))
    };
    for sample in family.samples() {
        let Some(sample) = sample else {
            left_out += 1;
            continue;
        };
        let labels = label_set(&sample);
        if current.as_ref().is_none_or(|histogram| histogram.labels != labels) {
            left_out += finish(current.replace(Histogram { labels, ..Histogram::default() }));
        }
        let taken = current.as_mut().and_then(|histogram| histogram.take(&sample));
        left_out += usize::from(taken.is_none());
    }
    left_out + finish(current)
}

/// The labels but the bound of a bucket, which stands last.
fn label_set<'t>(sample: &Sample<'t>) -> &'t str {
    match sample.labels.rsplit_once("le=\"") {
        Some((labels, _)) if sample.suffix == "_bucket" => labels.trim_end_matches(','),
        _ => sample.labels,
    }
}

impl Histogram<'_> {
    fn take(&mut self, sample: &Sample<'_>) -> Option<()> {
        match sample.suffix {
            "_sum" => self.sum = sample.value.parse().ok()?,
            "_count" => self.count = sample.value.parse().ok()?,
            "_bucket" => {
                let (_, bound) = sample.labels.rsplit_once("le=\"")?;
                let bound: f64 = bound.strip_suffix('"')?.parse().ok()?;
                // The last bucket has none, and what it holds is the count.
                if bound.is_finite() {
                    self.cumulative.push(sample.value.parse().ok()?);
                    self.bounds.push(bound);
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn write(&self, out: &mut Vec<u8>, times: Times) -> Option<()> {
        let upper = self.cumulative.iter().copied().chain([self.count]);
        let lower = [0].into_iter().chain(self.cumulative.iter().copied());
        let buckets: Vec<u64> = upper.zip(lower).map(|(u, l)| u.saturating_sub(l)).collect();
        point(out, self.labels, &HISTOGRAM, times, |out| {
            fixed(out, 4, self.count);
            double(out, 5, self.sum);
            packed(out, 6, buckets.iter().copied());
            packed(out, 7, self.bounds.iter().map(|bound| bound.to_bits()));
        })
    }
}

/// Writes a point, of which `value` writes the rest; none where its labels are not understood.
fn point(
    out: &mut Vec<u8>,
    labels: &str,
    fields: &Fields,
    times: Times,
    value: impl FnOnce(&mut Vec<u8>),
) -> Option<()> {
    let start = out.len();
    let mut understood = Some(());
    message(out, 1, |out| {
        for pair in pairs(labels) {
            match pair {
                Some((name, value)) => attribute(out, fields.attributes, name, &value),
                None => understood = None,
            }
        }
        if times.start != 0 {
            fixed(out, fields.start, times.start);
        }
        fixed(out, fields.time, times.time);
        value(out);
    });
    if understood.is_none() {
        out.truncate(start);
    }
    understood
}

fn attribute(out: &mut Vec<u8>, id: u64, name: &str, value: &str) {
    message(out, id, |out| {
        text(out, 1, name);
        message(out, 2, |out| {
            // An empty text is a value too, so it is written.
            head(out, 1, value.len());
            out.extend_from_slice(value.as_bytes());
        });
    });
}
