//! Go's expvar, `/debug/vars`: one JSON object, of which `memstats` is read.

use std::io::{self, BufRead};

use serde::Deserialize;

use super::http::malformed;
use super::memstats::MemStats;

/// The member that the package `expvar` publishes by itself.
#[derive(Deserialize)]
struct Vars {
    memstats: Option<MemStats>,
}

/// Reads the object as a stream: other members, of any size, are passed over.
pub fn parse(text: impl BufRead) -> io::Result<MemStats> {
    let vars: Vars = serde_json::from_reader(text).map_err(|error| match error.classify() {
        // What the connection said, not what became of the text.
        serde_json::error::Category::Io => error.into(),
        _ => malformed(format!("its JSON is malformed: {error}")),
    })?;
    let stats = vars.memstats.ok_or_else(|| malformed("its JSON has no `memstats`"))?;
    if stats.figures().any(|figure| i64::try_from(figure).is_err()) {
        return Err(malformed("`memstats` gives 2^63 bytes or more"));
    }
    Ok(stats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memstats_are_found_among_other_variables() {
        let text = br#"{"cmdline":["a"],"x":{"memstats":{"HeapInuse":9}},
            "memstats":{"HeapInuse":8192,"BySize":[{"Size":1}],"NextGC":18446744073709551615,"GCSys":7}}"#;
        let stats = parse(&text[..]).expect("valid");
        assert_eq!((stats.heap_inuse, stats.gc_sys, stats.heap_idle), (Some(8192), Some(7), None));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for memstats in [
            "1",
            "[]",
            r#"{"HeapInuse":-1}"#,
            r#"{"HeapInuse":1.5}"#,
            r#"{"HeapInuse":"1"}"#,
            r#"{"HeapInuse":9223372036854775808}"#,
            r#"{"HeapInuse":1,"HeapInuse":2}"#,
        ] {
            let text = format!("{{\"memstats\":{memstats}}}");
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        for bad in ["", "{}", "[]", r#"{"memstats":{}"#, r#"{"memstats":{}} x"#] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
