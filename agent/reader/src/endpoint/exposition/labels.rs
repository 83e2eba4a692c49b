//! What stands between a series' braces: `name="value"`, with commas between.

use memgap_kernel::source::Parsed;

/// The pairs of a list of labels, values still escaped. A quoted string without a
/// label is the metric's own name and comes with an empty label.
pub(super) struct Labels<'l> {
    rest: &'l [u8],
}

impl<'l> Labels<'l> {
    pub fn of(labels: &'l [u8]) -> Self {
        Self { rest: labels.trim_ascii() }
    }

    fn pair(&mut self) -> Parsed<(&'l [u8], &'l [u8])> {
        let (label, rest) = if self.rest.starts_with(b"\"") {
            let (quoted, rest) = quoted(self.rest)?;
            match rest.trim_ascii_start().strip_prefix(b"=") {
                Some(rest) => (quoted, rest),
                None => return self.end(&[], quoted, rest),
            }
        } else {
            let at =
                self.rest.iter().position(|b| *b == b'=').ok_or("has a label without a value")?;
            (self.rest[..at].trim_ascii_end(), &self.rest[at + 1..])
        };
        if !is_label(label) && !self.rest.starts_with(b"\"") {
            return Err("has a label that is no name");
        }
        let (value, rest) = quoted(rest.trim_ascii_start())?;
        self.end(label, value, rest)
    }

    /// A comma or the end must follow.
    fn end(
        &mut self,
        label: &'l [u8],
        value: &'l [u8],
        rest: &'l [u8],
    ) -> Parsed<(&'l [u8], &'l [u8])> {
        let rest = rest.trim_ascii_start();
        self.rest = match rest.strip_prefix(b",") {
            Some(rest) => rest.trim_ascii_start(),
            None if rest.is_empty() => rest,
            None => return Err("has labels without a comma between"),
        };
        Ok((label, value))
    }
}

impl<'l> Iterator for Labels<'l> {
    type Item = Parsed<(&'l [u8], &'l [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let pair = self.pair();
        if pair.is_err() {
            self.rest = &[];
        }
        Some(pair)
    }
}

/// Splits at the brace that ends the labels: one within a value does not.
pub(super) fn split(inner: &[u8]) -> Parsed<(&[u8], &[u8])> {
    let mut at = 0;
    while let Some(byte) = inner.get(at) {
        match byte {
            b'}' => return Ok((&inner[..at], &inner[at + 1..])),
            b'"' => at += quoted(&inner[at..])?.0.len() + 2,
            _ => at += 1,
        }
    }
    Err("has a brace that does not end")
}

/// A string in quotes, still escaped, and what follows it.
fn quoted(text: &[u8]) -> Parsed<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"\"").ok_or("has a value without quotes")?;
    let mut at = 0;
    while let Some(byte) = inner.get(at) {
        match byte {
            b'"' => return Ok((&inner[..at], &inner[at + 1..])),
            b'\\' => match inner.get(at + 1) {
                Some(b'\\' | b'"' | b'n') => at += 2,
                _ => return Err("has an escape that is none"),
            },
            _ => at += 1,
        }
    }
    Err("has a value whose quotes do not end")
}

/// A value without its escapes, which [`quoted`] has checked.
pub(super) fn unescape(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next().map(|b| if *b == b'n' { b'\n' } else { *b })),
            byte => plain.push(*byte),
        }
    }
    plain
}

fn is_label(label: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_alphabetic() || *b == b'_';
    label.first().is_some_and(letter) && label.iter().all(|b| letter(b) || b.is_ascii_digit())
}
