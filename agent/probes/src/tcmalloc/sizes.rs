//! The table of size classes.

use memgap_kernel::memory::{Space, u32_at, u64_at};
use memgap_ledger::Fact;

use crate::Image;
use crate::probe::broken;

/// Entries of each array (`kClassSizesMax`).
pub(super) const MAX_CLASSES: usize = 128;
/// tcmalloc's page, as it is built by default.
pub(super) const PAGE: u64 = 8192;
/// The largest size that has a class (`kMaxSize`).
const LARGEST: u64 = 256 << 10;
/// From the aligned word on in whose middle the first array begins: how many objects move at
/// once, sizes, pages of a span; then how many classes there are, since 2.10 behind one more
/// word.
const MOVED: usize = 4;
const SIZES: usize = MOVED + MAX_CLASSES * 4;
const PAGES: usize = SIZES + MAX_CLASSES * 4 + 4;
const COUNT: usize = PAGES + MAX_CLASSES * 8;
const ALL: usize = COUNT + 16;
/// The most that move at once, where a program sets it.
const MOST_MOVED: u32 = 1 << 20;

/// A size class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Class {
    /// Bytes of an object.
    pub size: u64,
    /// Objects of one entry of its transfer cache.
    pub moved: u64,
    /// Bytes of a span.
    pub span: u64,
}

/// The classes; the first one has no size and serves nothing.
pub(super) type Sizes = Vec<Class>;

/// Where the table stands, before the bias, and what it holds.
pub(super) fn find(image: &Image<'_>, space: &Space<'_>) -> Fact<Option<(u64, Sizes)>> {
    let mut sizes = None;
    let found = image.find_variable(ALL, space, |_, bytes| {
        // Cheap to ask, and seldom so.
        if u64_at(bytes, PAGES) == Some(0) && matches!(u64_at(bytes, PAGES + 8), Some(1..=255)) {
            sizes = of(bytes);
        }
        sizes.is_some()
    })?;
    Ok(found.zip(sizes))
}

/// Reads the table.
pub(super) fn read(at: u64, space: &Space<'_>) -> Fact<Sizes> {
    let mut bytes = [0; ALL];
    space.read(at, &mut bytes)?;
    of(&bytes).ok_or_else(|| broken("the size classes do not follow on one another"))
}

fn of(bytes: &[u8]) -> Option<Sizes> {
    let half = |from: usize, class: usize| u32_at(bytes, from + class * 4);
    let most = half(MOVED, 1).filter(|most| (2..=MOST_MOVED).contains(most))?;
    let mut sizes = vec![Class { size: 0, moved: 0, span: 0 }];
    for class in 1..MAX_CLASSES {
        let last = sizes.last().map_or(0, |last| last.size);
        let (size, moved) = (half(SIZES, class)?, half(MOVED, class)?);
        if last == LARGEST {
            break;
        }
        let (size, pages) = (u64::from(size), u64_at(bytes, PAGES + class * 8)?);
        let is_class = size > last
            && size <= LARGEST
            && (1..=255).contains(&pages)
            && pages * PAGE >= size
            && moved == u32::try_from(((64 << 10) / size).max(2)).ok()?.min(most);
        if !is_class {
            return None;
        }
        sizes.push(Class { size, moved: u64::from(moved), span: pages * PAGE });
    }
    let count = Some(sizes.len() as u64);
    let is_whole = sizes.last()?.size == LARGEST && half(SIZES, 0) == Some(0);
    let is_counted = u64_at(bytes, COUNT) == count || u64_at(bytes, COUNT + 8) == count;
    (is_whole && is_counted).then_some(sizes)
}
