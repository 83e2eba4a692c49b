//! What the heap statistics claim of the process's addresses.

use memgap_kernel::source::pagemap::{self, Ranges};
use memgap_ledger::Account;
use memgap_ledger::claim::{Claim, Extent, Priority};

use super::NAME;
use super::extents::Extents;
use super::total::Total;

/// What jemalloc mapped for its own use has addresses; what it gives out has where its
/// extents were read, else it is an amount. What it gave back lazily is the kernel's to
/// tell, and claimed where its addresses are known.
pub(super) fn of(mut blocks: Ranges, total: &Total, extents: Option<Extents>) -> Vec<Claim> {
    blocks.sort_unstable();
    let size = pagemap::size(&blocks);
    let mut claims = vec![claim(Extent::Ranges(blocks), &[(Account::AllocatorMetadata, size)])];
    // Blocks that were not found are an amount.
    let rest = total.base.saturating_sub(size);
    if rest > 0 {
        claims.push(claim(Extent::Anywhere, &[(Account::AllocatorMetadata, rest)]));
    }
    if let Some(extents) = extents {
        let active = pagemap::size(&extents.active);
        let in_use = extents.allocated.min(active);
        let used = [(Account::HeapInUse, in_use), (Account::AllocatorFree, active - in_use)];
        claims.push(claim(Extent::Ranges(extents.active), &used));
        for ranges in [extents.dirty, extents.muzzy] {
            let size = pagemap::size(&ranges);
            claims.push(claim(Extent::Ranges(ranges), &[(Account::AllocatorFree, size)]));
        }
    } else {
        let holes = total.allocated.map(|allocated| total.active.saturating_sub(allocated));
        let free = total.dirty.saturating_add(holes.unwrap_or(0));
        let in_use = (Account::HeapInUse, total.allocated.unwrap_or(0));
        claims.push(claim(Extent::Anywhere, &[in_use, (Account::AllocatorFree, free)]));
    }
    claims
}

fn claim(extent: Extent, parts: &[(Account, u64)]) -> Claim {
    Claim::new(Priority::Malloc, NAME, extent, parts)
}
