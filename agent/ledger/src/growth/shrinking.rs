//! For how long room lasts that shrinks.

use std::time::Duration;

use super::trend::Trend;
use super::words;
use crate::history::Point;

/// Room that shrinks, and goes on doing so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shrinking {
    /// Bytes an hour that it shrinks by.
    pub per_hour: f64,
    /// How long it lasts at that rate.
    pub lasts: Duration,
    /// How long at the highest and the lowest rate that it can be; none where it may be that
    /// it does not shrink.
    pub bounds: (Duration, Option<Duration>),
}

/// How far back it is looked at: further where what comes and goes hides it.
const WINDOWS: [Duration; 2] = [Duration::from_mins(30), Duration::from_hours(1)];

/// For how long at least.
const LEAST: Duration = Duration::from_mins(15);

/// The least room of that time counts.
const LATELY: Duration = Duration::from_mins(5);

/// What lasts longer is left out: nobody can tell so far ahead.
const FAR: Duration = Duration::from_hours(12);

impl Shrinking {
    /// Judges the points of a history, the oldest first; none where room is not known, or does not
    /// shrink, or ever less.
    pub fn of(points: impl IntoIterator<Item = (Duration, Point)>) -> Option<Self> {
        let points: Vec<(Duration, Point)> = points.into_iter().collect();
        // Who has no limit any more has nothing that shrinks.
        let (end, _) = points.last().filter(|(_, point)| point.room.is_some())?;
        let known: Vec<(Duration, u64)> =
            points.iter().filter_map(|(time, point)| Some((*time, point.room?))).collect();
        let since = |time: Duration| {
            let from = known.partition_point(|(at, _)| *at < end.saturating_sub(time));
            &known[from..]
        };
        let room = since(LATELY).iter().map(|(_, room)| *room).min()?;
        let trend = WINDOWS.into_iter().find_map(|window| trend(since(window)))?;
        let slope = trend.slope;
        let lasts = |per_hour: f64| {
            let hours = room as f64 / per_hour;
            (per_hour > 0.0 && hours.is_finite())
                .then(|| Duration::try_from_secs_f64(hours * 3600.0).ok())
                .flatten()
        };
        let point = lasts(slope.per_hour).filter(|lasts| *lasts <= FAR)?;
        let bounds = (lasts(slope.bounds.1).unwrap_or(point), lasts(slope.bounds.0));
        Some(Self { per_hour: slope.per_hour, lasts: point, bounds })
    }

    /// Whole bytes an hour.
    #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
    pub fn bytes_per_hour(&self) -> i64 {
        self.per_hour as i64
    }

    /// `42 min (35 min .. 1.2 h)`
    pub fn words(&self) -> String {
        let high = self.bounds.1.map_or_else(|| "more".to_owned(), words);
        format!("{} ({} .. {high})", words(self.lasts), words(self.bounds.0))
    }
}

/// How steeply what is lacking to twice the most rises: growth is measured against that.
fn trend(room: &[(Duration, u64)]) -> Option<Trend> {
    let most = room.iter().map(|(_, room)| *room).max()?.saturating_mul(2);
    let lack: Vec<(Duration, u64)> =
        room.iter().map(|(time, room)| (*time, most.saturating_sub(*room))).collect();
    let trend = Trend::of(&lack)?;
    (trend.span() >= LEAST && trend.rises() && trend.goes_on()).then_some(trend)
}
