//! How far `memory.stat` can be behind. The kernel counts on each processor and sums up now
//! and then; the usage is always current. So what is missing there stands between the two.

use crate::figure::Figure;

/// What the figures of `memory.stat` may be apart by from what is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind {
    /// What processors hold back without anything being wrong.
    noise: i64,
    /// What the usage has and `memory.stat` does not.
    missing: i64,
    /// What `memory.stat` has and the usage does not.
    gone: i64,
}

impl Behind {
    /// `residual` is the usage less all accounts, where the usage is known. Kernel memory that
    /// `memory.stat` does not name is no sign of old figures.
    pub(crate) fn of(residual: Option<i64>, kernel: Figure, noise: i64) -> Self {
        let residual = residual.unwrap_or(0);
        let named = kernel.point().unwrap_or(0);
        let unnamed = kernel.bounds().map_or(0, |(_, high)| high.saturating_sub(named));
        Self {
            noise,
            missing: residual.saturating_sub(unnamed).max(0),
            gone: residual.saturating_neg().max(0),
        }
    }

    /// The most that a figure of `memory.stat` can lack.
    pub(crate) fn lacks(self) -> i64 {
        self.noise.saturating_add(self.missing)
    }

    /// An amount that `memory.stat` tells, or tells a part of.
    pub(crate) fn around(self, point: i64) -> Figure {
        let exceeds = self.noise.saturating_add(self.gone);
        let high = point.saturating_add(self.lacks());
        Figure::interval(point.saturating_sub(exceeds), point, high)
    }

    /// What is left when an amount that `memory.stat` tells is taken off the usage. Noise is
    /// within its interval already.
    pub(crate) fn widen(self, left: Figure) -> Figure {
        let (Some(point), Some((low, high))) = (left.point(), left.bounds()) else { return left };
        let beyond = |bytes: i64| bytes.saturating_sub(self.noise).max(0);
        let low = low.saturating_sub(beyond(self.missing)).max(0);
        Figure::interval(low, point, high.saturating_add(beyond(self.gone)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: i64 = 1 << 20;

    fn mib(low: i64, point: i64, high: i64) -> Figure {
        Figure::interval(low << 20, point << 20, high << 20)
    }

    #[test]
    fn what_the_usage_has_beyond_the_accounts_may_be_anything() {
        // 16 MiB that a fresh program wrote are charged and not yet in memory.stat.
        let behind = Behind::of(Some(16 << 20), Figure::Exact(2 << 20), NOISE);
        assert_eq!(behind.around(-16 << 20), mib(-17, -16, 1));
        assert_eq!(behind.widen(mib(100, 100, 100)), mib(85, 100, 100));
        // And these were freed.
        let behind = Behind::of(Some(-(16 << 20)), Figure::Exact(2 << 20), NOISE);
        assert_eq!(behind.around(16 << 20), mib(-1, 16, 17));
        assert_eq!(behind.widen(mib(100, 100, 100)), mib(100, 100, 115));
    }

    #[test]
    fn figures_that_add_up_are_apart_by_noise() {
        for residual in [None, Some(0)] {
            let behind = Behind::of(residual, Figure::Absent, NOISE);
            assert_eq!(behind.around(-200 << 20), mib(-201, -200, -199));
            assert_eq!(behind.widen(mib(1, 2, 3)), mib(1, 2, 3));
        }
    }

    #[test]
    fn kernel_memory_without_a_name_is_no_old_figure() {
        // Before 5.18: 16 MiB of pipes.
        let behind = Behind::of(Some(16 << 20), mib(0, 0, 300), NOISE);
        assert_eq!(behind.around(0), mib(-1, 0, 1));
    }
}
