//! The heap statistics of a process: what tcmalloc calls `generic.current_allocated_bytes`.

use memgap_kernel::memory::Space;
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::{Account, Fact, MissingKind, Runtime};

use super::central::{self, Central};
use super::page_heap::PageHeap;
use super::{NAME, Variables, metadata, sizes};
use crate::HeapStatistics;
use crate::probe::broken;

/// Readings of what a running program changes meanwhile, in pairs.
const TRIES: usize = 4;

/// What is counted in three places, each of which is read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counters {
    pages: PageHeap,
    central: Central,
    threads: usize,
    kept: u64,
}

/// Reads the heap statistics of a process.
pub(super) fn read(variables: &Variables, bias: u64, space: &Space<'_>) -> Fact<HeapStatistics> {
    let sizes = sizes::read(variables.table.wrapping_add(bias), space)?;
    let counters = || {
        let (threads, kept) = variables.threads.read(bias, space)?;
        let counters = Counters {
            central: central::read(variables.central.wrapping_add(bias), &sizes, space)?,
            pages: PageHeap::read(variables.page_heap.wrapping_add(bias), space)?,
            threads,
            kept,
        };
        counters.in_use().map(|_| counters)
    };
    let (mut last, mut bounds) = (None, None::<(u64, u64)>);
    let mut lack = broken("it was not read");
    for _ in 0..TRIES {
        let now = match counters() {
            Ok(now) => now,
            Err(why) if why.kind == MissingKind::Malformed => {
                lack = why;
                continue;
            }
            Err(why) => return Err(why),
        };
        if last == Some(now) {
            bounds = None;
            break;
        }
        last = Some(now);
        let in_use = now.in_use()?;
        let (low, high) = bounds.unwrap_or((in_use, in_use));
        bounds = Some((low.min(in_use), high.max(in_use)));
    }
    let counters = last.ok_or(lack)?;
    let own = variables.own.and_then(|at| metadata::read(at.wrapping_add(bias), space));
    statistics(counters, bounds, own)
}

impl Counters {
    fn in_use(&self) -> Fact<u64> {
        let PageHeap { system, free, unmapped } = self.pages;
        [free, unmapped, self.central.spans, self.central.transfer, self.kept]
            .iter()
            .try_fold(system, |left, part| left.checked_sub(*part))
            .ok_or_else(|| broken("more is free than there is"))
    }
}

fn statistics(
    counters: Counters,
    bounds: Option<(u64, u64)>,
    own: Option<u64>,
) -> Fact<HeapStatistics> {
    let in_use = counters.in_use()?;
    let Counters { pages, central, threads, kept } = counters;
    let PageHeap { system, free, unmapped } = pages;
    // What moves from one place to another between two readings is missed, or counts twice.
    let bounds = bounds.map(|(low, high)| {
        let moved = (high - low).max(central.transfer / 64);
        (low.saturating_sub(moved), high.saturating_add(moved).min(system))
    });
    let runtime = Runtime {
        in_use: Some(in_use),
        in_use_bounds: bounds,
        free: Some(system - in_use),
        released: Some(unmapped),
        trimmable: Some(free),
        evidence: vec![
            format!(
                "of {system} bytes {free} are in free spans, {unmapped} given back, {} in spans of size classes, {} in transfer caches, {kept} in caches of threads ({threads})",
                central.spans, central.transfer
            ),
            match bounds {
                None => "two readings of all counters are the same".to_owned(),
                Some(_) => format!("the program changed its counters in each of {TRIES} readings"),
            },
        ],
        ..Runtime::named(NAME)
    };
    let parts = [
        (Account::HeapInUse, in_use),
        (Account::AllocatorFree, system - in_use - unmapped),
        (Account::AllocatorMetadata, own.unwrap_or(0)),
    ];
    let claims = vec![Claim::new(Priority::Malloc, NAME, Extent::Anywhere, &parts)];
    Ok(HeapStatistics { runtime, claims })
}
