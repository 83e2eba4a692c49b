//! What of a certificate rustls does not tell (RFC 5280): the names by which its subject goes, and
//! when it is valid.

use std::net::{Ipv4Addr, Ipv6Addr};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The extensions of a certificate.
const EXTENSIONS: u8 = 0xa3;
/// `subjectAltName`: 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Mail addresses, host names, URIs and addresses; none where it is no certificate.
pub fn names(certificate: &[u8]) -> Option<Vec<String>> {
    let mut body = body(certificate)?;
    let extensions = std::iter::from_fn(|| body.next()).find(|(tag, _)| *tag == EXTENSIONS);
    let Some((_, extensions)) = extensions else { return Some(Vec::new()) };
    let mut extensions = Der(Der(extensions).expect(SEQUENCE)?);
    while let Some((_, extension)) = extensions.next() {
        let mut parts = Der(extension);
        if parts.expect(OBJECT_IDENTIFIER)? == SUBJECT_ALT_NAME {
            // Whether it is critical may stand before it.
            let value = std::iter::from_fn(|| parts.next()).find(|(tag, _)| *tag == OCTET_STRING);
            let mut all = Der(Der(value?.1).expect(SEQUENCE)?);
            return Some(std::iter::from_fn(|| all.next()).filter_map(name).collect());
        }
    }
    Some(Vec::new())
}

/// Whether it is valid at a time, in seconds since the epoch; none where it is no certificate.
pub fn is_valid_at(certificate: &[u8], now: u64) -> Option<bool> {
    let mut body = body(certificate)?;
    // Its version and number, the algorithm and who signed it. The first sequence is the
    // algorithm, the second the issuer, the third the validity.
    let mut sequences = std::iter::from_fn(|| body.next()).filter(|(tag, _)| *tag == SEQUENCE);
    let mut validity = Der(sequences.nth(2)?.1);
    let from = seconds(validity.next()?)?;
    let to = seconds(validity.next()?)?;
    Some((from..=to).contains(&i64::try_from(now).ok()?))
}

fn body(certificate: &[u8]) -> Option<Der<'_>> {
    let certificate = Der(certificate).expect(SEQUENCE)?;
    Some(Der(Der(certificate).expect(SEQUENCE)?))
}

/// A time, `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`, in seconds since the epoch.
fn seconds((tag, text): (u8, &[u8])) -> Option<i64> {
    let (year, rest) = match tag {
        UTC_TIME => text.split_at_checked(2)?,
        GENERALIZED_TIME => text.split_at_checked(4)?,
        _ => return None,
    };
    let number = |digits: &[u8]| {
        let is_number = digits.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
        text.parse::<i64>().ok()
    };
    let year = match (tag, number(year)?) {
        (UTC_TIME, year @ 50..) => 1900 + year,
        (UTC_TIME, year) => 2000 + year,
        (_, year) => year,
    };
    let (fields, zone) = rest.split_at_checked(10)?;
    let fields: Option<Vec<_>> = fields.chunks(2).map(number).collect();
    let &[month @ 1..=12, day @ 1..=31, hour @ 0..=23, minute @ 0..=59, second @ 0..=59] =
        fields?.as_slice()
    else {
        return None;
    };
    let days = days(year, month, day);
    (zone == b"Z").then_some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days since the epoch of a date of the Gregorian calendar, from the year 0 on.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March: the day that some have more is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap + (month * 153 + 2) / 5 + day - 1 - 719_468
}

fn name((tag, value): (u8, &[u8])) -> Option<String> {
    match tag {
        // rfc822Name, dNSName, uniformResourceIdentifier.
        0x81 | 0x82 | 0x86 => String::from_utf8(value.to_vec()).ok(),
        0x87 => match value.len() {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).to_string()),
            16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Elements that stand one after the other.
struct Der<'b>(&'b [u8]);

impl<'b> Der<'b> {
    /// The tag and the content of the next; none at the end and where it is cut.
    fn next(&mut self) -> Option<(u8, &'b [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, expected: u8) -> Option<&'b [u8]> {
        self.next().filter(|(tag, _)| *tag == expected).map(|(_, content)| content)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no name is wrong");
        params.subject_alt_names = names;
        params.self_signed(&key).expect("it is signed").der().to_vec()
    }

    #[test]
    fn each_kind_of_name_is_found() {
        let found = names(&certificate(vec![
            SanType::DnsName("a.example".try_into().expect("ASCII")),
            SanType::Rfc822Name("b@example".try_into().expect("ASCII")),
            SanType::URI("spiffe://example/c".try_into().expect("ASCII")),
            SanType::IpAddress("10.0.0.1".parse().expect("an address")),
            SanType::IpAddress("fd00::1".parse().expect("an address")),
        ]));
        let all = ["a.example", "b@example", "spiffe://example/c", "10.0.0.1", "fd00::1"];
        assert_eq!(found.expect("a certificate"), all);
        assert_eq!(names(&certificate(Vec::new())), Some(Vec::new()));
    }

    #[test]
    fn times_are_told() {
        for (tag, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (GENERALIZED_TIME, "20000229123456Z", Some(951_827_696)),
            (GENERALIZED_TIME, "21000301000000Z", Some(4_107_542_400)),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "700101000000", None),
            (UTC_TIME, "7001010000+0Z", None),
            (GENERALIZED_TIME, "", None),
            (SEQUENCE, "700101000000Z", None),
        ] {
            assert_eq!(seconds((tag, text.as_bytes())), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_is_valid_between_its_times() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no name is wrong");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2060, 1, 1);
        let certificate = params.self_signed(&key).expect("it is signed").der().to_vec();
        let (from, to) = (1_577_836_800, 2_840_140_800);
        for (now, expected) in [(from - 1, false), (from, true), (to, true), (to + 1, false)] {
            assert_eq!(is_valid_at(&certificate, now), Some(expected), "{now}");
        }
    }

    #[test]
    fn a_certificate_that_is_cut_has_no_names() {
        let whole = certificate(vec![SanType::DnsName("a.example".try_into().expect("ASCII"))]);
        for end in 0..whole.len() {
            assert_eq!(names(&whole[..end]), None, "{end}");
            assert_eq!(is_valid_at(&whole[..end], 0), None, "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 0..600_usize, byte: u8, bytes: Vec<u8>) {
            let _ = names(&bytes);
            let mut changed =
                certificate(vec![SanType::DnsName("a.example".try_into().expect("ASCII"))]);
            let length = changed.len();
            changed[at % length] = byte;
            let _ = names(&changed);
            let _ = is_valid_at(&changed, 0);
        }
    }
}
