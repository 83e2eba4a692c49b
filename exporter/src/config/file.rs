//! The file: TOML, whose keys joined by dots are the names of settings, whether they are
//! written as `walk.cap`, as `cap` below `[walk]` or as `"walk.cap"`.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What the file says of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// Where the name stands.
    pub line: usize,
    /// The values, with the line of each.
    pub values: Vec<(String, usize)>,
    /// Whether they stand in a list.
    pub is_list: bool,
}

/// What is wrong, and in which line; in none where it is the file itself.
pub type Fault = (Option<usize>, String);

/// The largest file.
const MAX_BYTES: u64 = 1 << 20;

/// Reads a file. Entries are in the order of their lines.
pub fn read(path: &Path) -> Result<Vec<Entry>, Vec<Fault>> {
    let text = text(path).map_err(|why| vec![(None, why)])?;
    parse(&text)
}

fn text(path: &Path) -> Result<String, String> {
    let can_not = |error: std::io::Error| format!("can not read it: {error}");
    // Opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(can_not)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(can_not)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(can_not)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("it is larger than 1 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        format!("line {} is not UTF-8", ends(valid).count() + 1)
    })
}

/// Reads the text of a file.
pub fn parse(text: &str) -> Result<Vec<Entry>, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let ends = ends(text.as_bytes()).collect();
    let mut walk = Walk { ends, entries: Vec::new(), faults: Vec::new() };
    if errors.is_empty() {
        walk.table("", table.get_ref());
    }
    for error in errors {
        let line = error.span().map(|span| walk.line(span));
        walk.faults.push((line, error.message().to_owned()));
    }
    if !walk.faults.is_empty() {
        return Err(walk.faults);
    }
    walk.entries.sort_by_key(|entry| entry.line);
    Ok(walk.entries)
}

/// Where each line of a text ends.
fn ends(text: &[u8]) -> impl Iterator<Item = usize> {
    text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at)
}

struct Walk {
    /// Where lines end: a file of many lines is not counted through for each of them.
    ends: Vec<usize>,
    entries: Vec<Entry>,
    faults: Vec<Fault>,
}

impl Walk {
    /// The parser bounds how deep tables stand in tables.
    fn table(&mut self, above: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = match above {
                "" => key.get_ref().to_string(),
                above => format!("{above}.{}", key.get_ref()),
            };
            match value.get_ref() {
                DeValue::Table(table) => self.table(&name, table),
                DeValue::Array(array) => {
                    let values = array.iter().filter_map(|value| self.scalar(&name, value));
                    let values = values.collect();
                    self.entry(name, key.span(), values, true);
                }
                _ => {
                    let values = self.scalar(&name, value).into_iter().collect();
                    self.entry(name, key.span(), values, false);
                }
            }
        }
    }

    fn entry(&mut self, name: String, at: Range<usize>, values: Vec<(String, usize)>, list: bool) {
        let line = self.line(at);
        self.entries.push(Entry { name, line, values, is_list: list });
    }

    /// A value as it would be written on the command line.
    fn scalar(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<(String, usize)> {
        let line = self.line(value.span());
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| number.to_string(), |number| number.to_string()),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(truth) => truth.to_string(),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                let why = format!("{name}: give a string, a number, or true or false");
                self.faults.push((Some(line), why));
                return None;
            }
        };
        Some((text, line))
    }

    fn line(&self, span: Range<usize>) -> usize {
        self.ends.partition_point(|end| *end < span.start) + 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_name_has_three_spellings() {
        for text in
            ["walk.cap = '1s'", "[walk]\ncap = '1s'", "'walk.cap' = '1s'", "walk = { cap = '1s' }"]
        {
            let entries = parse(text).expect(text);
            let lines = text.lines().count();
            let expected = Entry {
                name: "walk.cap".to_owned(),
                line: lines,
                values: vec![("1s".to_owned(), lines)],
                is_list: false,
            };
            assert_eq!(entries, [expected], "{text}");
        }
    }

    #[test]
    fn values_are_what_one_would_write_on_the_command_line() {
        let text = "a = 1_000\nb = 0x10\nc = 5e-3\nd = true\ne = [\n  'x',\n  2,\n]\nf = -1\n";
        let entries = parse(text).expect("it is right");
        let values: Vec<Vec<&str>> =
            entries.iter().map(|e| e.values.iter().map(|(v, _)| v.as_str()).collect()).collect();
        assert_eq!(values, [&["1000"][..], &["16"], &["5e-3"], &["true"], &["x", "2"], &["-1"]]);
        assert_eq!(entries[4].values.iter().map(|(_, line)| *line).collect::<Vec<_>>(), [6, 7]);
        assert_eq!(entries[5].line, 9);
    }

    #[test]
    fn what_is_wrong_is_told_by_line() {
        for (text, line, why) in [
            ("a = 1\nb = ", 2, ""),
            ("a = 1\n\na = 2\n", 3, "duplicate"),
            ("a = 1979-05-27", 1, "give a string"),
            ("a = [\n[1]]", 2, "give a string"),
            ("[[a]]\nb = 1", 1, "give a string"),
            ("x", 1, ""),
        ] {
            let faults = parse(text).expect_err(text);
            let (at, found) = faults.first().expect("one is told");
            assert_eq!(*at, Some(line), "{text}: {found}");
            assert!(found.contains(why), "{text}: {found}");
        }
    }

    #[test]
    fn only_files_are_read() {
        for (path, why) in [("/no/such/file", "can not read it"), ("/proc", "it is no file")] {
            let faults = read(Path::new(path)).expect_err(path);
            assert!(faults[0].1.starts_with(why), "{faults:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,200}", toml in "([a-c.\\[\\]='\"{}, \n0-9]){0,60}") {
            let _ = parse(&text);
            let _ = parse(&toml);
        }
    }
}
