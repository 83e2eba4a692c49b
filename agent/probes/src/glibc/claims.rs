//! What the heap statistics say about addresses.

use memgap_kernel::source::pagemap::{Ranges, size};
use memgap_ledger::Account;
use memgap_ledger::claim::{Claim, Extent, Priority};

use super::arena::Arena;
use super::free::{Free, FreeIn};

/// Each arena by address: what is in use, whole free pages where they are known,
/// and the chunk at its end. Mapped chunks by address where they were found, else
/// by amount.
pub(super) fn of(arenas: &[Arena], free: &Free, mapped: u64, located: &[(u64, u64)]) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (arena, free) in free.zip(arenas) {
        of_arena(arena, free, &mut claims);
    }
    let found = size(located);
    claims.push(claim(Extent::Ranges(located.to_vec()), &[(Account::HeapInUse, found)]));
    let rest = mapped.saturating_sub(found);
    claims.push(claim(Extent::Anywhere, &[(Account::HeapInUse, rest)]));
    claims.retain(|claim| !claim.parts.is_empty());
    claims.shrink_to_fit();
    claims
}

fn of_arena(arena: &Arena, free: &FreeIn, claims: &mut Vec<Claim>) {
    let Some((top, top_end)) = arena.top else { return };
    let whole = size(&free.whole);
    let metadata = arena.metadata();
    let rest = arena.system_mem.saturating_sub(top_end - top);
    let scattered = free.free.saturating_sub(whole).saturating_add(free.cached);
    let in_use = rest.saturating_sub(whole).saturating_sub(scattered).saturating_sub(metadata);
    let parts = [
        (Account::HeapInUse, in_use),
        (Account::AllocatorMetadata, metadata),
        (Account::AllocatorFree, scattered),
    ];
    let end = [(Account::AllocatorFree, top_end - top)];
    if arena.heaps.is_empty() {
        claims.push(claim(Extent::Anywhere, &[&parts[..], &end].concat()));
        return;
    }
    let mut apart = free.whole.clone();
    apart.push((top, top_end));
    apart.sort_unstable();
    claims.push(claim(Extent::Ranges(without(&arena.heaps, &apart)), &parts));
    claims.push(claim(Extent::Ranges(free.whole.clone()), &[(Account::AllocatorFree, whole)]));
    claims.push(claim(Extent::Ranges(vec![(top, top_end)]), &end));
}

/// What is left of ranges without others that lie in them, both in order.
fn without(ranges: &[(u64, u64)], others: &[(u64, u64)]) -> Ranges {
    let mut left = Ranges::new();
    let mut others = others.iter().peekable();
    for (start, end) in ranges {
        let mut at = *start;
        while let Some((from, to)) = others.next_if(|(from, _)| from < end) {
            if at < *from {
                left.push((at, *from));
            }
            at = at.max(*to);
        }
        if at < *end {
            left.push((at, *end));
        }
    }
    left
}

fn claim(extent: Extent, parts: &[(Account, u64)]) -> Claim {
    Claim::new(Priority::Malloc, "glibc", extent, parts)
}
