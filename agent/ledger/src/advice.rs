//! The memory limit that a cgroup needs, by what it required while it was watched.

pub mod setting;

use std::time::Duration;

use crate::account::Account;
use crate::cgroup::CgroupLedger;
use crate::figure::Figure;
use setting::Setting;

/// Fewer readings say little about a peak.
pub const LEAST_READINGS: usize = 10;

/// What is added for what no reading saw, in percent: between two of them, and after the last.
const MARGIN: i64 = 5;

/// Growth in percent from one third of the time to the next that is more than noise.
const GROWS: i64 = 2;

/// What one reading of a cgroup says that its limit has to hold, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// What can not be taken back.
    pub required: Figure,
    /// Page cache that was read more than once.
    pub hot_cache: i64,
    /// Lazily freed memory, which is not required.
    pub lazy: Figure,
    /// What other rules go by.
    pub usage: i64,
    /// As cAdvisor and the kubelet compute it.
    pub working_set: i64,
}

/// A limit, and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// How often it was read.
    pub readings: usize,
    /// From the first reading to the last.
    pub over: Duration,
    /// The least that it needs not to be killed: what it required at its peak.
    pub required: Figure,
    /// Page cache that it read more than once: with less it reads from disk what it had in memory.
    pub hot_cache: i64,
    /// Lazily freed memory that it writes again and again: at its peaks, which are too short to be
    /// read, it is required.
    pub reused: i64,
    /// What a limit should be: all of these at their peak, and a margin.
    pub limit: i64,
    /// What a scheduler should set aside: what 99 of 100 readings needed.
    pub request: i64,
    /// Its largest usage and working set, which other rules go by.
    pub usage: i64,
    /// As cAdvisor and the kubelet compute it.
    pub working_set: i64,
    /// By how much it grew while it was watched, where it did throughout.
    pub grew: Option<i64>,
    /// Settings of its processes' runtimes that belong to that limit.
    pub settings: Vec<Setting>,
}

impl Need {
    /// What a ledger says; none where it is not known what is required.
    pub fn of(cgroup: &CgroupLedger) -> Option<Self> {
        let cache = cgroup.ledger.figure(Account::PageCache).point()?;
        Some(Self {
            required: Some(cgroup.headline.required).filter(|figure| figure.point().is_some())?,
            hot_cache: cgroup.active_file.point()?.min(cache).max(0),
            lazy: cgroup.ledger.figure(Account::LazyFree),
            usage: cgroup.headline.usage.point()?,
            working_set: cgroup.headline.working_set.point()?,
        })
    }

    /// What a limit has to hold for it at the most, where so much of what is lazily freed was
    /// written again: what a program did before it will do again.
    pub(crate) fn most_reusing(&self, reused: i64) -> i64 {
        let (_, high) = self.required.bounds().unwrap_or_default();
        high.saturating_add(self.hot_cache).saturating_add(self.again(reused))
    }

    /// What of that may be written again before the next reading.
    fn again(&self, reused: i64) -> i64 {
        self.lazy.point().unwrap_or(0).clamp(0, reused)
    }
}

impl Advice {
    /// Makes it of readings, the oldest first; none where there is none.
    pub fn of(needs: &[Need], over: Duration) -> Option<Self> {
        let mut reuse = Reuse::default();
        let reused = needs.iter().map(|need| reuse.since_last(need)).max().unwrap_or(0);
        let most = |need: &Need| need.most_reusing(reused);
        let peak = needs.iter().max_by_key(|need| most(need))?;
        let limit = with_margin(most(peak));
        let mut most: Vec<i64> = needs.iter().map(most).collect();
        most.sort_unstable();
        let of_hundred = most.get(most.len().saturating_mul(99) / 100).or(most.last())?;
        let largest = |figure: fn(&Need) -> i64| needs.iter().map(figure).max().unwrap_or(0);
        Some(Self {
            readings: needs.len(),
            over,
            required: peak.required,
            hot_cache: peak.hot_cache,
            reused: peak.again(reused),
            limit,
            request: *of_hundred,
            usage: largest(|need| need.usage),
            working_set: largest(|need| need.working_set),
            grew: grew(needs),
            settings: Vec::new(),
        })
    }

    /// Whether it was read often enough.
    pub const fn is_enough(&self) -> bool {
        self.readings >= LEAST_READINGS
    }
}

/// What of its lazily freed memory a program writes again, by readings one after the other.
#[derive(Debug, Default)]
pub(crate) struct Reuse {
    /// Usage and what is lazily freed at the least, when it was read last.
    last: Option<(i64, i64)>,
}

/// Less is noise.
const LEAST_REUSE: i64 = 1 << 20;

