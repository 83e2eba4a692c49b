//! G1's bitmaps of marked objects (gc/shared/markBitMap.hpp): a 64th of the heap each,
//! one or two of them. vmStructs do not tell where, so they are found by the rule that
//! they keep: one covers the heap, and has a bit for every so many words of it.

use memgap_kernel::memory::{Space, u64_at};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::Fact;

use super::pages::{Pages, Path};
use super::vmstructs::VmStructs;

/// Bytes of G1's own object: 1 to 4 KiB.
const MAX_SIZE: u64 = 16 << 10;
/// Pointers in it that are followed, and bytes that are looked at behind each: the
/// bitmaps stand at the start of `G1ConcurrentMark`.
const MAX_POINTERS: usize = 512;
const BEHIND: usize = 512;
/// Words of the heap for one bit, at most, as a power of two: objects are aligned to
/// 8 to 256 bytes.
const MAX_SHIFT: u64 = 5;

/// Where to look for the bitmaps.
#[derive(Debug)]
pub(super) struct Marks {
    heap: Path,
    size: u64,
}

impl Marks {
    pub fn find(vm: &VmStructs) -> Fact<Self> {
        let size = vm.size("G1CollectedHeap")?.min(MAX_SIZE);
        Ok(Self { heap: vec![vm.address("Universe", "_collectedHeap")?, 0], size })
    }

    /// The bitmaps of a heap that may lie in `start..end`.
    pub fn read(
        &self,
        pages: &Pages<'_, '_>,
        space: &Space<'_>,
        (start, end): (u64, u64),
    ) -> Fact<Ranges> {
        let mut object = vec![0; usize::try_from(self.size).unwrap_or_default()];
        space.read(pages.follow(&self.heap)?, &mut object)?;
        let mut pointers: Vec<u64> = words(&object).collect();
        pointers.sort_unstable();
        pointers.dedup();
        // The heap itself is the program's, and not looked into.
        pointers.retain(|to| *to > 0 && to % 8 == 0 && !(start..end).contains(to));
        let mut bitmaps = Ranges::new();
        for to in pointers.into_iter().take(MAX_POINTERS) {
            let mut behind = [0; BEHIND];
            // Many are no pointers.
            if space.read_if_resident(to, &mut behind)? {
                let words: Vec<u64> = words(&behind).collect();
                bitmaps.extend(words.windows(5).filter_map(|words| bitmap(words, start, end)));
            }
        }
        bitmaps.sort_unstable();
        bitmaps.dedup();
        Ok(bitmaps)
    }
}

/// `MarkBitMap`: start and words of what it covers, the shift, then its own start
/// and its bits.
fn bitmap(words: &[u64], start: u64, end: u64) -> Option<(u64, u64)> {
    let &[covered, len, shift, map, bits] = words else { return None };
    // Four bytes that nothing sets stand behind the shift.
    let shift = shift & u64::from(u32::MAX);
    let is_it = covered == start
        && len == (end - start) / 8
        && shift <= MAX_SHIFT
        && bits == len >> shift
        && map > 0;
    is_it.then_some((map, map.checked_add(bits / 8)?))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks_exact(8).filter_map(|word| u64_at(word, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_covers_the_heap_and_nothing_else_does() {
        let (start, end) = (1 << 32, (1 << 32) + (1 << 30));
        let words = [start, 1 << 27, 0xdead_0000_0000, 0x7000_0000, 1 << 27];
        let found = Some((0x7000_0000, 0x7000_0000 + (1 << 24)));
        assert_eq!(bitmap(&words, start, end), found);
        for wrong in 0..5 {
            let mut words = words;
            words[wrong] = if wrong == 3 { 0 } else { words[wrong] + 8 };
            assert_eq!(bitmap(&words, start, end), None, "{wrong}");
        }
        assert_eq!(bitmap(&[start, 1 << 27, 0, u64::MAX - 7, 1 << 27], start, end), None);
    }
}
