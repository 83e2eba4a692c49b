//! The heap statistics of a process, by the heap's own counters.

use memgap_kernel::memory::Space;
use memgap_kernel::source::pagemap::{Ranges, size};
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::{Account, Fact, Missing, MissingKind, Runtime};

use super::chunk::{CHUNK, PAGE};
use super::heap::{Counters, Most, Parts};
use super::{NAME, Variables};
use crate::{Detail, HeapStatistics};

/// Readings of what a running program changes meanwhile.
const TRIES: usize = 4;

/// Reads the heap statistics of a process.
pub(super) fn read(
    variables: Variables,
    bias: u64,
    space: &Space<'_>,
    detail: Detail,
) -> Fact<HeapStatistics> {
    let [heap] = space.words::<1>(variables.heap.wrapping_add(bias))?;
    let most = match detail {
        Detail::Counters => Most::ON_COLLECTION,
        Detail::Pages => Most::DEEP,
    };
    let mut tries = 1;
    let (counters, parts) = loop {
        let counters = Counters::read(heap, variables.shape, space)?;
        if !counters.are_within(most) {
            break (counters, None);
        }
        match counters.parts(variables.shape, most, space) {
            Ok(parts) => break (counters, Some(parts)),
            Err(lack) if lack.kind == MissingKind::Malformed && tries < TRIES => tries += 1,
            Err(Missing { kind: MissingKind::Malformed | MissingKind::Refused, .. }) => {
                break (counters, None);
            }
            Err(lack) => return Err(lack),
        }
    };
    Ok(statistics(counters, parts))
}

fn statistics(counters: Counters, parts: Option<Parts>) -> HeapStatistics {
    let Counters { size: in_use, real_size, real_peak, chunks, cached, .. } = counters;
    let own = u64::from(chunks) * PAGE;
    // The counters are read at once, and each block counts with all that it takes.
    let all =
        parts.as_ref().map_or(counters.at_least(), |parts| counters.in_chunks() + parts.in_huge());
    let free = all.saturating_sub(own).saturating_sub(in_use);
    let kept = u64::from(cached) * CHUNK;
    let placed = match &parts {
        Some(parts) => format!("they are in a ring, and with {} huge blocks all that it has", parts.huge.len()),
        None => "they were not followed: there are many, the program changed them, or they are not in memory".to_owned(),
    };
    let runtime = Runtime {
        in_use: Some(in_use),
        free: Some(free),
        evidence: vec![
            format!(
                "memory_get_usage: {in_use}, of {real_size} from the system, at most {real_peak}"
            ),
            format!("{chunks} chunks of 2 MiB, and {cached} ({kept} bytes) for later: {placed}"),
        ],
        ..Runtime::named(NAME)
    };
    let claims = match parts {
        Some(parts) => by_place(in_use, parts),
        None => {
            let all = [
                (Account::AllocatorMetadata, own),
                (Account::HeapInUse, in_use),
                (Account::AllocatorFree, free),
            ];
            vec![Claim::new(Priority::Runtime, NAME, Extent::Anywhere, &all)]
        }
    };
    HeapStatistics { runtime, claims }
}

/// Pages in use hold pieces that are free, too; others hold nothing.
fn by_place(in_use: u64, parts: Parts) -> Vec<Claim> {
    let (mut own, mut used, mut free) = (Ranges::new(), parts.huge, Ranges::new());
    for chunk in parts.chunks {
        own.push((chunk.start, chunk.start + PAGE));
        used.extend(chunk.used);
        free.extend(chunk.free);
    }
    free.extend(parts.cached.into_iter().map(|start| (start, start + CHUNK)));
    let (own_size, used_size, free_size) = (size(&own), size(&used), size(&free));
    let in_use = in_use.min(used_size);
    vec![
        claim(own, &[(Account::AllocatorMetadata, own_size)]),
        claim(used, &[(Account::HeapInUse, in_use), (Account::AllocatorFree, used_size - in_use)]),
        claim(free, &[(Account::AllocatorFree, free_size)]),
    ]
}

fn claim(ranges: Ranges, parts: &[(Account, u64)]) -> Claim {
    Claim::new(Priority::Runtime, NAME, Extent::Ranges(ranges), parts)
}
