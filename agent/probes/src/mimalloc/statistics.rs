//! The heap statistics: pages of blocks of one size, by the tables of the segments.

use memgap_kernel::memory::{Area, Space};
use memgap_kernel::source::pagemap::{Ranges, size};
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::{Account, Fact, Missing, MissingKind, Runtime};

use super::Variables;
use super::segment::{self, Segment};
use crate::{Detail, HeapStatistics};

/// Readings of a table that the program changes meanwhile.
const TRIES: usize = 4;

/// What the segments hold.
#[derive(Debug, Default)]
struct Heap {
    segments: Ranges,
    own: Ranges,
    used: Ranges,
    free: Ranges,
    in_use: u64,
    /// Of that, in pages where other threads freed some.
    perhaps: u64,
}

/// Reads the heap statistics of a process.
pub(super) fn read(
    variables: Variables,
    bias: u64,
    space: &Space<'_>,
    detail: Detail,
) -> Fact<HeapStatistics> {
    let [secret] = space.words::<1>(variables.cookie.wrapping_add(bias))?;
    let areas = space.areas()?;
    let mut heap = Heap::default();
    for at in segment::places(&areas, space)? {
        let found = Segment::begin(at, variables.shape, space)?;
        let behind = heap.segments.last().map_or(0, |last| last.1);
        if let Some(segment) = found.filter(|it| at >= behind && it.secret == secret) {
            heap.add(&segment, space)?;
        }
    }
    if heap.segments.is_empty() {
        let why = "no segment has the cookie of the main heap";
        return Err(Missing::new(MissingKind::Malformed, why));
    }
    for area in &areas {
        heap.add_rest(area);
    }
    Ok(heap.statistics(variables.shape.versions, detail))
}

impl Heap {
    fn add(&mut self, segment: &Segment, space: &Space<'_>) -> Fact<()> {
        let mut tries = 1;
        let spans = loop {
            match segment.spans(space) {
                Err(Missing { kind: MissingKind::Malformed, .. }) if tries < TRIES => tries += 1,
                spans => break spans?,
            }
        };
        self.segments.push((segment.start, segment.end()));
        self.own.push((segment.start, segment.own_end()));
        for span in &spans {
            self.in_use = self.in_use.saturating_add(span.in_use);
            if span.is_freed_by_others {
                self.perhaps = self.perhaps.saturating_add(span.in_use);
            }
            push(
                if span.in_use > 0 { &mut self.used } else { &mut self.free },
                span.start,
                span.end,
            );
        }
        Ok(())
    }

    /// What stands between segments of one mapping, and behind them, is kept for others.
    fn add_rest(&mut self, area: &Area) {
        let first = self.segments.partition_point(|segment| segment.0 < area.start);
        let inside = self.segments[first..].iter().take_while(|segment| segment.0 < area.end);
        let mut at = None;
        for (start, end) in inside {
            push(&mut self.free, at.unwrap_or(*start), *start);
            at = Some(*end);
        }
        push(&mut self.free, at.unwrap_or(area.end), area.end);
    }

    fn statistics(self, versions: &str, detail: Detail) -> HeapStatistics {
        let kept = size(&self.used).saturating_sub(self.in_use);
        let free = size(&self.free);
        let runtime = Runtime {
            in_use: Some(self.in_use),
            in_use_bounds: (self.perhaps > 0)
                .then_some((self.in_use.saturating_sub(self.perhaps), self.in_use)),
            free: Some(kept.saturating_add(free)),
            evidence: vec![
                format!(
                    "{} segments have the cookie of the main heap, and their pages fill them, as of mimalloc {versions}",
                    self.segments.len()
                ),
                format!(
                    "{} bytes in use are in pages of which other threads have freed some blocks: how many, the owner counts when it needs them",
                    self.perhaps
                ),
            ],
            ..Runtime::named("mimalloc")
        };
        let own = [(Account::AllocatorMetadata, size(&self.own))];
        let used = [(Account::HeapInUse, self.in_use), (Account::AllocatorFree, kept)];
        let unused = [(Account::AllocatorFree, free)];
        let claims = match detail {
            // Which pages are resident is not asked: those in use rather than others.
            Detail::Counters => {
                let ranges = [self.own, self.used, self.free].concat();
                vec![claim(ranges, &[&own[..], &used, &unused].concat())]
            }
            Detail::Pages => {
                vec![claim(self.own, &own), claim(self.used, &used), claim(self.free, &unused)]
            }
        };
        HeapStatistics { runtime, claims }
    }
}

fn claim(ranges: Ranges, parts: &[(Account, u64)]) -> Claim {
    Claim::new(Priority::Malloc, "mimalloc", Extent::Ranges(ranges), parts)
}

fn push(ranges: &mut Ranges, start: u64, end: u64) {
    match ranges.last_mut() {
        Some(last) if last.1 == start => last.1 = last.1.max(end),
        _ if start < end => ranges.push((start, end)),
        _ => {}
    }
}
