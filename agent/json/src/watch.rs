//! `memgap watch`: a document a sample, each in a line.

use std::time::SystemTime;

use memgap_ledger::Growth;
use memgap_ledger::history::Point;
use serde::Serialize;

use crate::Document;

#[derive(Debug, Serialize)]
struct Watched {
    sample: Sample,
    growth: Verdict,
}

#[derive(Debug, Serialize)]
struct Sample {
    in_use: Option<u64>,
    free: Option<u64>,
    lazy_free: Option<u64>,
    cache: Option<u64>,
    required: Option<u64>,
    room: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Verdict {
    name: &'static str,
    sentence: String,
    /// Of a leak, and of what fills.
    bytes_per_hour: Option<i64>,
}

/// One sample, and what is said of all so far, without the end of the line.
///
/// # Errors
///
/// What can not be written as JSON.
pub fn line(time: SystemTime, point: &Point, growth: Growth) -> serde_json::Result<String> {
    let Point { in_use, free, lazy, cache, required, room } = *point;
    let bytes_per_hour = match growth {
        Growth::Leak(slope) | Growth::Filling(slope) => Some(slope.bytes_per_hour()),
        _ => None,
    };
    let watched = Watched {
        sample: Sample { in_use, free, lazy_free: lazy, cache, required, room },
        growth: Verdict { name: growth.name(), sentence: growth.sentence(), bytes_per_hour },
    };
    let mut line = Vec::new();
    Document::new(time, watched).write(&mut line)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}
