//! The counters of one arena.

use memgap_kernel::memory::{Space, u32_at, u64_at};
use memgap_ledger::{Fact, MissingKind};

use super::shape::{ACTIVE_BYTES, Bins, IND, STATES};
use super::size::{self, LARGE, PAGE};
use super::{Shape, Variables};
use crate::probe::broken;

/// Blocks of memory that an arena mapped for its own use: each is larger than the one before.
const MAX_BLOCKS: usize = 64;
/// The most bins of one size class (`BIN_SHARDS_MAX`).
const MAX_SHARDS: u32 = 64;
/// Bytes of an entry of `bin_infos`.
const BIN_INFO: usize = 40;

/// An entry of `bin_infos`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BinInfo {
    /// Bytes of a region.
    pub region: u64,
    /// Bytes of a slab of them.
    pub slab: u64,
    /// Bins of the class in each arena.
    shards: u32,
}

/// What one arena counts, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Arena {
    /// Its address.
    pub at: u64,
    /// Given out, by its statistics.
    pub allocated: u64,
    /// By how much that may be off: what changed while it was read.
    pub torn: u64,
    /// Whether it keeps statistics, as far as it shows.
    pub counts: bool,
    /// In pages in use.
    pub active: u64,
    /// Free: as it was left, lazily given back, given back.
    pub dirty: u64,
    pub muzzy: u64,
    pub retained: u64,
    /// Taken from its own blocks, and from its own arenas.
    pub base: u64,
    pub internal: u64,
    /// The blocks that it mapped for its own use.
    pub blocks: Vec<(u64, u64)>,
}

impl BinInfo {
    /// The class that an entry tells: its regions fill its slabs.
    pub fn of(entry: &[u8]) -> Option<Self> {
        let (region, slab) = (u64_at(entry, 0)?, u64_at(entry, 8)?);
        let (regions, shards) = (u32_at(entry, 16)?, u32_at(entry, 20)?);
        let is_one = region > 0
            && regions > 0
            && slab % PAGE == 0
            && u64::from(regions).checked_mul(region) == Some(slab)
            && (1..=MAX_SHARDS).contains(&shards);
        is_one.then_some(Self { region, slab, shards })
    }
}

/// Reads the classes of small sizes.
pub(super) fn bin_infos(variables: &Variables, bias: u64, space: &Space<'_>) -> Fact<Vec<BinInfo>> {
    let mut bytes = vec![0; variables.quantum.bins() * BIN_INFO];
    space.read(variables.bin_infos.wrapping_add(bias), &mut bytes)?;
    let infos: Option<Vec<BinInfo>> = bytes.chunks_exact(BIN_INFO).map(BinInfo::of).collect();
    let infos = infos.ok_or_else(|| broken("a class of small sizes does not fill its slabs"))?;
    if infos.windows(2).any(|pair| pair[0].region >= pair[1].region) {
        return Err(broken("the classes of small sizes are not in order"));
    }
    Ok(infos)
}

/// The number of the arena at an address, where its lists of pages say that it is one.
pub(super) fn number(at: u64, variables: &Variables, space: &Space<'_>) -> Fact<u32> {
    let shape = variables.shape;
    for (npages, state) in shape.npages.into_iter().zip(STATES) {
        if half_word(at.wrapping_add(npages + 8), space)? != state {
            return Err(broken("its lists of pages are not those of dirty, muzzy and retained"));
        }
    }
    let [base] = space.words::<1>(at.wrapping_add(shape.base(variables.quantum)))?;
    half_word(base.wrapping_add(IND as u64), space)
}

impl Arena {
    /// Reads the counters of the arena of that number.
    pub fn read(
        at: u64,
        number: u32,
        variables: &Variables,
        infos: &[BinInfo],
        space: &Space<'_>,
    ) -> Fact<Self> {
        let shape = variables.shape;
        let mut arena = Self { at, ..Self::default() };
        arena.count_large(at, shape, space)?;
        let base = arena.count_small(at, variables, infos, space)?;
        [arena.dirty, arena.muzzy, arena.retained] = pages(at, shape, space)?;
        arena.count_base(base, number, variables, space)?;
        Ok(arena)
    }

    /// Pages in use, and the large pieces among them: one reading.
    fn count_large(&mut self, at: u64, shape: &Shape, space: &Space<'_>) -> Fact<()> {
        let place = |offset: u64| usize::try_from(offset - shape.internal).unwrap_or(usize::MAX);
        let mut bytes = vec![0; place(shape.nactive) + 8];
        space.read_sparse(at.wrapping_add(shape.internal), &mut bytes)?;
        let word = |at: usize| u64_at(&bytes, at).unwrap_or_default();
        self.internal = word(0);
        self.active = amount(word(place(shape.nactive)), PAGE)?;
        for class in 0..LARGE {
            let entry = place(shape.lstats) + class * shape.lstats_stride;
            let (given, returned) = (word(entry), word(entry + 8));
            self.counts |= given > 0;
            let count = given
                .checked_sub(returned)
                .ok_or_else(|| broken("more large pieces were returned than given out"))?;
            let bytes = if shape.active_bytes {
                amount(word(entry + ACTIVE_BYTES), 1)?
            } else {
                amount(count, size::large(class))?
            };
            self.allocated = sum(self.allocated, bytes)?;
        }
        Ok(())
    }

