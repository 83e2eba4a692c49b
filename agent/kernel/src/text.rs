//! The little that procfs text needs: lines, words and decimal numbers, as
//! bytes, because a name in it may not be UTF-8.

/// The lines of a text, without their ends.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').filter(|line| !line.is_empty())
}

/// The words of a line.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// A decimal number that is the whole word; `None` on overflow or anything else.
pub fn decimal(word: &[u8]) -> Option<u64> {
    number(word, 10)
}

/// A hexadecimal number that is the whole word.
pub fn hex(word: &[u8]) -> Option<u64> {
    number(word, 16)
}

/// The key and the rest of a `Key:   value` line.
pub fn key_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// The bytes of a `123 kB` value.
pub fn kilobytes(value: &[u8]) -> Option<u64> {
    match value.strip_suffix(b" kB") {
        Some(number) => decimal(number)?.checked_mul(1024),
        None => decimal(value),
    }
}

/// A foreign name for people: what is not printable is replaced, and at most
/// `max` characters are kept.
pub fn printable(name: &[u8], max: usize) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .take(max)
        .collect()
}

fn number(word: &[u8], radix: u32) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0u64, |sum, byte| {
        let digit = char::from(*byte).to_digit(radix)?;
        sum.checked_mul(radix.into())?.checked_add(digit.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_words_within_range() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(hex(b"7ffcb0a1e000"), Some(0x7ffc_b0a1_e000));
        for bad in [&b""[..], b"18446744073709551616", b"-1", b"1a", b"+1", b" 1", b"\xff"] {
            assert_eq!(decimal(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn values_carry_their_unit() {
        assert_eq!(kilobytes(b"4 kB"), Some(4096));
        assert_eq!(kilobytes(b"7"), Some(7));
        assert_eq!(kilobytes(b"4 MB"), None);
        assert_eq!(kilobytes(b"18446744073709551615 kB"), None);
        assert_eq!(key_value(b"Rss:     12 kB"), Some((&b"Rss"[..], &b"12 kB"[..])));
    }

    #[test]
    fn names_are_safe_to_print() {
        assert_eq!(printable(b"a\x1b[31m\xff", 15), "a\u{fffd}[31m\u{fffd}");
        assert_eq!(printable(b"abcdef", 3), "abc");
    }
}
