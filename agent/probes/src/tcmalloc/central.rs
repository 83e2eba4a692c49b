//! The central lists: for each size class spans with free objects, and the transfer cache.

use memgap_kernel::memory::{Space, u32_at, u64_at};
use memgap_ledger::Fact;

use super::page_heap::{SPAN, is_list};
use super::sizes::{Class, Sizes};
use crate::Image;
use crate::probe::broken;

/// Bytes of one: lock, class, two lists of spans, two counters, 64 slots of the transfer
/// cache and what is used of them, to the end of a line of the cache.
const LIST: usize = 1216;
const CLASS: usize = 8;
const EMPTY: usize = 16;
const NONEMPTY: usize = EMPTY + SPAN;
const SPANS: usize = NONEMPTY + SPAN;
const FREE: usize = SPANS + 8;
const SLOTS: u32 = 64;
const USED: usize = FREE + 8 + SLOTS as usize * 16;

/// What the lists keep, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Central {
    /// Free objects in spans, and what is too small for one at their ends.
    pub spans: u64,
    /// In transfer caches.
    pub transfer: u64,
}

/// Where the first list stands, before the bias.
pub(super) fn find(image: &Image<'_>, sizes: &Sizes, space: &Space<'_>) -> Fact<Option<u64>> {
    let bias = image.mapped.bias;
    image.find_variable(sizes.len() * LIST, space, |address, bytes| {
        let class = |class: usize| u64_at(bytes, class * LIST + CLASS);
        (0..sizes.len()).all(|number| class(number) == Some(number as u64))
            && of(address.wrapping_add(bias), bytes, sizes).is_ok()
    })
}

/// Reads what the lists keep.
pub(super) fn read(at: u64, sizes: &Sizes, space: &Space<'_>) -> Fact<Central> {
    let mut bytes = vec![0; sizes.len() * LIST];
    // Slots that were never used may lie in pages that were never written.
    space.read_sparse(at, &mut bytes)?;
    of(at, &bytes, sizes)
}

fn of(at: u64, bytes: &[u8], sizes: &Sizes) -> Fact<Central> {
    let mut central = Central::default();
    for (number, (list, class)) in bytes.chunks_exact(LIST).zip(sizes).enumerate() {
        let start = at.wrapping_add((number * LIST) as u64);
        if u64_at(list, CLASS) != Some(number as u64)
            || !is_list(start.wrapping_add(EMPTY as u64), &list[EMPTY..])
            || !is_list(start.wrapping_add(NONEMPTY as u64), &list[NONEMPTY..])
        {
            return Err(broken("the lists of size classes are not in order"));
        }
        let (spans, transfer) = of_class(list, *class)?;
        central.spans = sum(central.spans, spans)?;
        central.transfer = sum(central.transfer, transfer)?;
    }
    Ok(central)
}

fn of_class(list: &[u8], class: Class) -> Fact<(u64, u64)> {
    let word = |at| u64_at(list, at).unwrap_or_default();
    let (spans, free) = (word(SPANS), word(FREE));
    let used = u32_at(list, USED).unwrap_or(u32::MAX);
    if class.size == 0 {
        return if spans | free == 0 { Ok((0, 0)) } else { Err(too_much()) };
    }
    let all = spans.checked_mul(class.span);
    let free = free.checked_mul(class.size);
    let (Some(all), Some(free)) = (all, free) else { return Err(too_much()) };
    if used > SLOTS || free > all {
        return Err(too_much());
    }
    let ends = spans * (class.span % class.size);
    Ok((sum(free, ends)?, u64::from(used) * class.moved * class.size))
}

fn too_much() -> memgap_ledger::Missing {
    broken("the list of a size class counts more than it has")
}

fn sum(a: u64, b: u64) -> Fact<u64> {
    a.checked_add(b).ok_or_else(too_much)
}
