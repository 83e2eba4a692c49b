//! Prometheus' text format 0.0.4, and OpenMetrics' where it looks the same: one
//! series a line, read as a stream.

mod labels;
mod number;

use std::io::{self, BufRead};

use memgap_kernel::source::Parsed;
use memgap_kernel::text;

use super::http::{line, malformed};
use labels::Labels;
pub(crate) use number::bytes;

/// Longest line.
const LINE: usize = 64 << 10;

/// One series: `name{label="value"} number`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series<'l> {
    /// The metric's name; an UTF-8 name that stands within the braces, as escaped.
    pub name: &'l [u8],
    /// What stands between the braces.
    labels: &'l [u8],
    value: &'l [u8],
}

impl Series<'_> {
    /// The value of a label, without its escapes.
    pub fn label(&self, name: &str) -> Option<Vec<u8>> {
        Labels::of(self.labels).find_map(|pair| match pair {
            Ok((label, value)) if label == name.as_bytes() => Some(labels::unescape(value)),
            _ => None,
        })
    }

    /// The value as a number of bytes, exactly: whole, not negative, below 2^63.
    pub fn bytes(&self) -> Parsed<u64> {
        bytes(self.value)
    }
}

/// Hands the series of a text to `each`; refuses the whole text for one bad line.
/// A text without a line's end is cut, and one of OpenMetrics without `# EOF` too.
pub fn parse(
    mut text: impl BufRead,
    open_metrics: bool,
    mut each: impl FnMut(&Series<'_>) -> Result<(), String>,
) -> io::Result<()> {
    let (mut buf, mut number, mut ended) = (Vec::new(), 0u64, false);
    while let Some(line) = line(&mut text, &mut LINE.clone(), &mut buf)? {
        number += 1;
        let bad = |what: &str| malformed(format!("line {number} {what}"));
        if ended {
            return Err(bad("stands behind # EOF"));
        }
        ended = line == b"# EOF";
        if let Some(series) = series(line).map_err(bad)? {
            each(&series).map_err(|what| bad(&format!("gives {what}")))?;
        }
    }
    if open_metrics && !ended {
        return Err(malformed("it ends without # EOF"));
    }
    Ok(())
}

/// The series of a line; `None` for a comment or an empty one.
fn series(line: &[u8]) -> Parsed<Option<Series<'_>>> {
    let line = line.trim_ascii();
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(None);
    }
    let at = line.iter().position(|b| matches!(b, b'{' | b' ' | b'\t')).unwrap_or(line.len());
    let (mut name, rest) = line.split_at(at);
    let rest = rest.trim_ascii_start();
    let (labels, rest) = match rest.strip_prefix(b"{") {
        Some(inner) => labels::split(inner)?,
        None => (&[][..], rest),
    };
    for pair in Labels::of(labels) {
        // A name that is not of letters stands within the braces, quoted.
        if let (b"", inner) = pair? {
            if !name.is_empty() {
                return Err("has two names");
            }
            name = inner;
        } else if name.is_empty() {
            return Err("has no name");
        }
    }
    if name.is_empty() || at > 0 && !is_name(name) {
        return Err("has no name");
    }
    let value = tail(rest)?;
    Ok(Some(Series { name, labels, value }))
}

/// The value; behind it stand a time and an exemplar at most.
fn tail(rest: &[u8]) -> Parsed<&[u8]> {
    let mut words = text::words(rest);
    let value = words.next().filter(|word| is_number(word)).ok_or("has no number")?;
    match words.next() {
        None | Some(b"#") => Ok(value),
        Some(time) if is_number(time) => match words.next() {
            None | Some(b"#") => Ok(value),
            Some(_) => Err("has more than a number and a time"),
        },
        Some(_) => Err("has a time that is no number"),
    }
}

fn is_number(word: &[u8]) -> bool {
    str::from_utf8(word).is_ok_and(|word| word.parse::<f64>().is_ok())
}

fn is_name(name: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b':');
    name.first().is_some_and(letter) && name.iter().all(|b| letter(b) || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> io::Result<Vec<(String, Parsed<u64>)>> {
        let mut found = Vec::new();
        parse(text.as_bytes(), false, |series| {
            found.push((String::from_utf8_lossy(series.name).into_owned(), series.bytes()));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn lines_are_series_with_labels_times_and_exemplars() {
        let text = "# HELP a b {\n# TYPE a gauge\n\n  a 1\na\t2 \r\na{} 3 1700000000000\n\
            a{x=\"}\\\"{\\\\\",y=\"\\n, z=1\",} 4\na { x = \"1\" , y=\"2\" } 5 1.7e9 # {t=\"}\"} 1\n\
            {\"a.b\",x=\"1\"} 6\nc 7 # {} 1\n:a_1:b 8\n# EOF\n";
        let values: Vec<_> = all(text).expect("valid").into_iter().map(|(_, v)| v).collect();
        assert_eq!(values, (1..=8).map(Ok).collect::<Vec<_>>());
    }

    #[test]
    fn labels_lose_their_escapes() {
        let line = br#"m{area="a\"b\\c\nd}",id=""} 1"#;
        let series = series(line).expect("valid").expect("a series");
        assert_eq!(series.label("area").as_deref(), Some(&b"a\"b\\c\nd}"[..]));
        assert_eq!(series.label("id").as_deref(), Some(&b""[..]));
        assert_eq!(series.label("are"), None);
    }

    #[test]
    fn one_bad_line_refuses_the_text() {
        for bad in [
            "a",
            "a ",
            "a b",
            "a 1 b",
            "a 1 2 3",
            "1a 1",
            "a-b 1",
            "{} 1",
            "{x=\"1\"} 1",
            "a{ 1",
            "a{x} 1",
            "a{x=} 1",
            "a{x=1} 1",
            "a{x=\"1} 1",
            "a{x=\"1\"y=\"2\"} 1",
            "a{,} 1",
            "a{x=\"\\t\"} 1",
            "a{1x=\"1\"} 1",
            "a{\"b\"} 1",
            "{\"a\",\"b\"} 1",
            "\u{e9} 1",
            "a 0x10",
        ] {
            let error = all(&format!("ok 1\n{bad}\n")).expect_err(bad);
            assert!(error.to_string().contains("line 2"), "{bad}: {error}");
        }
        assert!(all("a 1\na 2").is_err(), "cut");
        assert!(all("a 1\n# EOF\na 2\n").is_err(), "behind the end");
        assert!(parse(&b"a 1\n"[..], true, |_| Ok(())).is_err(), "no end");
    }

    #[test]
    fn a_line_has_a_bound() {
        let long = format!("a{{x=\"{}\"}} 1\n", "y".repeat(LINE));
        assert!(all(&long).is_err());
    }
}
