//! Extents, one by one: what each run of pages is used for, by the descriptions that
//! arenas keep in the blocks that they mapped for their own use.

use memgap_kernel::memory::{Area, Space, WINDOW, u64_at};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::Fact;

use super::Variables;
use super::arena::{Arena, BinInfo};
use super::shape::Bits;
use super::size::{self, LARGE, PAGE};
use crate::probe::broken;

/// Bytes of an `edata_t` (5.2: `extent_t`).
const SIZE: usize = 128;
/// In an `edata_t`: `e_bits`, `e_addr`, `e_size_esn`.
pub(super) const BITS: usize = 0;
pub(super) const ADDRESS: usize = 8;
pub(super) const SIZE_ESN: usize = 16;
/// In `e_bits`.
pub(super) const ARENA: (u32, u64) = (0, 12);
const SLAB: (u32, u64) = (12, 1);
/// Extents of a process that are looked at: those of some 60 GiB in small slabs.
const MAX_EXTENTS: usize = 1 << 22;

const ACTIVE: u64 = 0;
const DIRTY: u64 = 1;
const MUZZY: u64 = 2;

/// The extents of all arenas, in address order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extents {
    /// Slabs and large pieces.
    pub active: Ranges,
    pub dirty: Ranges,
    pub muzzy: Ranges,
    /// Bytes given out of those that are active.
    pub allocated: u64,
}

/// One extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Extent {
    start: u64,
    end: u64,
    state: u64,
    allocated: u64,
}

/// Reads the descriptions that are in memory.
pub(super) fn read(
    arenas: &[(u32, Arena)],
    variables: &Variables,
    infos: &[BinInfo],
    space: &Space<'_>,
) -> Fact<Extents> {
    let mapped = space.areas()?;
    let mut found = Vec::new();
    let mut buf = vec![0; WINDOW];
    for (number, arena) in arenas {
        let shape = variables.shape;
        let of = Reader {
            number: *number,
            bits: shape.bits,
            exact_sizes: shape.active_bytes,
            infos,
            areas: &mapped,
        };
        for &(start, end) in &arena.blocks {
            for (from, to) in space.resident(start, end)? {
                let (mut at, to) = (from.max(start), to.min(end));
                while at < to {
                    let len = usize::try_from(to - at).map_or(WINDOW, |rest| rest.min(WINDOW));
                    space.read(at, &mut buf[..len])?;
                    of.scan(&buf[..len], &mut found)?;
                    if len < WINDOW {
                        break;
                    }
                    at += (WINDOW - SIZE) as u64;
                }
            }
        }
    }
    Extents::of(found)
}

/// What is needed to tell an extent's description from other bytes.
struct Reader<'a> {
    number: u32,
    bits: Bits,
    exact_sizes: bool,
    infos: &'a [BinInfo],
    areas: &'a [Area],
}

impl Reader<'_> {
    fn scan(&self, bytes: &[u8], found: &mut Vec<Extent>) -> Fact<()> {
        let places = (0..bytes.len()).step_by(self.bits.aligned);
        for at in places.take_while(|at| at + SIZE <= bytes.len()) {
            if let Some(extent) = self.extent(&bytes[at..at + SIZE]) {
                if found.len() == MAX_EXTENTS {
                    return Err(broken("it has more extents than fit a machine"));
                }
                found.push(extent);
            }
        }
        Ok(())
    }

    /// The extent that the bytes describe, if they are a description of one of this
    /// arena that has pages of its own.
    fn extent(&self, bytes: &[u8]) -> Option<Extent> {
        let word = u64_at(bytes, BITS)?;
        let bits = |(shift, width): (u32, u64)| (word >> shift) & ((1 << width) - 1);
        let start = u64_at(bytes, ADDRESS)? & !(PAGE - 1);
        let size = u64_at(bytes, SIZE_ESN)? & !(PAGE - 1);
        let end = start.checked_add(size).filter(|_| size > 0)?;
        let state = bits(self.bits.state);
        if bits(ARENA) != u64::from(self.number) || state > MUZZY || !self.is_mapped(start, end) {
            return None;
        }
        let allocated = match state {
            ACTIVE => self.allocated(
                usize::try_from(bits(self.bits.class)).ok()?,
                (bits(SLAB) == 1).then(|| bits(self.bits.free)),
                size,
            )?,
            _ => 0,
        };
        Some(Extent { start, end, state, allocated })
    }

    /// Bytes given out of an extent of a class and size; `free` are a slab's regions.
    fn allocated(&self, class: usize, free: Option<u64>, size: u64) -> Option<u64> {
        match (self.infos.get(class), free) {
            (Some(info), Some(free)) if info.slab == size => {
                (info.slab / info.region).checked_sub(free).map(|regions| regions * info.region)
            }
            // A small piece that a profiler singled out has pages of its own.
            (Some(info), None) => {
                self.large(0, size).map(|_| info.region).filter(|region| *region <= size)
            }
            (None, None) => self.large(class - self.infos.len(), size),
            _ => None,
        }
    }

    /// Bytes given out of an extent of that size, if it may hold a piece of the class.
    /// Pieces begin anywhere in their first page: then there is one more.
    fn large(&self, number: usize, size: u64) -> Option<u64> {
        let class = (number < LARGE).then(|| size::large(number))?;
        let without = size.checked_sub(PAGE)?;
        if class == size || class == without {
            return Some(class);
        }
        // Since 5.3.1 pieces may end before their class does.
        let smaller = number.checked_sub(1).map_or(0, size::large);
        (self.exact_sizes && smaller < without && without < class).then_some(without)
    }

    fn is_mapped(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        let first = self.areas.partition_point(|area| area.end <= start);
        for area in self.areas[first..].iter().take_while(|area| area.start < end) {
            if area.start > at || !area.is_writable || !area.is_anonymous {
                return false;
            }
            at = area.end;
        }
        at >= end
    }
}

impl Extents {
    /// Sorts extents by state. Windows overlap, so one may be met twice; two that
    /// are not the same have no page in common.
    fn of(mut found: Vec<Extent>) -> Fact<Self> {
        found.sort_unstable();
        found.dedup();
        if found.windows(2).any(|pair| pair[0].end > pair[1].start) {
            return Err(broken("two of its extents overlap"));
        }
        let mut extents = Self::default();
        for extent in found {
            let into = match extent.state {
                ACTIVE => &mut extents.active,
                DIRTY => &mut extents.dirty,
                _ => &mut extents.muzzy,
            };
            match into.last_mut() {
                Some(last) if last.1 == extent.start => last.1 = extent.end,
                _ => into.push((extent.start, extent.end)),
            }
            extents.allocated = extents.allocated.saturating_add(extent.allocated);
        }
        Ok(extents)
    }
}
