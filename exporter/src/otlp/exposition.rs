//! What scrapers get, read back. It is our own text, so no more of the format is understood
//! than is written here; a line that is not understood is left out, and counted.

use std::borrow::Cow;
use std::iter;

/// A family, whose samples are yet to be read.
#[derive(Debug, Clone, Copy)]
pub struct Family<'t> {
    /// Its name.
    pub name: &'t str,
    /// What it is, escaped.
    pub help: &'t str,
    /// The word for its kind.
    pub kind: &'t str,
    samples: &'t str,
}

/// A sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'t> {
    /// What follows the family's name.
    pub suffix: &'t str,
    /// The labels as they stand.
    pub labels: &'t str,
    /// The value as it stands.
    pub value: &'t str,
}

const HELP: &str = "# HELP ";

/// The families of a text, one after the other.
pub fn families(text: &str) -> impl Iterator<Item = Family<'_>> {
    let mut rest = text.strip_prefix(HELP);
    iter::from_fn(move || {
        let (family, others) = match rest?.split_once("\n# HELP ") {
            Some((family, others)) => (family, Some(others)),
            None => (rest?, None),
        };
        rest = others;
        let (help, lines) = family.split_once('\n').unwrap_or((family, ""));
        let (name, help) = help.split_once(' ').unwrap_or((help, ""));
        let (kind, samples) = lines.split_once('\n').unwrap_or((lines, ""));
        let kind = kind.rsplit(' ').next().unwrap_or_default();
        Some(Family { name, help, kind, samples })
    })
}

impl<'t> Family<'t> {
    /// Its samples; none for a line that is none of them.
    pub fn samples(self) -> impl Iterator<Item = Option<Sample<'t>>> {
        let lines = self.samples.lines().filter(|line| !line.is_empty());
        lines.map(move |line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}')?),
                None => (series, ""),
            };
            Some(Sample { suffix: name.strip_prefix(self.name)?, labels, value })
        })
    }
}

/// The pairs of labels that stand in a sample; none in the place of what is no pair, after
/// which there are no others.
pub fn pairs(labels: &str) -> impl Iterator<Item = Option<(&str, Cow<'_, str>)>> {
    let mut rest = labels;
    iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let pair = pair(rest);
        rest = pair.as_ref().map_or("", |(_, _, rest)| *rest);
        Some(pair.map(|(name, value, _)| (name, value)))
    })
}

/// The first pair, and what follows it.
fn pair(labels: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    let (name, rest) = labels.split_once("=\"")?;
    let mut is_escaped = false;
    let end = rest.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })?;
    let (value, rest) = (rest.get(..end)?, rest.get(end + 1..)?);
    Some((name, unescaped(value), rest.strip_prefix(',').unwrap_or(rest)))
}

/// Text as it was before backslashes were put into it.
pub fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Encoder, Format, Kind, Value, labels};

    #[test]
    fn what_is_written_is_read_back() {
        let names = [("pod", "a\\b\"c\nd,e=\"f\"} 7\\"), ("empty", ""), ("last", "\\\\\"")];
        let mut out = Encoder::new(Format::Text, 0);
        let mut family = out.family(Kind::Gauge, "x_bytes", "Bytes \\ of\n\"x\".");
        family.sample(&labels(&names), &[], Value::Int(i64::MIN));
        family.sample("", &[], Value::Float(0.25));
        out.family(Kind::Counter, "y_total", "Y.").sample("", &[("a", "b")], Value::Int(1));
        let text = out.finish();
        let found: Vec<_> = families(&text).collect();
        let told: Vec<_> =
            found.iter().map(|f| (f.name, unescaped(f.help).into_owned(), f.kind)).collect();
        assert_eq!(
            told,
            [
                ("x_bytes", "Bytes \\ of\n\"x\".".to_owned(), "gauge"),
                ("y_total", "Y.".to_owned(), "counter")
            ]
        );
        let samples: Vec<_> = found[0].samples().map(|s| s.expect("a sample")).collect();
        let values: Vec<_> = samples.iter().map(|s| (s.suffix, s.value)).collect();
        assert_eq!(values, [("", "-9223372036854775808"), ("", "0.25")]);
        let read: Vec<_> = pairs(samples[0].labels).map(|pair| pair.expect("a pair")).collect();
        assert_eq!(read, names.map(|(name, value)| (name, value.into())));
        assert_eq!(pairs(samples[1].labels).count(), 0);
    }

    #[test]
    fn what_is_not_understood_is_none_and_ends() {
        for text in ["", "x", "# HELP ", "# HELP \n# TYPE \n", "# HELP x\n# HELP x y\n\n"] {
            assert!(families(text).all(|f| f.samples().all(|s| s.is_none())), "{text}");
        }
        let family = |samples| Family { name: "x", help: "", kind: "gauge", samples };
        for line in ["x", "y 1", "x{a=\"b\" 1", ""] {
            assert!(family(line).samples().all(|s| s.is_none()), "{line}");
        }
        for labels in ["a", "a=b", "a=\"b", "a=\"b\\\"", "a=\"é"] {
            assert_eq!(pairs(labels).collect::<Vec<_>>(), [None], "{labels}");
        }
        assert_eq!(unescaped("a\\"), "a\\");
    }
}
