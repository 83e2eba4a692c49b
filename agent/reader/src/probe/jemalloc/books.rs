//! The books: the sums over all arenas, and what they claim.

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::runtime::Runtime;
use memgap_ledger::{Account, Fact};

use super::super::{Books, Detail};
use super::Variables;
use super::arena::{self, Arena, broken};
use super::locate::MAX_ARENAS;
use crate::memory::{Space, u64_at};

/// Readings of counters that a running program changes meanwhile.
const TRIES: usize = 4;
/// What may be off where the program changed them in every reading, as a share of
/// what is in use.
const TORN: u64 = 100;

/// Reads the books of a process.
pub(super) fn read(
    variables: &Variables,
    bias: u64,
    space: &Space<'_>,
    _detail: Detail,
) -> Fact<Books> {
    let arenas = consistent(variables, bias, space)?;
    let total = Total::of(&arenas);
    let runtime = Runtime {
        version: Some(variables.version.clone()),
        in_use: Some(total.allocated),
        free: Some(total.holes() + total.dirty + total.muzzy + total.retained),
        released: Some(total.muzzy + total.retained),
        lazily_freed: Some(total.muzzy),
        trimmable: Some(total.dirty),
        evidence: total.evidence(),
        ..Runtime::named("jemalloc")
    };
    Ok(Books { runtime, claims: claims(&arenas, &total) })
}

/// Whether the rules hold: what a place must show before it is believed.
pub(super) fn prove(variables: &Variables, space: &Space<'_>) -> Fact<()> {
    consistent(variables, 0, space).map(|_| ())
}

/// The arenas, read anew where the program changed one of them meanwhile.
fn consistent(variables: &Variables, bias: u64, space: &Space<'_>) -> Fact<Vec<Arena>> {
    let infos = arena::bin_infos(variables, bias, space)?;
    let places = places(variables, bias, space)?;
    let read = |&(at, number): &(u64, u32)| {
        let mut best = Arena::read(at, number, variables, &infos, space)?;
        for _ in 1..TRIES {
            if best.torn == 0 && best.allocated <= best.active {
                break;
            }
            best = Arena::read(at, number, variables, &infos, space)?;
        }
        Ok(best)
    };
    let arenas: Vec<Arena> = places.iter().map(read).collect::<Fact<_>>()?;
    let total = Total::of(&arenas);
    if total.torn > total.allocated / TORN {
        return Err(broken("regions are not those that were given out and not returned"));
    }
    if total.allocated.saturating_sub(total.active) > total.active / TORN {
        return Err(broken("more is allocated than is in active pages"));
    }
    Ok(arenas)
}

/// The arenas with their numbers.
fn places(variables: &Variables, bias: u64, space: &Space<'_>) -> Fact<Vec<(u64, u32)>> {
    let start = variables.arenas.wrapping_add(bias);
    let end = start.saturating_add(8 * u64::from(MAX_ARENAS));
    let mut found = Vec::new();
    for (from, to) in space.resident(start, end)? {
        let (from, to) = (from.max(start), to.min(end));
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or_default()];
        space.read(from, &mut bytes)?;
        let numbers = (u32::try_from((from - start) / 8).unwrap_or(MAX_ARENAS)..).zip(0..);
        for (number, index) in numbers.take(bytes.len() / 8) {
            if let Some(arena) = u64_at(&bytes, index * 8).filter(|arena| *arena != 0) {
                found.push((arena, number));
            }
        }
    }
    if found.is_empty() {
        return Err(broken("it has no arena"));
    }
    Ok(found)
}

/// The sums over all arenas, in bytes.
#[derive(Debug, Default)]
struct Total {
    arenas: usize,
    allocated: u64,
    torn: u64,
    active: u64,
    dirty: u64,
    muzzy: u64,
    retained: u64,
    metadata: u64,
}

impl Total {
    fn of(arenas: &[Arena]) -> Self {
        let sum = |field: fn(&Arena) -> u64| {
            arenas.iter().fold(0u64, |sum, arena| sum.saturating_add(field(arena)))
        };
        Self {
            arenas: arenas.len(),
            allocated: sum(|a| a.allocated),
            torn: sum(|a| a.torn),
            active: sum(|a| a.active),
            dirty: sum(|a| a.dirty),
            muzzy: sum(|a| a.muzzy),
            retained: sum(|a| a.retained),
            metadata: sum(|a| a.base.saturating_add(a.internal)),
        }
    }

    /// The ends of size classes' slabs, and slabs' free regions.
    fn holes(&self) -> u64 {
        self.active.saturating_sub(self.allocated)
    }

    fn evidence(&self) -> Vec<String> {
        let mut evidence = vec![
            format!(
                "arenas found by their lists of dirty, muzzy and retained pages: {}",
                self.arenas
            ),
            format!(
                "allocated {}, active {}, dirty {}, muzzy {}, retained {}, metadata {} bytes",
                self.allocated, self.active, self.dirty, self.muzzy, self.retained, self.metadata
            ),
        ];
        evidence.push(if self.torn == 0 {
            "every bin has the regions that were given out and not returned".to_owned()
        } else {
            format!(
                "the program changed its bins in each of {TRIES} readings: {} bytes may be off",
                self.torn
            )
        });
        evidence
    }
}

/// What jemalloc mapped for its own use has addresses; what it gives out is an amount.
/// What it gave back lazily is the kernel's to tell.
fn claims(arenas: &[Arena], total: &Total) -> Vec<Claim> {
    let blocks: Vec<(u64, u64)> = arenas.iter().flat_map(|a| a.blocks.iter().copied()).collect();
    let size = blocks.iter().fold(0u64, |sum, (start, end)| sum.saturating_add(end - start));
    let free = total.holes().saturating_add(total.dirty);
    vec![
        claim(Extent::Ranges(blocks), &[(Account::AllocatorMetadata, size)]),
        claim(
            Extent::Anywhere,
            &[(Account::HeapInUse, total.allocated), (Account::AllocatorFree, free)],
        ),
    ]
}

fn claim(extent: Extent, parts: &[(Account, u64)]) -> Claim {
    let parts = parts.iter().filter(|(_, bytes)| *bytes > 0);
    Claim {
        priority: Priority::Malloc,
        owner: "jemalloc".to_owned(),
        extent,
        parts: parts.map(|&(account, bytes)| Part { account, bytes }).collect(),
    }
}