impl Reuse {
    /// How much was written again since the reading before, at the least. Memory that is no longer
    /// lazily freed was written again, or taken by the kernel: then usage fell too.
    pub fn since_last(&mut self, need: &Need) -> i64 {
        let bounds = need.lazy.bounds();
        let before = std::mem::replace(&mut self.last, bounds.map(|(low, _)| (need.usage, low)));
        let (Some((usage, low)), Some((_, high))) = (before, bounds) else { return 0 };
        let taken = usage.saturating_sub(need.usage).max(0);
        let again = low.saturating_sub(high).saturating_sub(taken);
        if again >= LEAST_REUSE { again } else { 0 }
    }
}

/// With what is added for what no reading saw.
pub(crate) fn with_margin(bytes: i64) -> i64 {
    bytes.saturating_add(bytes / 100 * MARGIN)
}

/// How much more was required in the last third of the time than in the first, where each
/// third needed more than the one before.
fn grew(needs: &[Need]) -> Option<i64> {
    let third = needs.len() / 3;
    let peak = |nth: usize| {
        let part = needs.get(nth * third..(nth + 1) * third)?;
        part.iter().filter_map(|need| need.required.point()).max()
    };
    let (first, second, last) = (peak(0)?, peak(1)?, peak(2)?);
    let is_more = |before: i64, after: i64| after.saturating_sub(before) > before / 100 * GROWS;
    (needs.len() >= LEAST_READINGS && is_more(first, second) && is_more(second, last))
        .then(|| last.saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: i64 = 1 << 20;

    fn needs(required: impl IntoIterator<Item = i64>) -> Vec<Need> {
        let of = |mib: i64| Need {
            required: Figure::interval((mib - 1) * MIB, mib * MIB, (mib + 2) * MIB),
            hot_cache: 3 * MIB,
            lazy: Figure::exact(0),
            usage: 500 * MIB,
            working_set: 20 * MIB,
        };
        required.into_iter().map(of).collect()
    }

    fn advice(required: impl IntoIterator<Item = i64>) -> Advice {
        let readings = needs(required);
        Advice::of(&readings, Duration::from_mins(1)).expect("there are readings")
    }

    #[test]
    fn a_limit_holds_the_peak_with_the_cache_that_was_read_again() {
        let made = advice((0..300).map(|n| if n == 150 { 95 } else { 80 + n % 2 }));
        assert_eq!(made.limit, 105 * MIB);
        assert_eq!(made.request, 86 * MIB);
        assert_eq!((made.required.bounds(), made.hot_cache), (Some((94 * MIB, 97 * MIB)), 3 * MIB));
        assert_eq!((made.usage, made.working_set), (500 * MIB, 20 * MIB));
        assert_eq!(made.grew, None);
    }

    /// Of 100 MiB 20 or 6 are freed lazily when it is read; between two readings all are in use.
    #[test]
    fn lazily_freed_memory_that_is_written_again_is_part_of_the_limit() {
        let with_lazy = |required: i64, lazy: i64, usage: i64| Need {
            lazy: Figure::Exact(lazy * MIB),
            usage: usage * MIB,
            ..needs([required])[0]
        };
        let limit = |readings: &[Need]| {
            let made = Advice::of(readings, Duration::from_mins(1)).expect("readings");
            (made.reused / MIB, made.limit / MIB)
        };
        let again: Vec<Need> =
            (0..20).map(|n| with_lazy(80 + n % 2 * 14, 20 - n % 2 * 14, 100)).collect();
        // 100 and 2 of its interval, 3 of page cache; and 5 %.
        assert_eq!(limit(&again), (6, 110));
        // What the kernel takes is not written again, nor what is never touched.
        let taken: Vec<Need> = (0..20).map(|n| with_lazy(80, 20 - n, 100 - n)).collect();
        assert_eq!(limit(&taken), (0, 89));
        let left: Vec<Need> = (0..20).map(|_| with_lazy(80, 20, 100)).collect();
        assert_eq!(limit(&left), (0, 89));
    }

    #[test]
    fn what_grows_throughout_is_said_to() {
        assert_eq!(advice((0..30).map(|n| 100 + n)).grew, Some(20 * MIB));
        assert_eq!(advice((0..30).map(|n| if n < 5 { 50 } else { 100 })).grew, None);
        assert_eq!(advice((0..30).map(|n| 200 - n)).grew, None);
        assert_eq!(advice([1, 2, 3]).grew, None);
    }

    #[test]
    fn without_a_reading_there_is_no_advice() {
        assert_eq!(Advice::of(&[], Duration::ZERO), None);
        assert!(!advice([1]).is_enough() && advice([1; LEAST_READINGS]).is_enough());
        let absurd = Need { required: Figure::exact(u64::MAX), ..needs([1])[0] };
        assert!(Advice::of(&[absurd], Duration::ZERO).is_some_and(|made| made.limit == i64::MAX));
    }
}
