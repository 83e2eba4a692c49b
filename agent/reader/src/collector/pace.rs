//! How often the heap statistics of a program that runs are read where collections follow
//! each other closely.

use std::time::{Duration, Instant};

/// A change of resident memory that heap statistics are read again for: the larger of so many
/// bytes and one part in so many.
const LEAST_CHANGE: u64 = 1 << 20;
const PART: u64 = 64;

/// Parts of the age, in one of which what was met at once is read again first.
const TURNS: u32 = 16;

/// When heap statistics are young enough to be shown again, though their program has run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// From which age on they are read again.
    min_age: Duration,
    /// When the collection began, and half of the time since the one before: which collection
    /// is the nearest to an age is not left to how punctual each of them is.
    now: Instant,
    half: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { min_age: Duration::ZERO, now: Instant::now(), half: Duration::ZERO }
    }
}

impl Pace {
    pub fn set_min_age(&mut self, min_age: Duration) {
        self.min_age = min_age;
    }

    /// Begins a collection, so long after the one before.
    pub fn begin(&mut self, now: Instant, elapsed: Duration) {
        (self.now, self.half) = (now, elapsed / 2);
    }

    /// Whether what was read at a time is to be shown again. Those that were met at once take
    /// turns by their pids.
    pub fn is_young(&self, read: Instant, first: Option<u32>) -> bool {
        let min_age = first.map_or(self.min_age, |pid| self.min_age * (pid % TURNS) / TURNS);
        self.now.saturating_duration_since(read) + self.half < min_age
    }
}

/// Whether a process has about as much resident memory as it had then: of what is new no heap
/// statistics of then tell.
pub(super) fn is_about_as_large(then: u64, now: u64) -> bool {
    now.abs_diff(then) <= LEAST_CHANGE.max(then / PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_that_come_a_little_early_leave_none_out() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        pace.set_min_age(Duration::from_secs(10));
        for (interval, is_young) in [(1_000, [true; 2]), (9_900, [false; 2]), (15_000, [false; 2])]
        {
            let interval = Duration::from_millis(interval);
            for (after, is_young) in (1..).zip(is_young) {
                pace.begin(start + interval * after, interval);
                assert_eq!(pace.is_young(start, None), is_young, "{interval:?}");
            }
        }
        for (seconds, is_young) in [(9, true), (10, false), (11, false)] {
            pace.begin(start + Duration::from_secs(seconds), Duration::from_secs(1));
            assert_eq!(pace.is_young(start, None), is_young, "{seconds}");
        }
        pace.set_min_age(Duration::ZERO);
        assert!(!pace.is_young(start, None) && !pace.is_young(pace.now, None));
    }

    #[test]
    fn those_met_at_once_take_turns() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        pace.set_min_age(Duration::from_secs(10));
        let mut read = [0; 10];
        for (after, read) in (1..).zip(&mut read) {
            pace.begin(start + Duration::from_secs(after), Duration::from_secs(1));
            *read = (0..1600).filter(|pid| !pace.is_young(start, Some(*pid))).count();
        }
        assert_eq!(read[9], 1600);
        assert!(read.windows(2).all(|two| two[1] - two[0] <= 200), "{read:?}");
    }

    #[test]
    fn much_more_or_less_memory_is_a_change() {
        for (then, now, is_same) in
            [(8, 9, true), (8, 10, false), (8, 6, false), (6400, 6500, true), (6400, 6501, false)]
        {
            assert_eq!(is_about_as_large(then << 20, now << 20), is_same, "{then} {now}");
        }
    }
}
