//! What one sample tells of a history, and how it is kept.

/// What one sample tells. What is not known is none, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Point {
    /// In use by heap statistics: as of the last garbage collection where a runtime tells
    /// that, and now where it does not.
    pub in_use: Option<u64>,
    /// What allocators keep free in memory.
    pub free: Option<u64>,
    /// What is lazily freed.
    pub lazy: Option<u64>,
    /// Page cache.
    pub cache: Option<u64>,
    /// What a limit has to hold. Of a process its resident memory less what is lazily freed.
    pub required: Option<u64>,
    /// What can still be allocated.
    pub room: Option<u64>,
}

/// An amount as it is kept: 0 is none.
pub(super) type Code = u16;

/// The figures of a point as they are kept, in the order of its fields.
pub(super) type Codes = [Code; FIGURES];

pub(super) const FIGURES: usize = 6;

/// Bytes that amounts are counted in.
const UNIT: u64 = 64;

/// Bits that count of an amount.
const BITS: u32 = 12;

impl Point {
    pub(super) fn codes(self) -> Codes {
        let Self { in_use, free, lazy, cache, required, room } = self;
        [in_use, free, lazy, cache, required, room].map(code)
    }

    pub(super) fn of_codes(codes: Codes) -> Self {
        let [in_use, free, lazy, cache, required, room] = codes.map(amount);
        Self { in_use, free, lazy, cache, required, room }
    }
}

/// A number that is the larger the more it is; the most that there is for 256 TiB and more.
pub(super) fn code(bytes: Option<u64>) -> Code {
    let Some(bytes) = bytes else { return 0 };
    let shift = (u64::BITS - bytes.leading_zeros()).saturating_sub(BITS).max(UNIT.ilog2());
    // Rounded once, and what rounds up to the next power of two is the first number of the
    // next range.
    let rounded = bytes.saturating_add(1 << (shift - 1)) >> shift;
    let number = rounded + (u64::from(shift - UNIT.ilog2()) << (BITS - 1));
    Code::try_from(number + 1).unwrap_or(Code::MAX)
}

pub(super) fn amount(code: Code) -> Option<u64> {
    let number = u64::from(code.checked_sub(1)?);
    let shift = (number >> (BITS - 1)).saturating_sub(1);
    Some((number - (shift << (BITS - 1))) << shift).map(|units| units * UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_kept_to_a_part_in_4096_or_32_bytes() {
        let mut last = 0;
        for bits in 0..48 {
            for part in 0..1000u64 {
                let bytes = (1u64 << bits) + (part << bits) / 1000;
                let kept = amount(code(Some(bytes))).expect("it is known");
                assert!(kept.abs_diff(bytes) <= 32.max(bytes / 4096), "{bytes} is {kept}");
                assert!(code(Some(bytes)) >= last, "{bytes} is less than what is less");
                last = code(Some(bytes));
            }
        }
        assert_eq!((code(None), amount(0)), (0, None));
        assert_eq!(amount(code(Some(0))), Some(0));
        assert_eq!(code(Some(u64::MAX)), Code::MAX);
        for kept in 1..=Code::MAX {
            assert_eq!(code(amount(kept)), kept);
        }
    }
}
