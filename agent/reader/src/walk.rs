//! Whether a walk over a process's mappings is worth its cost: the kernel holds
//! the target's `mmap_lock` for as long as one mapping takes.

use std::time::Duration;

/// What walks of a collector may cost, and what they are made for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WalkPolicy {
    /// CPU time that one walk is expected to take at most.
    pub cap: Duration,
    /// Time that one mapping is expected to take at most: whoever maps memory in the target
    /// meanwhile waits so long.
    pub max_hold: Duration,
    /// Share of one CPU that all walks together may take, 0 to 1.
    pub budget_share: f64,
    /// Anonymous memory of a process from which on its nature matters, in bytes.
    pub min_bytes: u64,
    /// Change of the anonymous memory since the last walk that makes another one
    /// worthwhile, as a share of it.
    pub change: f64,
}

impl Default for WalkPolicy {
    fn default() -> Self {
        Self {
            cap: Duration::from_millis(50),
            max_hold: Duration::from_millis(10),
            budget_share: 0.005,
            min_bytes: 16 << 20,
            change: 0.1,
        }
    }
}

const GIB: f64 = (1u64 << 30) as f64;

/// The most that is known of pages of 4 KiB: 84 ns each. Machines measured by ourselves take
/// 31 to 55, and until this one has shown its own nobody is to wait longer than is said.
const FIRST_GUESS: Rate = Rate { seconds_per_gib: 0.022 };

/// The text of one mapping, whatever it holds; measured on Linux 6.18.
const PER_AREA: Duration = Duration::from_micros(5);

/// Mappings of a process that was never walked: an ordinary dynamic program's.
const USUAL_AREAS: usize = 100;

/// Weight of the newest walk.
const NEWEST: f64 = 0.25;

/// Walks below this tell the cost of a page badly.
const TELLING: u64 = 4 << 20;

/// What a byte of resident memory costs a walk. A process of huge pages costs
/// less than a fortieth of one of small pages, so each keeps its own rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    seconds_per_gib: f64,
}

impl Default for Rate {
    fn default() -> Self {
        FIRST_GUESS
    }
}

impl Rate {
    /// CPU time that a walk will take. `areas` is how many the last one met.
    pub fn predict(self, rss: u64, areas: Option<usize>) -> Duration {
        self.pages(rss).saturating_add(text_cost(areas.unwrap_or(USUAL_AREAS)))
    }

    /// The same of the pages alone, as of a mapping that is met on the way.
    pub fn pages(self, bytes: u64) -> Duration {
        Duration::from_secs_f64(self.seconds_per_gib * bytes as f64 / GIB)
    }

    /// The rate that a walk showed.
    pub fn of(rss: u64, areas: usize, spent: Duration) -> Option<Self> {
        let pages = spent.saturating_sub(text_cost(areas)).as_secs_f64();
        (rss >= TELLING).then(|| Self { seconds_per_gib: pages * GIB / rss as f64 })
    }

    /// Moves towards the rate of the newest walk.
    pub fn learn(&mut self, newest: Self) {
        self.seconds_per_gib += NEWEST * (newest.seconds_per_gib - self.seconds_per_gib);
    }
}

fn text_cost(areas: usize) -> Duration {
    PER_AREA.saturating_mul(u32::try_from(areas).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_guess_is_the_most_that_is_known() {
        let cost = Rate::default().predict(4 << 30, Some(0));
        assert_eq!(cost, Duration::from_millis(88));
        let with_text = Rate::default().predict(4 << 30, Some(1000));
        assert_eq!(with_text, Duration::from_millis(93));
    }

    #[test]
    fn a_machine_of_huge_pages_is_learnt() {
        let mut rate = Rate::default();
        for _ in 0..30 {
            let newest = Rate::of(4 << 30, 0, Duration::from_micros(250)).expect("telling");
            rate.learn(newest);
        }
        assert!(rate.predict(4 << 30, Some(0)) < Duration::from_millis(1));
        assert_eq!(Rate::of(1 << 20, 10, Duration::from_secs(1)), None);
    }
}
