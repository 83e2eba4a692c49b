//! What tcmalloc has for its own use: pieces of chunks of 8 MiB that it never gives back.

use memgap_kernel::memory::{Space, u64_at};
use memgap_ledger::Fact;

use crate::Image;

/// Three variables beside each other: bytes left of the last chunk, where they are, and
/// bytes that were given out of all.
const WORDS: usize = 3;
/// `kMetadataAllocChunkSize`.
const CHUNK: u64 = 8 << 20;
/// Counts all that it has from the system, also for programs.
const TAKEN: &str = "TCMalloc_SystemTaken";

/// Where these variables stand, before the bias: together they make up what was taken beside
/// the `system` bytes of the page heap, but for the ends of chunks. Nothing where the file
/// does not export how much that is.
pub(super) fn find(image: &Image<'_>, system: u64, space: &Space<'_>) -> Fact<Option<u64>> {
    let symbol = image.elf.symbols(&image.file, ".dynsym", [TAKEN]).ok();
    let Some(symbol) = symbol.and_then(|[symbol]| symbol) else { return Ok(None) };
    let [taken] = space.words::<1>(symbol.address.wrapping_add(image.mapped.bias))?;
    let Some(all) = taken.checked_sub(system).filter(|all| *all > 0) else { return Ok(None) };
    let areas = space.areas()?;
    image.find_variable(WORDS * 8, space, |_, bytes| {
        let word = |index: usize| u64_at(bytes, index * 8).unwrap_or_default();
        let (left, at, given) = (word(0), word(1), word(2));
        let is_one = (1..CHUNK).contains(&left)
            && given >= CHUNK / 1024
            && left.checked_add(given).is_some_and(|both| (all / 2..=all).contains(&both));
        is_one
            && areas.iter().any(|area| {
                area.is_writable && area.is_anonymous && (area.start..area.end).contains(&at)
            })
    })
}

/// Bytes that were given out.
pub(super) fn read(at: u64, space: &Space<'_>) -> Option<u64> {
    let [left, _, given] = space.words::<WORDS>(at).ok()?;
    (left < CHUNK && given < 1 << 40).then_some(given)
}
