//! What programs and cgroups held since they were first seen.

use std::collections::BTreeMap;
use std::time::Duration;

use memgap_ledger::history::Point;
use memgap_ledger::{History, Machine, Program};

use super::name::Name;

/// Histories that are kept, 2 KiB each at the most. Who comes later has none.
const MOST: usize = 4096;

/// Of each program and cgroup that there is now.
#[derive(Debug, Default)]
pub struct Past {
    kept: BTreeMap<Name, Kept>,
}

#[derive(Debug)]
struct Kept {
    first: i64,
    last: i64,
    history: History,
    seen: Duration,
}

impl Past {
    /// Adds what a machine holds at that time, and forgets who has gone.
    pub fn note(&mut self, machine: &Machine, programs: &[Program], at: Duration) {
        for program in programs {
            // Its RSS: what of it is lazily freed is not known each time, and a figure that
            // becomes known is no change.
            let point = |held| Point { required: Some(held), ..Point::default() };
            self.add(Name::of_program(program), program.rss.point(), point, at);
        }
        for cgroup in machine.cgroups.iter().flatten().filter(|c| c.leaf && !c.root) {
            let point = |_| Point::of_cgroup(cgroup);
            self.add(
                Name::Cgroup(cgroup.path.clone()),
                cgroup.headline.required.point(),
                point,
                at,
            );
        }
        self.kept.retain(|_, kept| kept.seen == at);
    }

    fn add(&mut self, name: Name, held: Option<i64>, point: impl Fn(u64) -> Point, at: Duration) {
        let Some(held) = held else { return };
        if self.kept.len() >= MOST && !self.kept.contains_key(&name) {
            return;
        }
        let new = || Kept { first: held, last: held, history: History::default(), seen: at };
        let kept = self.kept.entry(name).or_insert_with(new);
        kept.history.push(at, point(u64::try_from(held).unwrap_or(0)));
        (kept.last, kept.seen) = (held, at);
    }

    /// By how much it grew since it was first seen.
    pub fn growth(&self, name: &Name) -> Option<i64> {
        self.kept.get(name).map(|kept| kept.last.saturating_sub(kept.first))
    }

    /// When it was first seen that is still kept, and what it held at most and at the end in
    /// each of `columns` equal parts of the time since.
    pub fn line(&self, name: &Name, columns: usize) -> Option<(Duration, Vec<Option<u64>>)> {
        let history = &self.kept.get(name)?.history;
        let (first, last) = (history.iter().next()?.0, history.last()?);
        let span = last.saturating_sub(first).as_millis().max(1);
        let mut parts = vec![None; columns];
        for (at, point) in history.iter() {
            let place = at.saturating_sub(first).as_millis() * (columns.max(1) as u128 - 1) / span;
            if let Some(part) = parts.get_mut(usize::try_from(place).unwrap_or(usize::MAX)) {
                *part = (*part).max(point.required);
            }
        }
        // Between two samples it held what it did at the first of them.
        let mut held = None;
        for part in &mut parts {
            held = part.or(held);
            *part = held;
        }
        Some((last.saturating_sub(first), parts))
    }
}
