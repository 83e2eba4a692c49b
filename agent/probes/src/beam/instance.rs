//! One allocator: `Allctr_t`, of a type, shared or of one thread.

use memgap_kernel::memory::Space;
use memgap_ledger::Fact;

use super::TYPES;
use crate::probe::broken;

/// Words that are read of it, and where they have what.
const WORDS: usize = 300;
const TYPE: usize = 16;
const NUMBER: usize = 17;
const POOL: usize = 57;
const SINGLE: usize = 136;
const MULTI: usize = 218;
/// Types whose blocks a carrier may hold: all but the one that is none.
const KINDS: usize = TYPES - 1;
/// No amount is larger.
const MAX: u64 = 1 << 47;

/// Bytes of carriers, and of blocks in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    /// Carriers that BEAM mapped itself.
    pub mapped: u64,
    /// Carriers that it took from `malloc`.
    pub within: u64,
    /// Of those it mapped, which wait in a pool for any thread to take them.
    pub pooled: u64,
    /// Blocks in all carriers.
    pub blocks: u64,
    /// Blocks in those it mapped: a likely amount, the least and the most.
    pub in_use: u64,
    pub low: u64,
    pub high: u64,
}

impl Amounts {
    pub fn add(self, other: Self) -> Self {
        Self {
            mapped: self.mapped.saturating_add(other.mapped),
            within: self.within.saturating_add(other.within),
            pooled: self.pooled.saturating_add(other.pooled),
            blocks: self.blocks.saturating_add(other.blocks),
            in_use: self.in_use.saturating_add(other.in_use),
            low: self.low.saturating_add(other.low),
            high: self.high.saturating_add(other.high),
        }
    }
}

/// Reads an allocator that must be of a type and have a number among those of threads.
pub(super) fn read(at: u64, kind: usize, number: usize, space: &Space<'_>) -> Fact<Amounts> {
    let words = space.words::<WORDS>(at)?;
    if words[TYPE] & 0xffff_ffff != kind as u64 || words[NUMBER] & 0xffff_ffff != number as u64 {
        return Err(broken("an allocator is of another type than its table says"));
    }
    let single = carriers(&words[SINGLE..MULTI])?;
    let multi = carriers(&words[MULTI..])?;
    Ok(single.add(multi).add(pool(&words[POOL..])?))
}

/// `CarriersStats_t`: carriers by where they are from, a third that is never counted, the most
/// that there were, and blocks by type.
fn carriers(words: &[u64]) -> Fact<Amounts> {
    let [mapped_count, mapped, within_count, within, none, no_bytes, most_count, most] =
        *words.first_chunk().ok_or_else(|| broken("an allocator is cut off"))?;
    let count = mapped_count.saturating_add(within_count);
    let is_sound = none == 0
        && no_bytes == 0
        && mapped < MAX
        && within < MAX
        && (mapped_count == 0) == (mapped == 0)
        && (within_count == 0) == (within == 0)
        && count <= most_count
        && mapped + within <= most;
    if !is_sound {
        return Err(broken("an allocator's count of its carriers contradicts itself"));
    }
    let mut blocks = 0_u64;
    for [_, bytes, _, most] in words[10..].chunks_exact(6).map(|w| [w[0], w[1], w[2], w[3]]) {
        if bytes > most {
            return Err(broken("an allocator has more blocks than it ever had"));
        }
        blocks = blocks.saturating_add(bytes);
    }
    if blocks > mapped + within {
        return Err(broken("an allocator's blocks are larger than its carriers"));
    }
    // Carriers of both origins are taken to be as full as each other.
    let all = u128::from(mapped + within).max(1);
    let share = u128::from(blocks) * u128::from(mapped) / all;
    Ok(Amounts {
        mapped,
        within,
        pooled: 0,
        blocks,
        in_use: u64::try_from(share).unwrap_or(mapped),
        low: blocks.saturating_sub(within),
        high: blocks.min(mapped),
    })
}

/// What an allocator's carriers in the pool hold. Its main one, which is from `malloc`, never
/// goes there.
fn pool(words: &[u64]) -> Fact<Amounts> {
    let (sizes, rest) = words.split_at(KINDS);
    let (carriers, count) = (rest[KINDS], rest[KINDS + 1]);
    let blocks = sizes.iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
    if carriers >= MAX || blocks > carriers || (carriers == 0) != (count == 0) {
        return Err(broken("an allocator's pool contradicts itself"));
    }
    Ok(Amounts {
        mapped: carriers,
        within: 0,
        pooled: carriers,
        blocks,
        in_use: blocks,
        low: blocks,
        high: blocks,
    })
}
