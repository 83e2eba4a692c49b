//! Which form of the metrics a scraper wants, by its `Accept` headers (RFC 9110,
//! 12.5).

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};

use crate::encode::Format;

/// The format that suits best; text where the scraper has no wish that we know.
pub fn format(headers: &HeaderMap) -> Format {
    let ranges = items(headers, &ACCEPT);
    // Quality, then how closely it was asked for; `None` where it is not wanted.
    let wish = |kind: &str, subtype: &str, version: &str| {
        let of = |range: &Item| Some((specificity(range, kind, subtype, version)?, range.quality));
        // The most specific range decides, be its quality less.
        let (specificity, quality) = ranges.iter().filter_map(of).max_by_key(|(s, _)| *s)?;
        (quality > 0).then_some((quality, specificity))
    };
    let text = wish("text", "plain", "0.0.4");
    let open_metrics = wish("application", "openmetrics-text", "1.0.0");
    if open_metrics > text { Format::OpenMetrics } else { Format::Text }
}

/// Whether the scraper takes gzip.
pub fn gzip(headers: &HeaderMap) -> bool {
    let codings = items(headers, &ACCEPT_ENCODING);
    let of = |name: &str| codings.iter().find(|c| c.name == name).map(|c| c.quality);
    of("gzip").or_else(|| of("*")).is_some_and(|quality| quality > 0)
}

/// One entry of a list header.
struct Item {
    name: String,
    version: Option<String>,
    /// Thousandths.
    quality: u16,
}

fn items(headers: &HeaderMap, name: &HeaderName) -> Vec<Item> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(item).collect()
}

fn item(text: &str) -> Item {
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let mut item = Item { name: parts.next().unwrap_or_default(), version: None, quality: 1000 };
    for part in parts {
        match part.split_once('=') {
            // A quality that is no number asks for nothing.
            Some(("q", q)) => item.quality = quality(q).unwrap_or(0),
            Some(("version", version)) => item.version = Some(version.trim_matches('"').to_owned()),
            _ => {}
        }
    }
    item
}

fn quality(text: &str) -> Option<u16> {
    let q: f32 = text.parse().ok()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
    (0.0..=1.0).contains(&q).then(|| (q * 1000.0).round() as u16)
}

/// How closely a range names a format; `None` where it does not match.
fn specificity(range: &Item, kind: &str, subtype: &str, version: &str) -> Option<u8> {
    let (range_kind, range_subtype) = range.name.split_once('/')?;
    match (range_kind, range_subtype, range.version.as_deref()) {
        ("*", "*", _) => Some(1),
        (k, "*", _) if k == kind => Some(2),
        (k, s, None) if k == kind && s == subtype => Some(3),
        (k, s, Some(v)) if k == kind && s == subtype && v == version => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header value"))])
    }

    #[test]
    fn each_scraper_gets_the_format_that_it_prefers() {
        for (accept, expected) in [
            // Prometheus 2.42 and 3.x, curl, a browser.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            ("*/*", Format::Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.8", Format::Text),
            ("application/openmetrics-text;version=0.0.1, text/plain;q=0.1", Format::Text),
            ("application/openmetrics-text;q=0, */*", Format::Text),
            ("application/openmetrics-text;q=x", Format::Text),
            ("application/*;q=0.4, text/*;q=0.3", Format::OpenMetrics),
            ("", Format::Text),
            (";;,=,/;q", Format::Text),
        ] {
            assert_eq!(format(&with(ACCEPT, accept)), expected, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accept, expected) in [
            ("gzip", true),
            ("br;q=1.0, GZIP;q=0.2", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(gzip(&with(ACCEPT_ENCODING, accept)), expected, "{accept}");
        }
        assert!(!gzip(&HeaderMap::new()));
    }
}
