//! Whether what somebody has in use grows for ever: a leak, or not, by his history.
//!
//! What counts is in use (as of the last garbage collection, where a runtime tells that), never RSS: an
//! allocator that keeps what was freed grows in RSS, and leaks nothing. Of each twelfth of
//! the time the least is taken, so that the teeth of a collector's saw do not
//! count; the order of these (Mann-Kendall) tells whether there is a trend, the median of the slopes
//! between them (Theil-Sen) how steep it is. A trend is a leak where it goes on: what
//! flattens, or rose at once, fills something.

mod shrinking;
mod trend;

use std::time::Duration;

use crate::history::Point;
use crate::size::iec;
pub use shrinking::Shrinking;
use trend::Trend;
pub use trend::{LEAST_SAMPLES, Slope};

/// Nothing is called a leak that was watched for less: programs warm up, and loads rise.
pub const LEAST_TIME: Duration = Duration::from_mins(25);

/// What happened lately, beside the whole of the history.
const LATELY: Duration = Duration::from_hours(1);

/// How many times more it grew in the hour before, where it slows down.
const SLOWS: f64 = 1.5;

/// How much of the slope of the whole time it still has to have.
const HOLDS: f64 = 0.3;

/// For how long a trend has to go on to be believed without what happened lately.
const LONG: Duration = Duration::from_hours(4);

/// What became of the memory that somebody has in use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Growth {
    /// It grows, and goes on doing so.
    Leak(Slope),
    /// It grows, and less and less so.
    Filling(Slope),
    /// It does not grow; what allocators keep free is a quarter of it or more.
    Retention {
        /// What is kept free.
        free: u64,
    },
    /// It does not grow; what the kernel can take back does.
    Reclaimable {
        /// By how much that grew.
        grew: u64,
    },
    /// It does not grow.
    Steady,
    /// It was not watched for long enough, or is not known.
    Unknown(TooLittle),
}

/// Why nothing is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TooLittle {
    /// What is in use is not known, or only at times.
    InUse,
    /// There are too few samples.
    Samples,
    /// It grows, and was not watched for [`LEAST_TIME`].
    Time(Slope),
}

impl Growth {
    /// Judges the points of a history, the oldest first.
    pub fn of(points: impl IntoIterator<Item = (Duration, Point)>) -> Self {
        let points: Vec<(Duration, Point)> = points.into_iter().collect();
        let known: Vec<(Duration, u64)> =
            points.iter().filter_map(|(time, point)| Some((*time, point.in_use?))).collect();
        if points.len() < LEAST_SAMPLES {
            return Self::Unknown(TooLittle::Samples);
        }
        if known.len() < points.len() / 10 * 9 {
            return Self::Unknown(TooLittle::InUse);
        }
        let end = known.last().map_or(Duration::ZERO, |(time, _)| *time);
        // Before that points stand for a quarter of an hour each. Where samples are far apart it
        // is longer.
        let from = known.partition_point(|(time, _)| *time < end.saturating_sub(LATELY));
        let from = from.min(known.len().saturating_sub(LEAST_SAMPLES));
        let (before, recent) = known.split_at(from);
        let Some(recent) = Trend::of(recent) else { return Self::Unknown(TooLittle::Samples) };
        Self::of_trends(&recent, before, || Trend::of(&known))
            .unwrap_or_else(|| level(&points, recent.slope.level))
    }

