//! The books: what the chunks hold.

use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::{Account, Fact, Missing, MissingKind, Runtime};

use super::super::Books;
use super::chunk::{self, Age, Chunk, Shape};
use crate::memory::{Area, Space};

/// The chunks of one sort.
#[derive(Debug, Default)]
struct Sort {
    ranges: Vec<(u64, u64)>,
    header: u64,
    allocated: u64,
}

/// The chunks by sort.
#[derive(Debug, Default)]
struct Sorts {
    old: Sort,
    young: Sort,
    evacuated: Sort,
    code: Vec<(u64, u64)>,
}

/// Reads the books of a process.
pub(super) fn read(shape: Shape, space: &Space<'_>) -> Fact<Books> {
    let areas = space.areas()?;
    let chunks = chunk::all(shape, &areas, space)?;
    if chunks.is_empty() {
        return Err(Missing::new(MissingKind::Malformed, "the heap shows no chunk any more"));
    }
    let mut sorts = Sorts::default();
    for chunk in &chunks {
        sorts.add(chunk, &areas);
    }
    // Code is kept together, and what is writable and may be run is nobody else's.
    let is_code = |area: &&Area| area.is_anonymous && area.is_writable && area.is_executable;
    sorts.code.extend(areas.iter().filter(is_code).map(|area| (area.start, area.end)));
    let code = merged(sorts.code);
    let in_use = sorts.old.allocated.saturating_add(sorts.young.allocated);
    let runtime = Runtime {
        in_use: Some(in_use),
        in_use_bounds: (sorts.young.allocated > 0).then_some((sorts.old.allocated, in_use)),
        free: Some(sorts.old.free().saturating_add(sorts.evacuated.allocated)),
        evidence: vec![
            format!(
                "{} chunks of the heap point to themselves, as of V8 {}",
                chunks.len(),
                shape.versions
            ),
            format!(
                "{} bytes in use are new space, counted whole: at most so many are",
                sorts.young.allocated
            ),
        ],
        ..Runtime::named("v8")
    };
    let claims = vec![
        sorts.old.claim(Account::HeapInUse),
        sorts.young.claim(Account::HeapInUse),
        sorts.evacuated.claim(Account::AllocatorFree),
        claim(code.clone(), &[(Account::JitCode, size(&code))]),
    ];
    Ok(Books { runtime, claims })
}

impl Sorts {
    /// Adds a chunk to its sort: one is code where any part of it may be run.
    fn add(&mut self, chunk: &Chunk, areas: &[Area]) {
        let first = areas.partition_point(|area| area.end <= chunk.start);
        let mut inside = areas[first..].iter().take_while(|area| area.start < chunk.end);
        match chunk.age {
            _ if inside.any(|area| area.is_executable) => {
                self.code.push((chunk.start, chunk.end));
            }
            Age::Old => self.old.add(chunk),
            Age::Young => self.young.add(chunk),
            Age::Evacuated => self.evacuated.add(chunk),
        }
    }
}

impl Sort {
    fn add(&mut self, chunk: &Chunk) {
        self.ranges.push((chunk.start, chunk.end));
        self.header = self.header.saturating_add(chunk.header);
        self.allocated = self.allocated.saturating_add(chunk.allocated);
    }

    /// What is neither header nor allocated.
    fn free(&self) -> u64 {
        size(&self.ranges).saturating_sub(self.header).saturating_sub(self.allocated)
    }

    /// What was allocated is on the account, the rest is free.
    fn claim(self, account: Account) -> Claim {
        let parts = [
            (Account::AllocatorMetadata, self.header),
            (account, self.allocated),
            (Account::AllocatorFree, self.free()),
        ];
        claim(self.ranges, &parts)
    }
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

fn size(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().fold(0, |sum, (start, end)| sum.saturating_add(end - start))
}
