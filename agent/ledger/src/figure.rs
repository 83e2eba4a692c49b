//! A number of bytes together with how well it is known.

use crate::size::iec;

/// An amount in bytes and its quality.
///
/// Sums are made over [`Figure::point`]; an absent figure has none and adds
/// nothing, because the bytes it would hold stand on a residual account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Figure {
    /// Known to the byte, as far as the source is.
    Exact(i64),
    /// Known to lie in `low..=high`; `point` is the best single value.
    Interval {
        /// Smallest possible value.
        low: i64,
        /// The value used in sums, within the bounds.
        point: i64,
        /// Largest possible value.
        high: i64,
    },
    /// Not known, and booked elsewhere.
    #[default]
    Absent,
}

impl Figure {
    /// An exact amount; saturates at `i64::MAX`, which no machine reaches.
    pub fn exact(bytes: u64) -> Self {
        Self::Exact(signed(bytes))
    }

    /// An interval whose bounds are put in order around `point`; collapses to
    /// exact when they meet.
    pub fn interval(low: i64, point: i64, high: i64) -> Self {
        let (low, high) = (low.min(point), high.max(point));
        if low == high { Self::Exact(point) } else { Self::Interval { low, point, high } }
    }

    /// The value used in sums.
    pub const fn point(self) -> Option<i64> {
        match self {
            Self::Exact(point) | Self::Interval { point, .. } => Some(point),
            Self::Absent => None,
        }
    }

    /// The smallest and largest possible value.
    pub const fn bounds(self) -> Option<(i64, i64)> {
        match self {
            Self::Exact(bytes) => Some((bytes, bytes)),
            Self::Interval { low, high, .. } => Some((low, high)),
            Self::Absent => None,
        }
    }

    /// The stable word for this quality.
    pub const fn quality(self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::Interval { .. } => "interval",
            Self::Absent => "absent",
        }
    }

    /// The bytes in words that claim no more than is known.
    pub fn words(self) -> String {
        let (Some(point), Some((low, high))) = (self.point(), self.bounds()) else {
            return "an unknown amount".to_owned();
        };
        let near = point.saturating_abs() / 10;
        if iec(low) == iec(high) {
            iec(point)
        } else if point.saturating_sub(low) <= near && high.saturating_sub(point) <= near {
            format!("about {}", iec(point))
        } else if low == 0 {
            format!("up to {}", iec(high))
        } else {
            format!("{} to {}", iec(low), iec(high))
        }
    }

    /// The sum of two figures, bounds added; absent adds nothing.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Absent, figure) | (figure, Self::Absent) => figure,
            (a, b) => {
                let (Some(p), Some(q)) = (a.point(), b.point()) else { return Self::Absent };
                let (Some((al, ah)), Some((bl, bh))) = (a.bounds(), b.bounds()) else {
                    return Self::Absent;
                };
                Self::interval(al.saturating_add(bl), p.saturating_add(q), ah.saturating_add(bh))
            }
        }
    }
}

/// Bytes as a signed amount, saturating.
pub fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// `a - b` of two unsigned amounts, saturating at the ends of `i64`.
pub fn difference(a: u64, b: u64) -> i64 {
    signed(a).saturating_sub(signed(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_always_holds_its_point() {
        assert_eq!(Figure::interval(5, 1, 3), Figure::Interval { low: 1, point: 1, high: 3 });
        assert_eq!(Figure::interval(2, 2, 2), Figure::Exact(2));
    }

    #[test]
    fn words_claim_no_more_than_is_known() {
        assert_eq!(Figure::Exact(3 << 20).words(), "3.0 MiB");
        assert_eq!(Figure::interval(96 << 20, 100 << 20, 104 << 20).words(), "about 100 MiB");
        assert_eq!(Figure::interval(0, 100 << 20, 104 << 20).words(), "up to 104 MiB");
        assert_eq!(Figure::Absent.words(), "an unknown amount");
    }

    #[test]
    fn absent_adds_nothing() {
        assert_eq!(Figure::Absent.plus(Figure::Exact(3)), Figure::Exact(3));
        assert_eq!(Figure::Absent.plus(Figure::Absent), Figure::Absent);
        assert_eq!(
            Figure::Exact(1).plus(Figure::interval(0, 2, 4)),
            Figure::Interval { low: 1, point: 3, high: 5 }
        );
    }
}
