//! Versions that are not known yet: offsets are those at which the variables agree.

use std::ops::RangeInclusive;

use memgap_kernel::memory::{Space, u64_at};

use super::shape::{GC_MISC_SYS, IN_HEAP, RELEASED, SHAPES, Shape};

/// Where `pages.mheapLock` may stand in `mheap_`.
pub(super) const OWN_POINTER: RangeInclusive<u64> = 60_000..=80_000;

/// How large `heapStatsDelta` may be, and where `heapInUse` may stand.
const DELTAS: RangeInclusive<usize> = 1000..=1400;
const IN_USE: RangeInclusive<usize> = 200..=600;
/// What follows on `heapInUse` and is read: five words in all.
const FIELDS: usize = 40;
/// Between the deltas and `gcMiscSys`.
const BETWEEN: usize = 16 + GC_MISC_SYS;

/// The shapes by which `memstats` and `gcController` have the same heap in use and
/// released; addresses are those in the process.
pub(super) fn shapes(
    controller: u64,
    own_pointer: u64,
    gc_misc_sys: u64,
    space: &Space<'_>,
) -> Vec<Shape> {
    const STATS: usize = 3 * *DELTAS.end() + BETWEEN;
    let mut head = [0; *IN_USE.end() + FIELDS];
    let mut stats = [0; STATS];
    let start = gc_misc_sys.wrapping_sub(STATS as u64);
    let read = space.read(controller, &mut head).and_then(|()| space.read(start, &mut stats));
    if read.is_err() {
        return Vec::new();
    }
    let shape = |delta: usize| {
        let deltas = stats.get(STATS - BETWEEN - 3 * delta..)?;
        let sum = |at: usize| {
            (0..3)
                .try_fold(0u64, |s, slot| Some(s.wrapping_add(u64_at(deltas, slot * delta + at)?)))
        };
        let (in_heap, released) = (sum(IN_HEAP)?, sum(RELEASED)?);
        let agrees = |at: &usize| {
            u64_at(&head, *at) == Some(in_heap) && u64_at(&head, at + 8) == Some(released)
        };
        let in_use = IN_USE.step_by(8).find(agrees).filter(|_| in_heap > 0)?;
        Some(Shape {
            minors: "a version that is not known: offsets found by agreement",
            live: None,
            marked: None,
            in_use: in_use as u64,
            own_pointer,
            delta: delta as u64,
            ..SHAPES[0]
        })
    };
    DELTAS.step_by(8).filter_map(shape).collect()
}
