//! What jemalloc keeps and has given back: extents on its lists of muzzy and retained pages,
//! and what it has not written yet of the blocks that it mapped for its own use.

use memgap_kernel::memory::Space;
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::Fact;

use super::Variables;
use super::arena::Arena;
use super::extents::{ADDRESS, ARENA, BITS, SIZE_ESN};
use super::size::PAGE;

/// Extents of one state that are looked at: half of them from either end of the lists, for
/// those of one time are often of one size. The others are memory like any other.
const MAX_EXTENTS: usize = 1024;
/// Ranges that are remembered: extents may be in memory in part.
const MAX_RANGES: usize = 8 * MAX_EXTENTS;
/// Words of an extent's description, up to its place in a list.
const WORDS: usize = 10;
/// Lists by their number in `Shape::npages`.
const MUZZY: usize = 1;
const RETAINED: usize = 2;

/// What it keeps, by whether it is in memory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GivenBack {
    /// Given back or not written yet, and not in memory.
    pub absent: Ranges,
    /// Retained and in memory all the same: the kernel brought it in with its neighbours, as
    /// a huge page.
    pub brought_in: Ranges,
    /// The arenas' own blocks, as far as they are in memory.
    pub blocks: Ranges,
}

impl GivenBack {
    /// Where nobody looked.
    pub fn unknown(blocks: Ranges) -> Self {
        Self { blocks, ..Self::default() }
    }

    /// Looks where it is. What the bounds of a reading leave out, and what a program changes
    /// meanwhile, is in none of the ranges.
    pub fn read(arenas: &[(u32, Arena)], variables: &Variables, space: &Space<'_>) -> Fact<Self> {
        let mut given = Self::default();
        for (_, arena) in arenas {
            for block in &arena.blocks {
                let resident = given.look(*block, space)?;
                given.blocks.extend(resident);
            }
        }
        let mapped = space.mapped()?;
        for list in [RETAINED, MUZZY] {
            let mut extents = Ranges::new();
            for (number, arena) in arenas {
                if [arena.dirty, arena.muzzy, arena.retained][list] > 0 {
                    let list = List { variables, number: *number, list, mapped };
                    let _ = list.follow(arena.at, space, &mut extents);
                }
            }
            for extent in merged(extents) {
                if given.absent.len() >= MAX_RANGES {
                    break;
                }
                let Ok(resident) = given.look(extent, space) else { break };
                if list == RETAINED {
                    given.brought_in.extend(resident);
                }
            }
        }
        Ok(given)
    }

    /// Asks which part of a range is in memory; the other is absent.
    fn look(&mut self, (start, end): (u64, u64), space: &Space<'_>) -> Fact<Ranges> {
        let resident = space.resident(start, end)?.into_iter();
        let resident: Ranges = resident.map(|(from, to)| (from.max(start), to.min(end))).collect();
        let mut at = start;
        for &(from, to) in resident.iter().chain(&[(end, end)]) {
            if at < from {
                self.absent.push((at, from));
            }
            at = at.max(to);
        }
        Ok(resident)
    }
}

/// A list of free extents, all of one arena and one state.
struct List<'a> {
    variables: &'a Variables,
    number: u32,
    list: usize,
    /// Bytes that are mapped: no list has more.
    mapped: u64,
}

impl List<'_> {
    /// Follows it from either end, as far as each is an extent.
    fn follow(&self, arena: u64, space: &Space<'_>, extents: &mut Ranges) -> Fact<()> {
        const HALF: usize = MAX_EXTENTS / 2;
        let shape = self.variables.shape;
        // Its head stands before the number of its pages.
        let [first] = space.words::<1>(arena.wrapping_add(shape.npages[self.list] - 8))?;
        let next = shape.bits.link / 8;
        let (mut sum, mut seen, mut last, mut reached) = (0, 0, first, first);
        let mut at = first;
        while at != 0 && seen < HALF && extents.len() < MAX_EXTENTS {
            let Some(words) = self.extent(at, space, &mut sum, extents)? else { return Ok(()) };
            if at == first {
                last = words[next + 1];
            }
            (reached, at, seen) = (at, words[next], seen + 1);
            if at == first {
                return Ok(());
            }
        }
        at = last;
        while at != 0 && at != reached && extents.len() < MAX_EXTENTS {
            let Some(words) = self.extent(at, space, &mut sum, extents)? else { return Ok(()) };
            at = words[next + 1];
        }
        Ok(())
    }

    /// Reads what describes an extent, and adds where that is; none where it is no extent of
    /// this list. `sum` are the bytes of those before.
    fn extent(
        &self,
        at: u64,
        space: &Space<'_>,
        sum: &mut u64,
        extents: &mut Ranges,
    ) -> Fact<Option<[u64; WORDS]>> {
        let words = space.words::<WORDS>(at)?;
        let bits = |(shift, width): (u32, u64)| (words[BITS / 8] >> shift) & ((1 << width) - 1);
        let start = words[ADDRESS / 8] & !(PAGE - 1);
        let size = words[SIZE_ESN / 8] & !(PAGE - 1);
        *sum = sum.saturating_add(size);
        let is_one = bits(ARENA) == u64::from(self.number)
            && bits(self.variables.shape.bits.state) == self.list as u64 + 1
            && *sum <= self.mapped;
        let Some(end) = start.checked_add(size).filter(|_| is_one && size > 0) else {
            return Ok(None);
        };
        extents.push((start, end));
        Ok(Some(words))
    }
}

/// In order of address, neighbours in one.
fn merged(mut ranges: Ranges) -> Ranges {
    ranges.sort_unstable();
    let mut merged = Ranges::new();
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}
