//! The books: what the arenas hold, less what is free in them.

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::runtime::Runtime;
use memgap_ledger::{Account, Fact, MissingKind};

use super::super::{Books, Detail};
use super::arena::{self, Arena};
use super::chase::{self, BLOCK, Budget, Chase};
use super::{ADDRESSES, Malloc, SMALLEST_PAGE, broken};
use crate::memory::{Space, u32_at, u64_at};

/// Readings of books that a running program changes meanwhile.
const TRIES: usize = 4;
/// Chunks that are followed, and pages that are looked at for it in any program:
/// 256 KiB. In a large one it is one page of a hundred.
const CHUNKS: usize = 20_000;
const BLOCKS: usize = 64;
const MOST_BLOCKS: usize = 3000;
const SHARE: u64 = 100;

/// Everything that is read at one time.
struct Read {
    arenas: Vec<Arena>,
    mappings: Mappings,
    chase: Chase,
    /// Whether nothing changed meanwhile.
    is_still: bool,
}

/// Chunks with a mapping of their own, as `mp_` counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mappings {
    count: u32,
    bytes: u64,
}

impl Read {
    fn of(malloc: &Malloc, bias: u64, space: &Space<'_>) -> Fact<Self> {
        let at = |address: u64| address.wrapping_add(bias);
        let main = at(malloc.main_arena);
        let (sbrk_base, mappings) = parameters(malloc, bias, space)?;
        let arenas = arena::all(main, malloc.shape, sbrk_base, space)?;
        let mut budget = Budget { chunks: CHUNKS, blocks: BLOCKS };
        let mut chase = chase::follow(&arenas, budget, space);
        if chase.lack.as_ref().is_some_and(|lack| lack.kind == MissingKind::Refused) {
            let blocks = resident(&arenas, space)? / BLOCK / SHARE;
            budget.blocks = usize::try_from(blocks).unwrap_or_default().min(MOST_BLOCKS);
            if budget.blocks > BLOCKS {
                chase = chase::follow(&arenas, budget, space);
            }
        }
        let again = arena::all(main, malloc.shape, sbrk_base, space);
        let is_still = again.is_ok_and(|again| again == arenas)
            && parameters(malloc, bias, space).is_ok_and(|read| read == (sbrk_base, mappings));
        Ok(Self { arenas, mappings, chase, is_still })
    }

    fn is_sound(&self) -> bool {
        let is_whole = |kind| kind == MissingKind::Refused;
        self.is_still && self.chase.lack.as_ref().is_none_or(|lack| is_whole(lack.kind))
    }

    fn system_mem(&self) -> u64 {
        self.arenas.iter().fold(0, |sum, arena| sum.saturating_add(arena.system_mem))
    }

    fn free(&self) -> u64 {
        let of = |(arena, free): (&Arena, &u64)| arena.top_size().saturating_add(*free);
        self.arenas.iter().zip(&self.chase.free).map(of).fold(0, u64::saturating_add)
    }

    fn in_use(&self) -> u64 {
        self.system_mem().saturating_sub(self.free()).saturating_add(self.mappings.bytes)
    }
}

/// `sbrk_base`, and what is mapped.
fn parameters(malloc: &Malloc, bias: u64, space: &Space<'_>) -> Fact<(u64, Mappings)> {
    let p = malloc.parameters;
    let mut bytes = [0; 64];
    let len = usize::try_from(p.sbrk_base.wrapping_sub(p.mappings)).unwrap_or(usize::MAX);
    let bytes = bytes.get_mut(..len.saturating_add(8));
    let bytes = bytes.ok_or_else(|| broken("mp_ is larger than it is known to be"))?;
    space.read(p.mappings.wrapping_add(bias), bytes)?;
    let mapped = usize::try_from(p.mapped.wrapping_sub(p.mappings)).unwrap_or(usize::MAX);
    let of = || Some((u32_at(bytes, 0)?, u64_at(bytes, mapped)?, u64_at(bytes, len)?));
    let (count, mapped, sbrk_base) =
        of().ok_or_else(|| broken("mp_ is larger than it is known to be"))?;
    if (count == 0) != (mapped == 0) || !mapped.is_multiple_of(SMALLEST_PAGE) || mapped >= ADDRESSES
    {
        return Err(broken("the number of mapped chunks does not agree with their size"));
    }
    Ok((sbrk_base, Mappings { count, bytes: mapped }))
}

/// Bytes of the arenas that are resident.
fn resident(arenas: &[Arena], space: &Space<'_>) -> Fact<u64> {
    let mut heaps = arenas.iter().flat_map(|arena| &arena.heaps);
    heaps.try_fold(0u64, |sum, (start, end)| {
        let ranges = space.resident(*start, *end)?;
        Ok(ranges.iter().fold(sum, |sum, (from, to)| sum.saturating_add(to - from)))
    })
}

/// Reads the books of a process.
pub(super) fn read(malloc: &Malloc, bias: u64, space: &Space<'_>, _detail: Detail) -> Fact<Books> {
    let mut read = Read::of(malloc, bias, space);
    for _ in 1..TRIES {
        if read.as_ref().is_ok_and(Read::is_sound) {
            break;
        }
        read = Read::of(malloc, bias, space);
    }
    let read = read?;
    let runtime = Runtime {
        version: malloc.version.clone(),
        in_use: Some(read.in_use()),
        free: Some(read.free()),
        evidence: evidence(&read),
        ..Runtime::named("glibc")
    };
    Ok(Books { runtime, claims: claims(&read) })
}

fn evidence(read: &Read) -> Vec<String> {
    vec![
        "main_arena found by its last bin, which is never used, and by the list of arenas that leads back to it".to_owned(),
        format!(
            "arenas whose heaps are their system_mem: {}; free chunks on lists that agree both ways: {}; mapped chunks: {}",
            read.arenas.len(),
            read.chase.chunks,
            read.mappings.count
        ),
    ]
}

/// Each arena by address: what is in use, and the chunk at its end. Mapped chunks
/// by amount.
fn claims(read: &Read) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (arena, free) in read.arenas.iter().zip(&read.chase.free) {
        let Some(top) = arena.top else { continue };
        let metadata = arena.metadata();
        let rest = arena.system_mem.saturating_sub(arena.top_size());
        let in_use = rest.saturating_sub(*free).saturating_sub(metadata);
        let parts = [
            (Account::HeapInUse, in_use),
            (Account::AllocatorMetadata, metadata),
            (Account::AllocatorFree, *free),
        ];
        let top_part = (Account::AllocatorFree, arena.top_size());
        if arena.heaps.is_empty() {
            claims.push(claim(Extent::Anywhere, &[&parts[..], &[top_part]].concat()));
            continue;
        }
        let before_top = |(start, end): &(u64, u64)| {
            let end = if (*start..*end).contains(&top.0) { top.0 } else { *end };
            (*start, end)
        };
        let used = arena.heaps.iter().map(before_top).collect();
        claims.push(claim(Extent::Ranges(used), &parts));
        claims.push(claim(Extent::Ranges(vec![top]), &[top_part]));
    }
    if read.mappings.bytes > 0 {
        claims.push(claim(Extent::Anywhere, &[(Account::HeapInUse, read.mappings.bytes)]));
    }
    claims
}

fn claim(extent: Extent, parts: &[(Account, u64)]) -> Claim {
    let parts = parts.iter().filter(|(_, bytes)| *bytes > 0);
    Claim {
        priority: Priority::Malloc,
        owner: "glibc".to_owned(),
        extent,
        parts: parts.map(|&(account, bytes)| Part { account, bytes }).collect(),
    }
}