    /// The small pieces, by the bins of all classes: one reading. Where its `base_t` is
    /// stands near them, and is the answer.
    fn count_small(
        &mut self,
        at: u64,
        variables: &Variables,
        infos: &[BinInfo],
        space: &Space<'_>,
    ) -> Fact<u64> {
        let shape = variables.shape;
        let (size, counters) = shape.bin();
        let all = size * infos.iter().map(|info| info.shards as usize).sum::<usize>();
        let base = shape.base(variables.quantum);
        let (bins, len) = match shape.bins {
            Bins::Inline(bins) => (bins, all),
            Bins::Pointers(bins) => (bins, 8),
        };
        let start = bins.min(base);
        let place = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
        let mut near = vec![0; (place(bins) + len).max(place(base) + 8)];
        space.read_sparse(at.wrapping_add(start), &mut near)?;
        let base = u64_at(&near, place(base)).unwrap_or_default();
        let bytes = match shape.bins {
            Bins::Inline(_) => near.split_off(place(bins)),
            Bins::Pointers(_) => {
                let mut bytes = vec![0; all];
                space.read_sparse(u64_at(&near, place(bins)).unwrap_or_default(), &mut bytes)?;
                bytes
            }
        };
        let regions = infos.iter().flat_map(|i| std::iter::repeat_n(i.region, i.shards as usize));
        for (bin, region) in bytes.chunks_exact(size).zip(regions) {
            let word = |at: usize| u64_at(bin, counters + at).unwrap_or_default();
            let (given, returned, regions) = (word(0), word(8), word(24));
            self.counts |= given > 0;
            let said = given
                .checked_sub(returned)
                .ok_or_else(|| broken("more regions were returned than given out"))?;
            self.torn = sum(self.torn, amount(said.abs_diff(regions), region)?)?;
            self.allocated = sum(self.allocated, amount(regions, region)?)?;
        }
        Ok(base)
    }

    /// What it mapped for its own use.
    fn count_base(
        &mut self,
        base: u64,
        number: u32,
        variables: &Variables,
        space: &Space<'_>,
    ) -> Fact<()> {
        let shape = variables.shape;
        let allocated = shape.allocated(variables.quantum);
        let mut bytes = vec![0; allocated + 8];
        space.read_sparse(base, &mut bytes)?;
        if u32_at(&bytes, IND) != Some(number) {
            return Err(broken("an arena's base is another one's"));
        }
        self.base = u64_at(&bytes, allocated).unwrap_or_default();
        let mut block = u64_at(&bytes, shape.blocks).unwrap_or_default();
        if block == 0 {
            // It lies in its first block; where nothing is mapped, nothing but zeros is.
            return Err(broken("an arena's base has no block"));
        }
        while block != 0 {
            if self.blocks.len() == MAX_BLOCKS {
                return Err(broken("an arena's list of blocks does not end"));
            }
            let [size, next] = match space.words::<2>(block) {
                Ok(words) => words,
                // Its first words are seldom used: they may well be swapped out.
                Err(lack) if lack.kind == MissingKind::Refused => break,
                Err(lack) => return Err(lack),
            };
            let end = block.checked_add(size).filter(|_| size > 0 && size % PAGE == 0);
            self.blocks.push((block, end.ok_or_else(|| broken("an arena's block has no size"))?));
            block = next;
        }
        Ok(())
    }
}

/// The free pages of each state, in bytes.
fn pages(at: u64, shape: &Shape, space: &Space<'_>) -> Fact<[u64; 3]> {
    let mut found = [0; 3];
    for ((offset, state), found) in shape.npages.into_iter().zip(STATES).zip(&mut found) {
        for offset in [Some(offset), shape.guarded.map(|more| offset + more)].into_iter().flatten()
        {
            let [count, reported] = space.words::<2>(at.wrapping_add(offset))?;
            if reported & u64::from(u32::MAX) != u64::from(state) {
                return Err(broken("a list of free pages is not of its state"));
            }
            *found = sum(*found, amount(count, PAGE)?)?;
        }
    }
    Ok(found)
}

fn half_word(at: u64, space: &Space<'_>) -> Fact<u32> {
    let mut bytes = [0; 4];
    space.read(at, &mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// The size of so many, in an address space.
fn amount(count: u64, size: u64) -> Fact<u64> {
    const SPACE: u64 = 1 << 47;
    let bytes = if count == 0 { Some(0) } else { count.checked_mul(size) };
    bytes
        .filter(|bytes| *bytes <= SPACE)
        .ok_or_else(|| broken("more is counted than fits an address space"))
}

fn sum(a: u64, b: u64) -> Fact<u64> {
    a.checked_add(b).ok_or_else(|| broken("more is counted than fits an address space"))
}
