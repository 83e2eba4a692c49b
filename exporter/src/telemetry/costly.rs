//! Processes of which something is not read, because it would cost too much.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::encode::{Encoder, Kind, Value, labels};
use crate::tables::OTHER;

/// Names and what is not read of them, those of most memory; names are the programs' own.
const MAX_NAMED: usize = 32;

/// A process: its name, what is not read of it, and its resident memory.
pub type Costly<'n> = (&'n str, &'static str, u64);

/// How many processes there are, by name and what is not read.
type Counts = BTreeMap<(String, &'static str), i64>;

/// It lives beside the recorder of telemetry, which never forgets a label.
static COSTLY: Mutex<Counts> = Mutex::new(Counts::new());

/// Records those of the last collection.
pub fn costly<'n>(targets: impl Iterator<Item = Costly<'n>>) {
    let mut by_name: BTreeMap<(&str, &'static str), (u64, i64)> = BTreeMap::new();
    for (name, unread, rss) in targets {
        let (most, count) = by_name.entry((name, unread)).or_default();
        (*most, *count) = ((*most).max(rss), *count + 1);
    }
    let mut largest: Vec<_> = by_name.into_iter().collect();
    largest.sort_by_key(|(_, (rss, _))| Reverse(*rss));
    let mut counts = Counts::new();
    for (nth, ((name, unread), (_, count))) in largest.into_iter().enumerate() {
        let name = if nth < MAX_NAMED { name } else { OTHER };
        *counts.entry((name.to_owned(), unread)).or_default() += count;
    }
    *lock() = counts;
}

/// Writes who they are, by name.
pub(super) fn write(out: &mut Encoder) {
    let mut family = out.family(
        Kind::Gauge,
        "memgap_exporter_costly_targets",
        "Processes by name and what of them is not read, because it would cost more than one process may: a walk, one for its largest mapping, the table of mappings, some files, the mount table, places of threads' stacks, heap statistics. The 32 with most memory, then other.",
    );
    for ((name, unread), count) in &*lock() {
        family.sample(&labels(&[("name", name), ("unread", unread)]), &[], Value::Int(*count));
    }
}

fn lock() -> MutexGuard<'static, Counts> {
    COSTLY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Format;

    #[test]
    fn the_largest_are_named_and_the_others_counted() {
        let names: Vec<String> = (0..100).map(|nth| format!("p{nth}")).collect();
        let target = |nth: usize| {
            let unread = if nth == 100 { "mounts" } else { "walk" };
            (names[nth.min(99)].as_str(), unread, nth as u64)
        };
        costly((50..=100).map(target));
        let mut out = Encoder::new(Format::Text, 0);
        write(&mut out);
        let text = out.finish();
        let has = |line: &str| text.contains(&format!("memgap_exporter_costly_targets{line}\n"));
        assert!(
            has("{name=\"p99\",unread=\"walk\"} 1") && has("{name=\"p99\",unread=\"mounts\"} 1")
        );
        assert!(
            has("{name=\"other\",unread=\"walk\"} 19") && has("{name=\"p69\",unread=\"walk\"} 1"),
            "{text}"
        );
        costly(std::iter::empty());
        assert!(lock().is_empty());
    }
}
