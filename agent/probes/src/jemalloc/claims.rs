//! What the heap statistics claim of the process's addresses.

use memgap_kernel::source::pagemap::{self, Ranges};
use memgap_ledger::Account;
use memgap_ledger::claim::{Claim, Extent, Priority};

use super::NAME;
use super::extents::Extents;
use super::given_back::GivenBack;
use super::total::Total;

/// What jemalloc mapped for its own use has addresses; what it gives out has where its
/// extents were read, else it is an amount, which is not where nothing is in memory. What
/// it gave back lazily is the kernel's to tell, and claimed where its addresses are known.
pub(super) fn of(
    mut blocks: Ranges,
    total: &Total,
    extents: Option<Extents>,
    given_back: Option<GivenBack>,
) -> Vec<Claim> {
    blocks.sort_unstable();
    // Blocks that were not found are an amount.
    let rest = total.base.saturating_sub(pagemap::size(&blocks));
    let given_back = given_back.unwrap_or_else(|| GivenBack::unknown(blocks));
    let mut claims = vec![sized(Account::AllocatorMetadata, given_back.blocks)];
    if !given_back.brought_in.is_empty() {
        claims.push(sized(Account::AllocatorFree, given_back.brought_in));
    }
    if !given_back.absent.is_empty() {
        claims.push(Claim::absent(Priority::Malloc, NAME, given_back.absent));
    }
    if rest > 0 {
        claims.push(claim(Extent::Anywhere, &[(Account::AllocatorMetadata, rest)]));
    }
    if let Some(extents) = extents {
        let active = pagemap::size(&extents.active);
        let in_use = extents.allocated.min(active);
        let used = [(Account::HeapInUse, in_use), (Account::AllocatorFree, active - in_use)];
        claims.push(claim(Extent::Ranges(extents.active), &used));
        for ranges in [extents.dirty, extents.muzzy] {
            claims.push(sized(Account::AllocatorFree, ranges));
        }
    } else {
        let holes = total.allocated.map(|allocated| total.active.saturating_sub(allocated));
        let free = total.dirty.saturating_add(holes.unwrap_or(0));
        let in_use = (Account::HeapInUse, total.allocated.unwrap_or(0));
        claims.push(claim(Extent::Anywhere, &[in_use, (Account::AllocatorFree, free)]));
    }
    claims
}

/// Ranges that are all of one kind.
fn sized(account: Account, ranges: Ranges) -> Claim {
    let size = pagemap::size(&ranges);
    claim(Extent::Ranges(ranges), &[(account, size)])
}

fn claim(extent: Extent, parts: &[(Account, u64)]) -> Claim {
    Claim::new(Priority::Malloc, NAME, extent, parts)
}
