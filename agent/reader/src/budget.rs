//! What may be spent on reading other programs, as a share of one CPU.

use std::time::Duration;

/// A token bucket of CPU seconds, which starts full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Budget {
    share: f64,
    bound: f64,
    seconds: f64,
}

/// The time whose share can be saved up.
const SAVED: f64 = 60.0;

impl Budget {
    /// A bucket for a share of one CPU, 0 to 1, that `least` always fits into.
    pub fn new(share: f64, least: Duration) -> Self {
        // A share that is no number grants nothing.
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        let bound = if share > 0.0 { (share * SAVED).max(least.as_secs_f64()) } else { 0.0 };
        Self { share, bound, seconds: bound }
    }

    /// Adds what a span of time grants.
    pub fn earn(&mut self, elapsed: Duration) {
        self.seconds = (self.seconds + self.share * elapsed.as_secs_f64()).min(self.bound);
    }

    /// Whether there is anything left; what is spent beyond it is paid back.
    pub fn has_any(&self) -> bool {
        self.seconds > 0.0
    }

    /// Whether work of that cost can be paid for.
    pub fn affords(&self, cost: Duration) -> bool {
        self.has_any() && cost.as_secs_f64() <= self.seconds
    }

    /// Takes what work really cost, be it more than was saved.
    pub fn spend(&mut self, cost: Duration) {
        self.seconds -= cost.as_secs_f64();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_is_bounded_and_debts_are_paid_back() {
        let mut budget = Budget::new(0.005, Duration::from_millis(20));
        budget.earn(Duration::from_secs(1_000_000));
        assert!(budget.affords(Duration::from_millis(300)));
        assert!(!budget.affords(Duration::from_millis(301)));
        budget.spend(Duration::from_millis(400));
        budget.earn(Duration::from_secs(19));
        assert!(!budget.has_any());
        budget.earn(Duration::from_secs(2));
        assert!(budget.affords(Duration::from_millis(4)));
    }

    #[test]
    fn the_least_fits_into_the_smallest_bucket() {
        let budget = Budget::new(1e-6, Duration::from_millis(20));
        assert!(budget.affords(Duration::from_millis(20)));
    }

    #[test]
    fn no_share_grants_nothing() {
        for share in [0.0, -1.0, f64::NAN] {
            let mut budget = Budget::new(share, Duration::from_millis(20));
            budget.earn(Duration::from_hours(1));
            assert!(!budget.has_any() && !budget.affords(Duration::ZERO), "{share}");
        }
    }
}
