//! The heap statistics of a process: the sum over all its allocators.

use memgap_kernel::memory::Space;
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::{Account, Fact, Missing, MissingKind, Runtime};

use super::instance::{self, Amounts};
use super::{NAME, TYPES, Variables};
use crate::HeapStatistics;
use crate::probe::broken;

/// Words of a table: three an entry.
const WORDS: usize = TYPES * 3;

/// Allocators of all types: one a type and thread that runs processes.
const MAX_INSTANCES: usize = 4096;

/// Readings of what a running program changes meanwhile.
const TRIES: usize = 4;

/// Reads the heap statistics of a process.
pub(super) fn read(variables: Variables, bias: u64, space: &Space<'_>) -> Fact<HeapStatistics> {
    let instances = instances(variables, bias, space)?;
    let mut last = None::<Amounts>;
    let mut bounds = None::<(u64, u64)>;
    let mut lack = broken("it was not read");
    let mut is_still = false;
    for _ in 0..TRIES {
        let sum = |sum: Amounts, (at, kind, number): &(u64, usize, usize)| {
            instance::read(*at, *kind, *number, space).map(|one| sum.add(one))
        };
        let now = match instances.iter().try_fold(Amounts::default(), sum) {
            Ok(now) => now,
            Err(why) if why.kind == MissingKind::Malformed => {
                lack = why;
                continue;
            }
            Err(why) => return Err(why),
        };
        let (low, high) = bounds.unwrap_or((now.low, now.high));
        bounds = Some((low.min(now.low), high.max(now.high)));
        is_still = last.replace(now) == Some(now);
        if is_still {
            bounds = Some((now.low, now.high));
            break;
        }
    }
    let now = last.ok_or(lack)?;
    let (low, high) = bounds.unwrap_or((now.low, now.high));
    // A carrier that moves to the pool between two readings is missed, or counts twice.
    let moved = if is_still { 0 } else { (high - low).max(now.in_use / 50) };
    let high = high.saturating_add(moved).min(now.mapped.max(now.in_use));
    Ok(statistics(&now, (low.saturating_sub(moved), high), is_still, instances.len()))
}

/// The allocators that the tables lead to, each with its type and number.
fn instances(variables: Variables, bias: u64, space: &Space<'_>) -> Fact<Vec<(u64, usize, usize)>> {
    let shared = space.words::<WORDS>(variables.shared.wrapping_add(bias))?;
    let threads = space.words::<WORDS>(variables.threads.wrapping_add(bias))?;
    let mut found = Vec::new();
    let entries = shared.chunks_exact(3).zip(threads.chunks_exact(3));
    for (kind, (shared, threads)) in entries.enumerate() {
        // Whether it is one of these allocators, and is enabled: two half words of 1.
        if shared[0] != 1 | 1 << 32 {
            continue;
        }
        if threads[0] & 0xffff_ffff != 1 {
            found.push((shared[2], kind, 0));
            continue;
        }
        let (number, count) = (threads[1] & 0xffff_ffff, threads[1] >> 32);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if number != kind as u64 || count == 0 || count > MAX_INSTANCES - found.len() {
            return Err(broken("the table of its threads' allocators is not in order"));
        }
        let mut places = vec![0; count * 8];
        space.read(threads[2], &mut places)?;
        let places = places.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        found.extend(places.enumerate().map(|(number, at)| (at, kind, number)));
    }
    if found.is_empty() {
        return Err(Missing::absent("its allocators are turned off: all it has is malloc's"));
    }
    Ok(found)
}

fn statistics(
    now: &Amounts,
    (low, high): (u64, u64),
    is_still: bool,
    instances: usize,
) -> HeapStatistics {
    let Amounts { mapped, within, pooled, blocks, in_use, .. } = *now;
    let runtime = Runtime {
        in_use: Some(in_use),
        in_use_bounds: Some((low, high)).filter(|(low, high)| low < high),
        free: Some(mapped - in_use),
        evidence: vec![
            format!(
                "{instances} allocators have {blocks} bytes of blocks in {} of carriers: {within} of these lie in malloc's memory and are left to that, {pooled} wait in pools",
                mapped + within
            ),
            if is_still {
                "two readings of all counters are the same".to_owned()
            } else {
                format!("the program changed its counters in each of {TRIES} readings")
            },
            "segments that it freed and caches are not counted".to_owned(),
        ],
        ..Runtime::named(NAME)
    };
    let parts = [(Account::HeapInUse, in_use), (Account::AllocatorFree, mapped - in_use)];
    let claims = vec![Claim::new(Priority::Runtime, NAME, Extent::Anywhere, &parts)];
    HeapStatistics { runtime, claims }
}
