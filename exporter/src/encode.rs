//! Writes metric families as text: the Prometheus format 0.0.4 and OpenMetrics
//! 1.0.0.
//!
//! Both are line formats that differ in the names of counters and infos, in
//! units and in the last line: the former is written, the latter made of it where somebody
//! asks. A family is written at one go, so that its samples are contiguous, and a sample
//! allocates nothing.

pub mod open_metrics;

use std::fmt::Write;

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

/// What sort of figure a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Goes up only; the name ends with `_total`.
    Counter,
    /// Always 1, its labels are what matters; the name ends with `_info`.
    Info,
}

/// The value of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A whole number, written without a detour through floating point.
    Int(i64),
    /// A finite number.
    Float(f64),
}

/// Writes families, one after the other, into one buffer.
#[derive(Debug)]
pub struct Encoder {
    out: String,
    format: Format,
}

/// One family that is being written. Its header appears with its first sample,
/// so that a family without samples leaves no trace.
#[derive(Debug)]
pub struct Family<'e> {
    encoder: &'e mut Encoder,
    kind: Kind,
    name: &'e str,
    help: &'e str,
    begun: bool,
}

/// Units that OpenMetrics requires to be declared, each the last word of a name.
const UNITS: [&str; 3] = ["bytes", "ratio", "seconds"];

impl Encoder {
    /// An encoder whose buffer holds `capacity` bytes before it grows.
    pub fn new(format: Format, capacity: usize) -> Self {
        Self { out: String::with_capacity(capacity), format }
    }

    /// Starts a family. `name` carries the suffix of its kind.
    pub fn family<'e>(&'e mut self, kind: Kind, name: &'e str, help: &'e str) -> Family<'e> {
        Family { encoder: self, kind, name, help, begun: false }
    }

    /// Adds families that were written elsewhere in the text format.
    pub fn append(&mut self, families: &str) {
        self.out.push_str(families);
    }

    /// What was written: families to which others are added elsewhere.
    pub fn families(self) -> String {
        self.out
    }

    /// The exposition, in the format that was asked for.
    pub fn finish(self) -> String {
        match self.format {
            Format::Text => self.out,
            Format::OpenMetrics => open_metrics::of(&self.out),
        }
    }
}

impl Family<'_> {
    /// Writes a sample. `labels` were made by [`labels`]; `more` follows them.
    pub fn sample(&mut self, labels: &str, more: &[(&str, &str)], value: Value) {
        if !self.begun {
            self.begun = true;
            self.header();
        }
        let out = &mut self.encoder.out;
        out.push_str(self.name);
        if !labels.is_empty() || !more.is_empty() {
            out.push('{');
            out.push_str(labels);
            push_labels(out, more, labels.is_empty());
            out.push('}');
        }
        // Writing to a string can not fail.
        let _ = match value {
            Value::Int(value) => writeln!(out, " {value}"),
            Value::Float(value) => writeln!(out, " {value}"),
        };
    }

    fn header(&mut self) {
        let out = &mut self.encoder.out;
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Info => "gauge",
        };
        for part in ["# HELP ", self.name, " "] {
            out.push_str(part);
        }
        push_escaped(out, self.help, false);
        for part in ["\n# TYPE ", self.name, " ", kind, "\n"] {
            out.push_str(part);
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// Writes label pairs, escaped, as they stand between the braces of a sample.
pub fn labels(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    push_labels(&mut out, pairs, true);
    out
}

/// The unit that a family's name ends with.
pub fn unit(family: &str) -> Option<&'static str> {
    UNITS.into_iter().find(|unit| bare(family, unit).ends_with('_'))
}

/// A name without a suffix that it may have.
pub fn bare<'a>(name: &'a str, suffix: &str) -> &'a str {
    name.strip_suffix(suffix).unwrap_or(name)
}

fn push_labels(out: &mut String, pairs: &[(&str, &str)], mut first: bool) {
    for (name, value) in pairs {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        push_escaped(out, value, true);
        out.push('"');
    }
}

/// Escapes backslash and newline, and the quote where the format wants it.
fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    let special = |c: char| c == '\\' || c == '\n' || (quotes && c == '"');
    let mut rest = text;
    while let Some(at) = rest.find(special) {
        out.push_str(&rest[..at]);
        out.push('\\');
        let found = rest.as_bytes()[at];
        out.push(if found == b'\n' { 'n' } else { char::from(found) });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposition(format: Format) -> String {
        let mut encoder = Encoder::new(format, 0);
        let base = labels(&[("pod", "a\\b\"c\nd\\")]);
        let mut ledger = encoder.family(Kind::Gauge, "x_bytes", "Bytes \\ of \"x\".\nMore.");
        ledger.sample(&base, &[("class", "program")], Value::Int(i64::MIN));
        ledger.sample("", &[], Value::Int(7));
        encoder.family(Kind::Gauge, "never_bytes", "Has no sample.");
        encoder.family(Kind::Counter, "cpu_seconds_total", "Time.").sample("", &[], 0.25.into());
        encoder.family(Kind::Info, "y_info", "About y.").sample(&base, &[], 1.into());
        encoder.finish()
    }

    #[test]
    fn the_text_format_is_written_as_documented() {
        let expected = r#"# HELP x_bytes Bytes \\ of "x".\nMore.
# TYPE x_bytes gauge
x_bytes{pod="a\\b\"c\nd\\",class="program"} -9223372036854775808
x_bytes 7
# HELP cpu_seconds_total Time.
# TYPE cpu_seconds_total counter
cpu_seconds_total 0.25
# HELP y_info About y.
# TYPE y_info gauge
y_info{pod="a\\b\"c\nd\\"} 1
"#;
        assert_eq!(exposition(Format::Text), expected);
    }

    #[test]
    fn open_metrics_differs_in_names_units_and_end() {
        let expected = r#"# HELP x_bytes Bytes \\ of \"x\".\nMore.
# TYPE x_bytes gauge
# UNIT x_bytes bytes
x_bytes{pod="a\\b\"c\nd\\",class="program"} -9223372036854775808
x_bytes 7
# HELP cpu_seconds Time.
# TYPE cpu_seconds counter
# UNIT cpu_seconds seconds
cpu_seconds_total 0.25
# HELP y About y.
# TYPE y info
y_info{pod="a\\b\"c\nd\\"} 1
# EOF
"#;
        assert_eq!(exposition(Format::OpenMetrics), expected);
    }
}
