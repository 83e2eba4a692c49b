//! The parts of a gap: they add up to it, negative ones too.

use crate::size::iec;

/// A part of a gap, in words and bytes; negative where it makes the gap smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub what: &'static str,
    /// How much.
    pub bytes: i64,
}

/// Parts that are named with their bytes; the others are named together.
const NAMED: usize = 8;

/// Those that are anything, the largest first, whatever their sign.
pub(super) fn in_order(mut parts: Vec<Part>) -> Vec<Part> {
    parts.retain(|part| part.bytes != 0);
    parts.sort_by_key(|part| (std::cmp::Reverse(part.bytes.unsigned_abs()), part.what));
    parts
}

/// The parts in words; they add up.
pub(super) fn sentence(parts: &[Part]) -> String {
    let (named, others) = parts.split_at(NAMED.min(parts.len()));
    let mut words: Vec<String> =
        named.iter().map(|part| format!("{} {}", iec(part.bytes), part.what)).collect();
    if let [one] = others {
        words.push(format!("{} {}", iec(one.bytes), one.what));
    } else if !others.is_empty() {
        let sum = others.iter().fold(0i64, |sum, part| sum.saturating_add(part.bytes));
        let smaller: Vec<&str> = others.iter().map(|part| part.what).collect();
        words.push(format!("{} of {}", iec(sum), smaller.join(", ")));
    }
    words.join("; ")
}
