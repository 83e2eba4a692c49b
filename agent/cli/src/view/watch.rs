//! `memgap watch`: a line a sample.

use std::time::SystemTime;

use memgap_json::rfc3339;
use memgap_ledger::Growth;
use memgap_ledger::history::Point;
use memgap_ledger::size::iec;

use super::terminal::{Ink, Style};

const COLUMNS: [&str; 6] = ["IN USE", "FREE", "LAZY", "CACHE", "REQUIRED", "ROOM"];

/// The head of the list.
pub fn head(style: &Style) -> String {
    let columns: String = COLUMNS.map(|name| format!(" {name:>9}")).concat();
    style.paint(Ink::Strong, &format!("{:8}{columns}  VERDICT", "UTC")) + "\n"
}

/// One sample, and what is said of all so far.
pub fn line(time: SystemTime, point: &Point, growth: Growth, style: &Style) -> String {
    let time = rfc3339(time);
    let clock = time.get(11..19).unwrap_or(&time);
    let Point { in_use, free, lazy, cache, required, room } = *point;
    let figures: String = [in_use, free, lazy, cache, required, room].map(figure).concat();
    let ink = if matches!(growth, Growth::Leak(_)) { Ink::Alert } else { Ink::Faint };
    format!("{clock}{figures}  {}\n", style.paint(ink, growth.name()))
}

/// What is said at last.
pub fn verdict(growth: Growth, style: &Style) -> String {
    style.wrap(&growth.sentence(), 0, 2) + "\n"
}

fn figure(bytes: Option<u64>) -> String {
    let text = bytes.map_or_else(|| "-".to_owned(), |b| iec(i64::try_from(b).unwrap_or(i64::MAX)));
    format!(" {text:>9}")
}
