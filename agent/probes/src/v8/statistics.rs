//! The heap statistics: where the chunks are, and what the spaces say of them.

use memgap_kernel::memory::{Area, Space};
use memgap_kernel::source::pagemap::size;
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::{Account, Fact, Missing, MissingKind, Runtime};

use super::Heap;
use super::chunk::{self, Chunks};
use super::spaces::{self, Counts};
use crate::{Detail, HeapStatistics};

/// Reads the heap statistics of a process.
pub(super) fn read(heap: Heap, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics> {
    let areas = space.areas()?;
    let mut chunks = match detail {
        Detail::Counters => chunk::sample(heap.shape, &areas, space)?,
        Detail::Pages => chunk::all(heap.shape, &areas, space)?,
    };
    if chunks.heaps.is_empty() {
        return Err(Missing::new(MissingKind::Malformed, "the heap shows no chunk any more"));
    }
    let mut counts = Counts::default();
    let mut ended = None;
    let mut heaps = 0;
    for one in &chunks.heaps {
        match spaces::read(heap, *one, space) {
            Ok(more) => {
                counts = counts.plus(more);
                heaps += 1;
            }
            Err(lack) if lack.kind == MissingKind::Malformed => ended = Some(lack),
            Err(lack) => return Err(lack),
        }
    }
    if let (0, Some(lack)) = (heaps, &ended) {
        return Err(lack.clone());
    }
    // Code is kept together, and what is writable and may be run is nobody else's.
    let is_code = |area: &&Area| area.is_anonymous && area.is_writable && area.is_executable;
    chunks.code.extend(areas.iter().filter(is_code).map(|area| (area.start, area.end)));
    let is_all = ended.is_none() && detail == Detail::Pages;
    Ok(made(heap.shape.versions, chunks, heaps, counts, is_all))
}

/// The heap statistics of so many heaps; `is_all` tells that there are no others.
fn made(
    versions: &str,
    chunks: Chunks,
    heaps: u64,
    counts: Counts,
    is_all: bool,
) -> HeapStatistics {
    // Emptied chunks are kept for the next one. Where there are other heaps these may be of
    // theirs, and so in use.
    let kept = size(&chunks.data).saturating_sub(counts.committed);
    let in_use = counts.old.saturating_add(counts.young);
    let most = if is_all { in_use } else { in_use.saturating_add(kept) };
    let free = counts.free.saturating_add(counts.evacuated).saturating_add(kept);
    let runtime = Runtime {
        in_use: Some(in_use),
        in_use_bounds: (counts.old < most).then_some((counts.old, most)),
        free: Some(free),
        evidence: vec![
            format!(
                "{} chunks that point to themselves lead to {heaps} heaps whose spaces add up, as of V8 {versions}",
                chunks.read
            ),
            format!(
                "{} bytes in use are new space, counted whole: at most so many are; {kept} bytes are chunks that no space counts",
                counts.young
            ),
        ],
        ..Runtime::named("v8")
    };
    let parts = [
        (Account::AllocatorMetadata, counts.headers),
        (Account::HeapInUse, in_use),
        (Account::AllocatorFree, free),
    ];
    let code = merged(chunks.code);
    let claims =
        vec![claim(chunks.data, &parts), claim(code.clone(), &[(Account::JitCode, size(&code))])];
    HeapStatistics { runtime, claims }
}

fn claim(ranges: Vec<(u64, u64)>, parts: &[(Account, u64)]) -> Claim {
    Claim::new(Priority::Runtime, "v8", Extent::Ranges(ranges), parts)
}

/// The ranges in order and apart from one another.
fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}
