//! Several allocators in one process, each with free memory that the others can not use.

use super::{Confidence, Finding, Severity, Subject};
use crate::figure::Figure;
use crate::size::iec;

pub const ID: &str = "several-allocators";

/// Less of one is not worth a look: every program has some of its C library's.
const LEAST: i64 = 8 << 20;

/// General allocators: what a runtime keeps beside one of these is off-heap memory.
const GENERAL: [&str; 5] = ["glibc", "jemalloc", "mimalloc", "musl", "tcmalloc"];

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Process(process) = subject else { return None };
    let rss = process.headline.rss.point()?;
    let is_much = |bytes: i64| bytes >= LEAST && bytes >= rss / 16;
    let mut all: Vec<(&str, i64)> = process
        .owners
        .iter()
        .filter(|(owner, bytes)| GENERAL.contains(&owner.as_str()) && is_much(*bytes))
        .map(|(owner, bytes)| (owner.as_str(), *bytes))
        .collect();
    all.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let (most, others) = all.split_first().filter(|(_, others)| !others.is_empty())?;
    let bytes = others.iter().fold(0i64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let words: Vec<String> =
        all.iter().map(|(owner, bytes)| format!("{owner} {}", iec(*bytes))).collect();
    Some(Finding {
        id: ID,
        bytes: Figure::Exact(bytes),
        severity: Severity::Info,
        confidence: Confidence::Certain,
        brief: format!("{} allocators share it: {}", all.len(), words.join(", ")),
        summary: format!(
            "{} allocators serve it, each from memory of its own: what one has freed serves no allocation of another",
            all.len()
        ),
        evidence: words,
        is_not: "a fault by itself: libraries that bring an allocator of their own do this",
        remedy: format!(
            "settings and calls of one allocator leave the other's memory as it is: apply what you do for {} to each; linking or preloading one allocator for all is possible only where none is built in under names of its own",
            most.0
        )
        .into(),
    })
}
