//! A number of bytes as exporters print it: `1.073741824e+09`.

use memgap_kernel::source::Parsed;

/// The most bytes that anything has: below 2^63.
const MOST: u64 = i64::MAX as u64;

/// Decodes the digits themselves: a float that was cast would make bytes of what
/// is negative, endless or no number.
pub(crate) fn bytes(word: &[u8]) -> Parsed<u64> {
    let unsigned = word.strip_prefix(b"+").unwrap_or(word);
    if unsigned.eq_ignore_ascii_case(b"nan") {
        return Err("NaN for bytes");
    }
    if let Some(rest) = word.strip_prefix(b"-") {
        let zero = bytes(rest).is_ok_and(|b| b == 0) && !rest.starts_with(b"-");
        return if zero { Ok(0) } else { Err("a negative number of bytes") };
    }
    if matches!(unsigned.to_ascii_lowercase().as_slice(), b"inf" | b"infinity") {
        return Err("an endless number of bytes");
    }
    let at = unsigned.iter().position(|b| matches!(b, b'e' | b'E'));
    let (mantissa, exponent) = unsigned.split_at(at.unwrap_or(unsigned.len()));
    let exponent = match exponent.get(1..) {
        None => 0,
        Some(digits) => str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse::<i32>().ok())
            .ok_or("an exponent that is no number")?,
    };
    let point = mantissa.iter().position(|b| *b == b'.');
    let (whole, fraction) = mantissa.split_at(point.unwrap_or(mantissa.len()));
    let fraction = fraction.get(1..).unwrap_or_default();
    if whole.is_empty() && fraction.is_empty() {
        return Err("a number without digits");
    }
    scaled(whole, fraction, exponent)
}

/// `whole.fraction` times ten to the power of the exponent.
fn scaled(whole: &[u8], fraction: &[u8], exponent: i32) -> Parsed<u64> {
    const TOO_LARGE: &str = "2^63 bytes or more";
    let mut value = 0u64;
    // Digits in front of the point once it has been moved; the rest must be zeros.
    let ahead = i64::try_from(whole.len()).map_err(|_| TOO_LARGE)? + i64::from(exponent);
    let mut place = 0i64;
    for digit in whole.iter().chain(fraction) {
        let digit = char::from(*digit).to_digit(10).ok_or("a number that is none")?;
        if place < ahead {
            value =
                value.checked_mul(10).and_then(|v| v.checked_add(digit.into())).ok_or(TOO_LARGE)?;
        } else if digit != 0 {
            return Err("a part of a byte");
        }
        place += 1;
    }
    while place < ahead && value > 0 {
        value = value.checked_mul(10).ok_or(TOO_LARGE)?;
        place += 1;
    }
    if value > MOST { Err(TOO_LARGE) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_numbers_in_every_dress() {
        for (word, value) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("+7", 7),
            ("1.073741824e+09", 1 << 30),
            ("4.98597888E8", 498_597_888),
            ("4096.0", 4096),
            ("4096.", 4096),
            (".5e1", 5),
            ("1000e-3", 1),
            ("0e999999999", 0),
            ("9223372036854775807", MOST),
            ("0.000e-2147483648", 0),
        ] {
            assert_eq!(bytes(word.as_bytes()), Ok(value), "{word}");
        }
    }

    #[test]
    fn what_is_no_amount_of_memory_is_named() {
        for (word, what) in [
            ("NaN", "NaN"),
            ("+Inf", "endless"),
            ("-Inf", "negative"),
            ("-1", "negative"),
            ("9223372036854775808", "2^63"),
            ("9.223372036854775808e+18", "2^63"),
            ("1e400", "2^63"),
            ("1e2147483647", "2^63"),
            ("18446744073709551616", "2^63"),
            ("1.5", "part"),
            ("1e-1", "part"),
            ("1e99999999999", "exponent"),
            ("e1", "digits"),
            (".", "digits"),
            ("", "digits"),
            ("1_0", "none"),
            ("--0", "negative"),
            ("1.0.0", "none"),
        ] {
            let error = bytes(word.as_bytes()).expect_err(word);
            assert!(error.contains(what), "{word}: {error}");
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back_as_they_were_printed(value in 0..=MOST, shift in 0usize..19) {
            prop_assert_eq!(bytes(value.to_string().as_bytes()), Ok(value));
            // The shortest text of a float is the number that was meant.
            let float = (value >> shift) as f64;
            if float < 9e15 {
                prop_assert_eq!(bytes(format!("{float:e}").as_bytes()), Ok(value >> shift));
            }
        }
    }
}
