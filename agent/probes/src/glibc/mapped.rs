//! Chunks with a mapping of their own, by the headers that they begin with.

use memgap_kernel::memory::{Area, Space};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::Fact;

use super::SMALLEST_PAGE;
use super::arena::FLAGS;

/// `IS_MMAPPED`, alone in the size of such a chunk.
const IS_MAPPED: u64 = 2;
/// Places that are looked at.
const MOST: usize = 1 << 16;

/// The chunks that stand at the starts of mappings, or behind one another from
/// there: the kernel joins mappings that touch.
pub(super) fn chunks(count: u32, bytes: u64, space: &Space<'_>) -> Fact<Ranges> {
    let mut found = Ranges::new();
    let mut sum = 0u64;
    let mut places = 0;
    for area in space.areas()?.iter().filter(|area| area.is_writable && area.is_anonymous) {
        let mut at = area.start;
        while let Some(size) = chunk(at, area, space) {
            places += 1;
            sum = sum.saturating_add(size);
            if sum > bytes || found.len() >= count as usize || places > MOST {
                return Ok(found);
            }
            found.push((at, at + size));
            at += size;
        }
    }
    Ok(found)
}

fn chunk(at: u64, area: &Area, space: &Space<'_>) -> Option<u64> {
    if at >= area.end {
        return None;
    }
    let [_, word] = space.words::<2>(at).ok()?;
    let size = word & !FLAGS;
    let is_one = word & FLAGS == IS_MAPPED
        && size > 0
        && size.is_multiple_of(SMALLEST_PAGE)
        && size <= area.end - at;
    is_one.then_some(size)
}
