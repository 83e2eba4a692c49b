//! The heap statistics: arenas by their table, blocks in use by the headers of pools.

use memgap_kernel::memory::Space;
use memgap_kernel::source::pagemap::size;
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::{Account, Fact, Missing, MissingKind, Runtime};

use super::Variables;
use super::pools::{self, ALIGNMENT as SMALLEST, HEADER, Pools, Sample};
use super::table::{self, Arena};
use crate::{Detail, HeapStatistics};

/// Readings of a table that a running program changes meanwhile.
const TRIES: usize = 4;

/// Reads the heap statistics of a process.
pub(super) fn read(
    variables: &Variables,
    bias: u64,
    space: &Space<'_>,
    detail: Detail,
) -> Fact<HeapStatistics> {
    let Variables { place, sizes, .. } = *variables;
    let mut tries = 1;
    let arenas = loop {
        match table::read(place, bias, sizes, space) {
            Ok(arenas) => break arenas,
            Err(Missing { kind: MissingKind::Malformed, .. }) if tries < TRIES => tries += 1,
            Err(lack) => return Err(lack),
        }
    };
    let answer = Answer { variables, arenas: &arenas };
    Ok(match detail {
        Detail::Counters => answer.estimated(pools::sample(&arenas, sizes, space)),
        Detail::Pages => answer.exact(pools::all(&arenas, sizes, space)?),
    })
}

/// What is made of the table.
struct Answer<'a> {
    variables: &'a Variables,
    arenas: &'a [Arena],
}

impl Answer<'_> {
    /// Every block is counted.
    fn exact(&self, pools: Pools) -> HeapStatistics {
        let (used, free) = (size(&pools.used), size(&pools.free));
        let away = pools.away * self.variables.sizes.pool;
        let in_use = pools.blocks + away;
        let kept = used.saturating_sub(in_use).saturating_sub(pools.lost);
        let how = match pools.away {
            0 => "the header of every pool tells how many of its blocks are in use".to_owned(),
            n => format!(
                "by the headers of all pools but {n} that are not in memory: those are taken as in use"
            ),
        };
        let parts = [
            (Account::HeapInUse, in_use),
            (Account::AllocatorMetadata, pools.lost),
            (Account::AllocatorFree, kept),
        ];
        let claims =
            vec![claim(pools.used, &parts), claim(pools.free, &[(Account::AllocatorFree, free)])];
        let runtime = Runtime {
            in_use_bounds: (away > 0).then_some((pools.blocks, in_use)),
            ..self.runtime(in_use, kept + free, how)
        };
        HeapStatistics { runtime, claims }
    }

    /// Pools in use are counted; how full they are is what a sample of them says.
    fn estimated(&self, sample: Sample) -> HeapStatistics {
        let (pool, header) = (self.variables.sizes.pool, HEADER as u64);
        let used = self.arenas.iter().map(|arena| arena.used).sum::<u64>();
        let room = used * (pool - header);
        let in_use = match sample.pools {
            0 => room,
            // Both are far below what would not fit: a table has at most 2^20 pools.
            n => (sample.blocks.saturating_mul(used) / n).min(room),
        };
        let how = match sample.pools {
            0 => format!("{used} pools in use, taken as full"),
            n => format!("{used} pools in use, as full as {n} of them on the average"),
        };
        let all = self.arenas.iter().map(|arena| (arena.start, arena.end)).collect::<Vec<_>>();
        let free = size(&all).saturating_sub(used * header).saturating_sub(in_use);
        let parts = [
            (Account::HeapInUse, in_use),
            (Account::AllocatorMetadata, used * header),
            (Account::AllocatorFree, free),
        ];
        // In every other pool in use there is a block, and it may be full.
        let others = used.saturating_sub(sample.pools);
        let low = (sample.blocks + others * SMALLEST).min(in_use);
        let high = (sample.blocks + others * (pool - header)).max(in_use);
        let runtime = Runtime {
            in_use_bounds: (low < high).then_some((low, high)),
            ..self.runtime(in_use, free, how)
        };
        HeapStatistics { runtime, claims: vec![claim(all, &parts)] }
    }

    fn runtime(&self, in_use: u64, free: u64, how: String) -> Runtime {
        let arenas = self.arenas.len();
        Runtime {
            version: Some(self.variables.version.to_string()),
            in_use: Some(in_use),
            free: Some(free),
            // It gives an arena back as soon as nothing in it is in use.
            trimmable: Some(0),
            evidence: vec![
                format!(
                    "the table of arenas found by the rules it keeps: {arenas} arenas whose pools add up"
                ),
                how,
            ],
            ..Runtime::named("cpython")
        }
    }
}

fn claim(ranges: Vec<(u64, u64)>, parts: &[(Account, u64)]) -> Claim {
    Claim::new(Priority::Nested, "cpython", Extent::Ranges(ranges), parts)
}
