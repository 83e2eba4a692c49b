//! Processes that keep the readers of their memory waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::encode::{Encoder, Kind, Value, labels};

/// A process whose reader still waits for it: its name and its pid.
pub type Target = (String, u32);

/// What the last collection left behind.
#[derive(Debug)]
struct Stuck {
    targets: BTreeSet<Target>,
    is_blind: bool,
}

/// It lives beside the recorder of telemetry, which never forgets a label: names are the
/// programs' own.
static STUCK: Mutex<Stuck> = Mutex::new(Stuck { targets: BTreeSet::new(), is_blind: false });

/// Counts processes that did not answer in time.
pub fn timeouts(count: u64) {
    counter!("memgap_exporter_target_timeouts_total").increment(count);
}

/// Records the workers that wait, for whom, and whether so many do that nobody else is asked.
/// What is new is logged.
pub fn stuck(targets: impl Iterator<Item = Target>, workers: usize, is_blind: bool) {
    gauge!("memgap_exporter_workers_stuck").set(workers as f64);
    let mut stuck = lock();
    let targets: BTreeSet<Target> = targets.collect();
    for (name, pid) in targets.difference(&stuck.targets) {
        tracing::warn!(
            name,
            pid,
            "did not answer in time: it holds its memory map, or a file system it maps does not answer"
        );
    }
    if is_blind && !stuck.is_blind {
        tracing::error!(
            workers,
            "no process is asked for more than its counters until one of those that do not answer does"
        );
    }
    *stuck = Stuck { targets, is_blind };
}

/// Writes who does not answer, by name.
pub(super) fn write(out: &mut Encoder) {
    let mut by_name = BTreeMap::<String, i64>::new();
    for (name, _) in &lock().targets {
        *by_name.entry(name.clone()).or_default() += 1;
    }
    let mut family = out.family(
        Kind::Gauge,
        "memgap_exporter_stuck_targets",
        "Processes by name for which a worker waits: each holds its memory map, or a file system it maps does not answer.",
    );
    for (name, count) in by_name {
        family.sample(&labels(&[("name", &name)]), &[], Value::Int(count));
    }
}

fn lock() -> MutexGuard<'static, Stuck> {
    STUCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the recorder what the families are.
pub(super) fn describe() {
    describe_counter!(
        "memgap_exporter_target_timeouts_total",
        "Processes that did not let themselves be read in time, each time; their counters go on."
    );
    describe_gauge!(
        "memgap_exporter_workers_stuck",
        "Workers that wait for a process, some for one that has ended. With 4 no walk is begun, and no heap statistics are read."
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Format;

    fn written() -> String {
        let mut out = Encoder::new(Format::Text, 0);
        write(&mut out);
        out.finish()
    }

    #[test]
    fn names_are_counted_escaped_and_forgotten() {
        let target = |name: &str, pid| (name.to_owned(), pid);
        stuck([target("a", 1), target("a", 2), target("b\"", 3)].into_iter(), 3, false);
        let text = written();
        assert!(text.contains("memgap_exporter_stuck_targets{name=\"a\"} 2\n"), "{text}");
        assert!(text.contains("memgap_exporter_stuck_targets{name=\"b\\\"\"} 1\n"), "{text}");
        stuck([target("b\"", 3)].into_iter(), 1, false);
        assert!(!written().contains("name=\"a\""));
        stuck(std::iter::empty(), 0, false);
        assert_eq!(written(), "");
    }
}
