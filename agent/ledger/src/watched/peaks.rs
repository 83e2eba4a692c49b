//! The most of something in each hour of the last day.

use std::time::Duration;

use crate::advice::with_margin;

/// How many hours count.
const HOURS: usize = 24;

/// For how long it was watched at the least, before a limit is advised.
const LEAST: Duration = Duration::from_hours(1);

/// The most of each hour, by the hour modulo a day.
#[derive(Debug, Default)]
pub(super) struct Peaks {
    hours: [i64; HOURS],
    begin: Option<Duration>,
    last: Duration,
}

impl Peaks {
    /// Notes an amount.
    pub fn push(&mut self, at: Duration, amount: i64) {
        self.begin.get_or_insert(at);
        let (before, now) = (hour(self.last), hour(at));
        // What lies between is of a day ago, or was not seen.
        for passed in (before + 1..=now).take(HOURS) {
            self.hours[passed % HOURS] = 0;
        }
        self.last = at;
        let peak = &mut self.hours[now % HOURS];
        *peak = amount.max(*peak);
    }

    /// The most of all of them.
    pub fn most(&self) -> i64 {
        self.hours.iter().copied().max().unwrap_or(0)
    }

    /// The limit that holds all of them with a margin, once they are of an hour or more.
    pub fn limit(&self) -> Option<i64> {
        let is_enough = self.last.saturating_sub(self.begin?) >= LEAST;
        is_enough.then(|| with_margin(self.most()))
    }
}

fn hour(at: Duration) -> usize {
    usize::try_from(at.as_secs() / 3600).unwrap_or(usize::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_counts_for_a_day_and_an_hour_is_the_least() {
        let mut peaks = Peaks::default();
        let minutes = |minutes: u64| Duration::from_mins(100_000 + minutes);
        peaks.push(minutes(0), 100);
        peaks.push(minutes(1), 300);
        peaks.push(minutes(59), 100);
        assert_eq!(peaks.limit(), None);
        peaks.push(minutes(60), 100);
        assert_eq!(peaks.limit(), Some(with_margin(300)));
        (2..23 * 60).for_each(|minute| peaks.push(minutes(minute), 100));
        assert_eq!(peaks.limit(), Some(with_margin(300)));
        (23 * 60..26 * 60).for_each(|minute| peaks.push(minutes(minute), 200));
        assert_eq!(peaks.limit(), Some(with_margin(200)));
        peaks.push(minutes(80 * 60), 7);
        assert_eq!(peaks.limit(), Some(with_margin(7)));
        peaks.push(Duration::MAX, 8);
        assert_eq!(peaks.limit(), Some(with_margin(8)));
    }
}
