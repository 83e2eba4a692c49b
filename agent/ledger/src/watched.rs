//! Cgroups that are watched: what makes up their [`Outlook`].

mod peaks;

use std::time::Duration;

use crate::advice::{Need, Reuse};
use crate::cgroup::CgroupLedger;
use crate::growth::{Growth, LEAST_TIME, Shrinking};
use crate::history::{History, Point, Shape};
use crate::outlook::{Leak, Outlook};
use peaks::Peaks;

/// A cgroup that is watched. Most of what it takes is the history.
#[derive(Debug)]
pub(crate) struct Watched {
    history: History,
    /// What was in use by runtime when nothing grew last.
    level: Vec<(String, i64)>,
    peaks: Peaks,
    reuse: Reuse,
    /// The most that was written again of what was lazily freed.
    reused: Peaks,
    /// The last point, and when it is to be judged.
    last: Option<(Duration, Point)>,
    due: Duration,
    /// The point that was judged last.
    judged: Point,
    outlook: Outlook,
}

/// How far points are apart, and verdicts of what grows, and of what does not.
const STEP: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_mins(1);
const LATER: Duration = Duration::from_mins(10);

/// A growth in parts of the whole that is looked at soon.
const GROWN: u64 = 256;

/// Names of runtimes that are kept.
const MOST_OWNERS: usize = 16;

impl Watched {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self {
            history: History::new(Shape::DAY),
            level: Vec::new(),
            peaks: Peaks::default(),
            reuse: Reuse::default(),
            reused: Peaks::default(),
            last: None,
            due: SOON,
            judged: Point::default(),
            outlook: Outlook::default(),
        }
    }

    /// Notes what a ledger tells, at a time that counts from whenever the caller likes.
    pub fn push(&mut self, at: Duration, ledger: &CgroupLedger) {
        if let Some(need) = Need::of(ledger) {
            self.reused.push(at, self.reuse.since_last(&need));
            self.peaks.push(at, need.most_reusing(self.reused.most()));
            self.outlook.advised_limit = self.peaks.limit();
        }
        if self.last.is_some_and(|(last, _)| at < last.saturating_add(STEP)) {
            return;
        }
        let point = Point::of_cgroup(ledger);
        if self.last.is_none() {
            (self.judged, self.due) = (point, at.saturating_add(SOON));
            self.level = owners(ledger);
        }
        self.history.push(at, point);
        self.last = Some((at, point));
        if self.has_grown(&point) {
            self.due = self.due.min(at.saturating_add(SOON));
        }
    }

    /// From when on it is to be judged.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Judges what was seen so far.
    pub fn judge(&mut self, ledger: &CgroupLedger) {
        let Some((at, point)) = self.last else { return };
        let growth = Growth::of(self.history.iter());
        self.outlook.leak = match growth {
            Growth::Leak(slope) => Some(Leak { slope, grower: self.grower(ledger) }),
            _ => None,
        };
        let span = self
            .history
            .iter()
            .next()
            .map_or(Duration::ZERO, |(first, _)| at.saturating_sub(first));
        let is_told = !matches!(growth, Growth::Leak(_) | Growth::Steady | Growth::Unknown(_));
        self.outlook.no_leak = (is_told && span >= LEAST_TIME).then_some(growth);
        if matches!(growth, Growth::Steady | Growth::Retention { .. } | Growth::Reclaimable { .. })
        {
            self.level = owners(ledger);
        }
        self.outlook.shrinking = Shrinking::of(self.history.iter());
        let is_quiet = self.outlook.leak.is_none() && self.outlook.shrinking.is_none();
        self.due = at.saturating_add(if is_quiet { LATER } else { SOON });
        self.judged = point;
    }

    /// What is said of it.
    pub fn outlook(&self) -> &Outlook {
        &self.outlook
    }

    /// Whether more is in use, or there is less room, than when it was judged.
    fn has_grown(&self, point: &Point) -> bool {
        let is_more = |before: Option<u64>, now: Option<u64>| match (before, now) {
            (Some(before), Some(now)) => now.saturating_sub(before) > before / GROWN,
            (None, now) => now.is_some(),
            (_, None) => false,
        };
        is_more(self.judged.in_use, point.in_use) || is_more(point.room, self.judged.room)
    }

    fn grower(&self, ledger: &CgroupLedger) -> Option<(String, i64)> {
        let before = |owner: &str| self.level.iter().find(|(name, _)| name == owner);
        owners(ledger)
            .into_iter()
            .map(|(owner, bytes)| {
                let grew = bytes.saturating_sub(before(&owner).map_or(0, |(_, bytes)| *bytes));
                (owner, grew)
            })
            .filter(|(_, grew)| *grew > 0)
            .max_by_key(|(_, grew)| *grew)
    }
}

fn owners(ledger: &CgroupLedger) -> Vec<(String, i64)> {
    let by = ledger.in_use.iter().flat_map(|in_use| &in_use.by);
    by.take(MOST_OWNERS).cloned().collect()
}