    fn of_trends(
        recent: &Trend,
        before: &[(Duration, u64)],
        whole: impl FnOnce() -> Option<Trend>,
    ) -> Option<Self> {
        if recent.rises() {
            // What was there before and came back is no leak.
            let most = before.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
            let goes_on = recent.goes_on() && !slows(before, recent);
            return match (recent.span() >= LEAST_TIME, recent.slope.level >= most) {
                (false, _) => Some(Self::Unknown(TooLittle::Time(recent.slope))),
                (true, true) if goes_on => Some(Self::Leak(recent.slope)),
                (true, true) => Some(Self::Filling(recent.slope)),
                (true, false) => None,
            };
        }
        let whole = whole().filter(|whole| whole.span() >= LONG && whole.rises())?;
        let is_on = recent.slope.per_hour >= whole.slope.per_hour * HOLDS;
        let is_leak = whole.goes_on() && is_on;
        Some(if is_leak { Self::Leak(whole.slope) } else { Self::Filling(whole.slope) })
    }

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leak(_) => "leak",
            Self::Filling(_) => "filling",
            Self::Retention { .. } => "retention",
            Self::Reclaimable { .. } => "reclaimable",
            Self::Steady => "steady",
            Self::Unknown(_) => "unknown",
        }
    }

    /// What is going on, as a sentence without a full stop.
    pub fn sentence(self) -> String {
        match self {
            Self::Leak(slope) => format!(
                "leak: what is in use grows by {}, and doubles in {}",
                slope.words(),
                slope.doubling().map_or_else(|| "more than a year".to_owned(), words)
            ),
            Self::Filling(slope) => format!(
                "no leak so far: what is in use grew by {}, and less and less so",
                iec(slope.grew)
            ),
            Self::Retention { free } => format!(
                "no leak: what is in use does not grow; allocators keep {} free",
                iec(i64::try_from(free).unwrap_or(i64::MAX))
            ),
            Self::Reclaimable { grew } => format!(
                "no leak: what is in use does not grow; what the kernel can take back grew by {}",
                iec(i64::try_from(grew).unwrap_or(i64::MAX))
            ),
            Self::Steady => "no leak: what is in use does not grow".to_owned(),
            Self::Unknown(TooLittle::InUse) => {
                "whether it leaks is not known: what is in use is not read".to_owned()
            }
            Self::Unknown(TooLittle::Samples) => {
                format!("whether it leaks is not known: that takes {LEAST_SAMPLES} samples")
            }
            Self::Unknown(TooLittle::Time(slope)) => format!(
                "whether it leaks is not known: it grew by {}, as a program does that warms up; that \
                 takes {}",
                iec(slope.grew),
                words(LEAST_TIME)
            ),
        }
    }
}

/// Whether it grew faster in the hour before, as what warms up does.
fn slows(before: &[(Duration, u64)], recent: &Trend) -> bool {
    let Some((end, last)) = before.last() else { return false };
    let begin = end.saturating_sub(LATELY);
    let Some((begin, first)) = before.iter().find(|(time, _)| *time >= begin) else { return false };
    let hours = end.saturating_sub(*begin).as_secs_f64() / 3600.0;
    hours > 0.0 && (*last as f64 - *first as f64) / hours > recent.slope.per_hour * SLOWS
}

/// What is there where nothing in use grows.
fn level(points: &[(Duration, Point)], in_use: u64) -> Growth {
    let third = points.len() / 3;
    let mean = |part: &[(Duration, Point)], figure: fn(&Point) -> Option<u64>| {
        let known: Vec<u64> = part.iter().filter_map(|(_, point)| figure(point)).collect();
        let sum = known.iter().fold(0u128, |sum, bytes| sum + u128::from(*bytes));
        u64::try_from(sum.checked_div(known.len() as u128)?).ok()
    };
    let (first, last) = (&points[..third], &points[points.len() - third..]);
    let grew = |figure: fn(&Point) -> Option<u64>| {
        let (before, after) = (mean(first, figure)?, mean(last, figure)?);
        Some(after.saturating_sub(before))
    };
    let taken = grew(|point| point.cache).unwrap_or(0) + grew(|point| point.lazy).unwrap_or(0);
    let free = mean(last, |point| point.free).unwrap_or(0);
    let required = mean(last, |point| point.required).unwrap_or(in_use);
    if taken > required / 10 {
        Growth::Reclaimable { grew: taken }
    } else if free > in_use.saturating_add(free) / 4 {
        Growth::Retention { free }
    } else {
        Growth::Steady
    }
}

/// `20 min`, `3.5 h`, `12 d`.
pub(crate) fn words(time: Duration) -> String {
    let hours = time.as_secs_f64() / 3600.0;
    match hours {
        ..1.0 => format!("{:.0} min", hours * 60.0),
        ..48.0 => format!("{hours:.1} h"),
        _ => format!("{:.0} d", hours / 24.0),
    }
}
