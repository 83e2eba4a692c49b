//! Pools: each holds blocks of one size, and its header tells how many are in use.
//! The header stands among the program's own bytes, so a scheduled reading takes a
//! sample, always the same, and only a person's question reads them all.

use memgap_kernel::memory::{PAGE, Space, u32_at, u64_at};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::{Fact, Missing, MissingKind};

use super::table::{Arena, Sizes};

/// Bytes of `struct pool_header`.
pub(super) const HEADER: usize = 48;
const BLOCKS_IN_USE: usize = 0;
const FREE_BLOCK: usize = 8;
const SIZE_CLASS: usize = 36;
const NEXT: usize = 40;
const LAST: usize = 44;
/// Block sizes are the multiples of it, up to 512 bytes.
pub(super) const ALIGNMENT: u64 = 16;
const SIZE_CLASSES: u32 = 32;

/// Readings of a header that the program changes meanwhile.
const TRIES: usize = 4;

/// A sample touches one page in so many of those of the pools, and a few that every
/// interpreter's own pages allow: with the table, at most 1 % of what is resident is read.
const SHARE: u64 = 128;
const AT_LEAST: u64 = 16;
const AT_MOST: u64 = 512;

/// A pool, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pool {
    /// Bytes of its blocks in use; 0 in a pool that is free.
    blocks: u64,
    /// What no block fits into.
    lost: u64,
}

/// All pools that were ever in use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pools {
    /// Bytes of blocks in use.
    pub blocks: u64,
    /// Headers, and what no block fits into.
    pub lost: u64,
    /// Where pools in use are.
    pub used: Ranges,
    /// Where free ones are, and what was never carved into pools.
    pub free: Ranges,
    /// Pools whose headers are not in memory.
    pub away: u64,
}

/// What a sample of the pools in use says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Pools in use that were read.
    pub pools: u64,
    /// Bytes of blocks in use in them.
    pub blocks: u64,
}

/// Reads the header of every pool that is in memory.
pub(super) fn all(arenas: &[Arena], sizes: Sizes, space: &Space<'_>) -> Fact<Pools> {
    let mut pools = Pools::default();
    for arena in arenas {
        push(&mut pools.free, arena.start, arena.pools);
        let resident = space.resident(arena.pools, arena.carved)?;
        let mut at = arena.pools;
        while at < arena.carved {
            let end = at + sizes.pool;
            if is_within(&resident, at) {
                let pool = pool(at, sizes, space)?;
                pools.blocks += pool.blocks;
                pools.lost += pool.lost;
                push(if pool.blocks > 0 { &mut pools.used } else { &mut pools.free }, at, end);
            } else {
                pools.away += 1;
                // Free ones are swapped out as well: which it is, nobody tells.
                push(&mut pools.used, at, end);
            }
            at = end;
        }
        push(&mut pools.free, arena.carved, arena.end);
    }
    Ok(pools)
}

/// Reads the headers of a few pools: the same ones as long as no arena comes or goes. One
/// is of each stretch of the same length, at a place that no pattern of the program's has.
pub(super) fn sample(arenas: &[Arena], sizes: Sizes, space: &Space<'_>) -> Sample {
    let carved = |arena: &Arena| (arena.carved - arena.pools) / sizes.pool;
    let used = arenas.iter().fold(0, |sum, arena| sum + arena.used);
    let pages = used * (sizes.pool / PAGE as u64);
    let wanted = (AT_LEAST + pages / SHARE).min(AT_MOST);
    let step = arenas.iter().map(carved).sum::<u64>().div_ceil(wanted).max(1);
    let mut sample = Sample::default();
    let (mut first, mut stretch) = (0, 0);
    for arena in arenas {
        let behind = first + carved(arena);
        loop {
            let index = stretch * step + scattered(stretch) % step;
            if index >= behind {
                break;
            }
            stretch += 1;
            // One that is swapped out, or that changes all the time, is left out.
            if let Ok(pool) = pool(arena.pools + (index - first) * sizes.pool, sizes, space)
                && pool.blocks > 0
            {
                sample.pools += 1;
                sample.blocks += pool.blocks;
            }
        }
        first = behind;
    }
    sample
}

/// A number that is always the same for a stretch, and tells nothing of it.
fn scattered(stretch: u64) -> u64 {
    // 2^64 by the golden ratio (Knuth, The Art of Computer Programming, 6.4).
    stretch.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

fn pool(at: u64, sizes: Sizes, space: &Space<'_>) -> Fact<Pool> {
    let mut header = [0; HEADER];
    for _ in 0..TRIES {
        space.read(at, &mut header)?;
        if let Some(pool) = decode(&header, at, sizes.pool) {
            return Ok(pool);
        }
    }
    Err(Missing::new(MissingKind::Malformed, format!("the pool at {at:#x} breaks its rules")))
}

/// The pool of a header that keeps the rules.
fn decode(header: &[u8; HEADER], at: u64, size: u64) -> Option<Pool> {
    let count = u64::from(u32_at(header, BLOCKS_IN_USE)?);
    if count == 0 {
        // The rest is of its last use, or of none.
        return Some(Pool { blocks: 0, lost: 0 });
    }
    let class = u32_at(header, SIZE_CLASS).filter(|class| *class < SIZE_CLASSES)?;
    let block = (u64::from(class) + 1) * ALIGNMENT;
    let start = HEADER as u64;
    let (room, last) = (size - start, size - block);
    let next = u64::from(u32_at(header, NEXT)?);
    let free = u64_at(header, FREE_BLOCK)?;
    let is_inside = free == 0 || (at + start..at + size).contains(&free);
    let keeps = count <= room / block
        && u64::from(u32_at(header, LAST)?) == last
        && (start..=size).contains(&next)
        && is_inside;
    keeps.then_some(Pool { blocks: count * block, lost: start + room % block })
}

fn is_within(ranges: &[(u64, u64)], at: u64) -> bool {
    let behind = ranges.partition_point(|range| range.1 <= at);
    ranges.get(behind).is_some_and(|range| range.0 <= at)
}

fn push(ranges: &mut Ranges, start: u64, end: u64) {
    match ranges.last_mut() {
        Some(last) if last.1 == start => last.1 = end,
        _ if start < end => ranges.push((start, end)),
        _ => {}
    }
}
