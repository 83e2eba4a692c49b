//! The heap statistics: the sums over all arenas, and what they rest on.

use memgap_kernel::memory::{Space, u64_at};
use memgap_kernel::source::pagemap;
use memgap_ledger::Fact;
use memgap_ledger::runtime::Runtime;

use super::arena::{self, Arena, BinInfo};
use super::claims;
use super::extents::{self, Extents};
use super::given_back::GivenBack;
use super::total::Total;
use super::{MAX_ARENAS, NAME, TRIES, Variables};
use crate::probe::broken;
use crate::{Detail, HeapStatistics};

/// What may be off where the program changed it in every reading: a hundredth.
const TORN: u64 = 100;
/// What extents may be off without another reading of them: a thousandth.
const NEAR: u64 = 1000;

/// The counters of all arenas.
struct Read {
    arenas: Vec<(u32, Arena)>,
    infos: Vec<BinInfo>,
    total: Total,
}

/// Reads the heap statistics of a process.
pub(super) fn read(
    variables: &Variables,
    bias: u64,
    space: &Space<'_>,
    detail: Detail,
) -> Fact<HeapStatistics> {
    let mut read = consistent(variables, bias, space)?;
    let mut evidence = vec![format!(
        "arenas found by their lists of dirty, muzzy and retained pages: {}",
        read.arenas.len()
    )];
    // Without statistics the extents alone tell what is given out.
    let extents = if detail == Detail::Pages || read.total.allocated.is_none() {
        match with_extents(&mut read, variables, bias, space) {
            Ok(extents) => {
                evidence.push(extents.evidence(read.total.active));
                Some(extents)
            }
            Err(lack) => {
                evidence.push(format!("its extents do not tell what is given out: {lack}"));
                None
            }
        }
    } else {
        None
    };
    let Read { arenas, total, .. } = read;
    let allocated = total.allocated.or(extents.as_ref().map(|extents| extents.allocated));
    evidence.extend(total.evidence(allocated));
    let variable = variables.variable.as_ref();
    evidence.extend(variable.map(|name| format!("{name} in its environment sets its options")));
    let given_back = total.muzzy.saturating_add(total.retained);
    let free = allocated.map(|allocated| {
        let holes = total.active.saturating_sub(allocated);
        holes.saturating_add(total.dirty).saturating_add(given_back)
    });
    let is_asked = |_: &&Extents| detail == Detail::Pages;
    let muzzy = extents.as_ref().filter(is_asked).and_then(|e| resident(&e.muzzy, space).ok());
    let runtime = Runtime {
        version: Some(variables.version.clone()),
        in_use: allocated,
        free,
        released: Some(given_back),
        lazily_freed: Some(total.muzzy),
        lazily_freed_resident: muzzy,
        trimmable: Some(total.dirty),
        evidence,
        ..Runtime::named(NAME)
    };
    // A look at every page tells more.
    let given_back = match detail {
        Detail::Counters => GivenBack::read(&arenas, variables, space).ok(),
        Detail::Pages => None,
    };
    let blocks = arenas.into_iter().flat_map(|(_, arena)| arena.blocks).collect();
    let claims = claims::of(blocks, &total, extents, given_back);
    Ok(HeapStatistics { runtime, claims })
}

/// Whether the rules hold: what a place must show before it is believed.
pub(super) fn prove(variables: &Variables, space: &Space<'_>) -> Fact<()> {
    consistent(variables, 0, space).map(|_| ())
}

/// The arenas, each read anew where the program changed it meanwhile.
fn consistent(variables: &Variables, bias: u64, space: &Space<'_>) -> Fact<Read> {
    let infos = arena::bin_infos(variables, bias, space)?;
    let read = |(at, number): (u64, u32)| {
        let again = || Arena::read(at, number, variables, &infos, space);
        let mut arena = again()?;
        for _ in 1..TRIES {
            if arena.torn == 0 && arena.allocated <= arena.active {
                break;
            }
            arena = again()?;
        }
        Ok((number, arena))
    };
    let places = places(variables, bias, space)?;
    let arenas: Vec<(u32, Arena)> = places.into_iter().map(read).collect::<Fact<_>>()?;
    let total = Total::of(&arenas);
    let allocated = total.allocated.unwrap_or(0);
    if total.torn > allocated / TORN {
        return Err(broken("regions are not those that were given out and not returned"));
    }
    if allocated.saturating_sub(total.active) > total.active / TORN {
        return Err(broken("more is given out than is in active pages"));
    }
    Ok(Read { arenas, infos, total })
}

/// The arenas with their numbers.
fn places(variables: &Variables, bias: u64, space: &Space<'_>) -> Fact<Vec<(u64, u32)>> {
    let start = variables.arenas.wrapping_add(bias);
    let end = start.saturating_add(8 * u64::from(MAX_ARENAS));
    let mut found = Vec::new();
    for (from, to) in space.resident(start, end)? {
        let (from, to) = (from.max(start), to.min(end));
        let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or_default()];
        space.read(from, &mut bytes)?;
        let numbers = u32::try_from((from - start) / 8).unwrap_or(MAX_ARENAS)..;
        for (number, index) in numbers.zip(0..bytes.len() / 8) {
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

/// The extents, with the counters of the same time: read anew where they differ.
fn with_extents(
    read: &mut Read,
    variables: &Variables,
    bias: u64,
    space: &Space<'_>,
) -> Fact<Extents> {
    for tried in 1.. {
        let extents = extents::read(&read.arenas, variables, &read.infos, space)?;
        let off = pagemap::size(&extents.active).abs_diff(read.total.active);
        if off <= read.total.active / NEAR || (tried == TRIES && off <= read.total.active / TORN) {
            return Ok(extents);
        }
        if tried == TRIES {
            break;
        }
        *read = consistent(variables, bias, space)?;
    }
    Err(broken("they are not the pages that its arenas count"))
}

/// The bytes of the ranges that are in memory.
fn resident(ranges: &[(u64, u64)], space: &Space<'_>) -> Fact<u64> {
    ranges.iter().try_fold(0u64, |sum, &(start, end)| {
        Ok(sum.saturating_add(pagemap::size(&space.resident(start, end)?)))
    })
}

impl Extents {
    fn evidence(&self, active: u64) -> String {
        let off = pagemap::size(&self.active).abs_diff(active);
        match off {
            0 => "its extents are the active pages that its arenas count".to_owned(),
            off => format!(
                "its extents are the active pages that its arenas count, but for {off} bytes"
            ),
        }
    }
}
