//! The heap statistics: groups of slots of one size, by the pages that describe them.

use std::collections::BTreeSet;

use memgap_kernel::memory::{Space, u32_at, u64_at};
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::{Account, Fact, Missing, MissingKind, Runtime};

use super::HEAD;
use crate::HeapStatistics;
use crate::probe::broken;

/// The page of mallocng on x86-64: `struct meta_area` fills one.
pub(super) const PAGE: u64 = BYTES as u64;
const BYTES: usize = 4096;
/// `check`, `next` and `nslots`; then descriptions.
const NEXT: usize = 8;
const COUNT: usize = 16;
const FIRST: usize = 24;
/// `struct meta`.
const META: usize = 40;
/// Pages of descriptions: of a heap of more than 1 GiB in the smallest groups.
const MAX_PAGES: usize = 1 << 14;
/// Readings of pages that the program changes meanwhile.
const TRIES: usize = 4;

/// Sizes are multiples of it; a group begins with one (`UNIT`).
const UNIT: u64 = 16;
/// `size_classes`, in units.
pub(super) const CLASSES: [u16; 48] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 31, 36, 42, 50, 63, 72, 84, 102, 127, 146,
    170, 204, 255, 292, 340, 409, 511, 584, 682, 818, 1023, 1169, 1364, 1637, 2047, 2340, 2730,
    3276, 4095, 4680, 5460, 6552, 8191,
];
/// The class of what has a mapping of its own.
const ALONE: u64 = 63;

/// A group of slots, by its description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    start: u64,
    end: u64,
    /// Bytes of the slots in use.
    used: u64,
    /// Whether it is a slot of a larger group itself; then the bytes of that slot.
    inside: Option<u64>,
}

/// What was read.
#[derive(Debug, Default)]
struct Heap {
    groups: Vec<Group>,
    /// Where the pages of descriptions are.
    pages: BTreeSet<u64>,
}

/// Reads the heap statistics of a process.
pub(super) fn read(context: u64, space: &Space<'_>) -> Fact<HeapStatistics> {
    let mut tries = 1;
    let heap = loop {
        match Heap::read(context, space) {
            Ok(heap) => break heap,
            Err(Missing { kind: MissingKind::Malformed, .. }) if tries < TRIES => tries += 1,
            Err(lack) => return Err(lack),
        }
    };
    let own = heap.groups.iter().filter(|group| group.inside.is_none());
    let mut ranges: Vec<(u64, u64)> = own.map(|group| (group.start, group.end)).collect();
    ranges.sort_unstable();
    if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(broken("two groups overlap"));
    }
    let size = ranges.iter().fold(0u64, |sum, (start, end)| sum.saturating_add(end - start));
    let sum = |of: fn(&Group) -> u64| heap.groups.iter().map(of).fold(0, u64::saturating_add);
    // A group that is a slot of another is in use there as a whole.
    let in_use = sum(|group| group.used).saturating_sub(sum(|group| group.inside.unwrap_or(0)));
    let headers = UNIT * heap.groups.len() as u64;
    let free = size.saturating_sub(in_use).saturating_sub(headers);
    let runtime = Runtime {
        in_use: Some(in_use),
        free: Some(free),
        evidence: vec![
            format!(
                "{} pages of descriptions begin with the secret of __malloc_context",
                heap.pages.len()
            ),
            format!(
                "{} groups whose slots are in use, free or not there; in use are whole slots",
                heap.groups.len()
            ),
        ],
        ..Runtime::named("musl")
    };
    let parts = [
        (Account::HeapInUse, in_use),
        (Account::AllocatorMetadata, headers),
        (Account::AllocatorFree, free),
    ];
    let pages: Vec<(u64, u64)> = heap.pages.iter().map(|page| (*page, page + PAGE)).collect();
    let metadata = [(Account::AllocatorMetadata, pages.len() as u64 * PAGE)];
    Ok(HeapStatistics { runtime, claims: vec![claim(ranges, &parts), claim(pages, &metadata)] })
}

impl Heap {
    fn read(context: u64, space: &Space<'_>) -> Fact<Self> {
        let [secret, .., first] = space.words::<{ HEAD / 8 + 1 }>(context)?;
        let mut heap = Self::default();
        let mut at = first;
        let mut page = [0; BYTES];
        while at != 0 {
            if heap.pages.len() == MAX_PAGES {
                return Err(Missing::new(
                    MissingKind::Refused,
                    "the heap is described by more than 64 MiB",
                ));
            }
            if at % PAGE != 0 || at.checked_add(PAGE).is_none() || !heap.pages.insert(at) {
                return Err(broken("the list of pages with heap statistics is none"));
            }
            space.read(at, &mut page)?;
            heap.add(&page, secret)?;
            at = u64_at(&page, NEXT).unwrap_or_default();
        }
        if heap.groups.is_empty() {
            return Err(broken("the heap statistics describe no group"));
        }
        Ok(heap)
    }

    fn add(&mut self, page: &[u8; BYTES], secret: u64) -> Fact<()> {
        let count = u32_at(page, COUNT).and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| *count <= (BYTES - FIRST) / META);
        let Some(count) = count.filter(|_| secret != 0 && u64_at(page, 0) == Some(secret)) else {
            return Err(broken("a page of heap statistics does not begin with the secret"));
        };
        for meta in page[FIRST..].chunks_exact(META).take(count) {
            if u64_at(meta, 16).is_some_and(|start| start != 0) {
                self.groups.push(group(meta)?);
            }
        }
        Ok(())
    }
}

/// The group of a description that keeps the rules.
fn group(meta: &[u8]) -> Fact<Group> {
    let cut = || broken("a description is cut");
    let start = u64_at(meta, 16).ok_or_else(cut)?;
    let (avail, freed) = u32_at(meta, 24).zip(u32_at(meta, 28)).ok_or_else(cut)?;
    let bits = u64_at(meta, 32).ok_or_else(cut)?;
    let (last, is_freeable) = (bits & 31, bits >> 5 & 1 == 1);
    let (class, pages) = (bits >> 6 & 63, bits >> 12);
    let units = usize::try_from(class).ok().and_then(|class| CLASSES.get(class));
    let mapped = pages.saturating_mul(PAGE);
    let stride = match units {
        _ if last == 0 && pages > 0 => mapped - UNIT,
        Some(units) => u64::from(*units) * UNIT,
        None => return Err(broken("the class of a group is none")),
    };
    if class > ALONE || start % UNIT != 0 || avail & freed != 0 {
        return Err(broken("a description of a group breaks its rules"));
    }
    // Bit i is of slot i; there are as many slots as bits up to the last.
    let slots = u32::MAX >> (31 - last);
    let in_use = u64::from((slots & !(avail | freed)).count_ones());
    let needed = UNIT + (last + 1) * stride;
    let size = if pages > 0 { mapped } else { needed };
    let end = start.checked_add(size).filter(|_| needed <= size);
    let end = end.ok_or_else(|| broken("a group is larger than its memory"))?;
    // What has no pages of its own and can be freed is a slot of another group; what
    // can not be freed is left over in the image of a library.
    let slot = CLASSES.iter().map(|units| u64::from(*units) * UNIT).find(|slot| *slot >= needed);
    let inside = (pages == 0 && is_freeable).then(|| slot.unwrap_or(needed));
    Ok(Group { start, end, used: in_use * stride, inside })
}

fn claim(ranges: Vec<(u64, u64)>, parts: &[(Account, u64)]) -> Claim {
    Claim::new(Priority::Malloc, "musl", Extent::Ranges(ranges), parts)
}
