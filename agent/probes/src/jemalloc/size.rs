//! Size classes, as include/jemalloc/internal/sc.h makes them for pages of 4 KiB.

/// jemalloc's page, whatever the machine's.
pub(super) const PAGE: u64 = 4096;
/// Classes of sizes that have extents of their own.
pub(super) const LARGE: usize = 196;

/// The distance of the smallest size classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantum {
    /// 8 bytes: `--with-lg-quantum=3`, as Redis builds it.
    Eight,
    /// 16 bytes, the default.
    Sixteen,
}

impl Quantum {
    /// Classes of small sizes, each of which has bins.
    pub(super) const fn bins(self) -> usize {
        match self {
            Self::Eight => 39,
            Self::Sixteen => 36,
        }
    }

    /// The sizes by which its table is recognised.
    pub(super) const fn first_sizes(self) -> [u64; 4] {
        match self {
            Self::Eight => [8, 16, 24, 32],
            Self::Sixteen => [8, 16, 32, 48],
        }
    }
}

/// The size of a large class by its number: 16 KiB, then four in each doubling.
pub(super) const fn large(number: usize) -> u64 {
    let Some(number) = number.checked_sub(1) else { return 4 * PAGE };
    let (group, step) = (number / 4, number as u64 % 4 + 1);
    if group >= LARGE / 4 {
        return u64::MAX;
    }
    ((4 + step) * PAGE) << group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_sizes_go_from_four_pages_to_the_largest_that_jemalloc_gives() {
        let sizes = [0, 1, 4, 5, LARGE - 1].map(large);
        assert_eq!(sizes, [16 << 10, 20 << 10, 32 << 10, 40 << 10, 7 << 60]);
        assert_eq!(large(usize::MAX), u64::MAX);
    }
}
