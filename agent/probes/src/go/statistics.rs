//! The heap statistics: counters that must agree with one another, and what they claim.

use std::time::Duration;

use memgap_kernel::memory::{Space, u32_at, u64_at};
use memgap_kernel::source::pagemap::size;
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::runtime::{Gc, Runtime};
use memgap_ledger::{Account, Fact};

use super::Variables;
use super::pages::{self, Pages};
use super::shape::{
    AFTER_DELTAS, BUCKHASH_SYS, COMMITTED, GC_CONTROLLER, GC_MISC_SYS, GC_PERCENT, IN_HEAP,
    IN_STACKS, IN_WORK_BUFS, MCACHE_SYS, MEMORY_LIMIT, MSPAN_SYS, NUM_GC, OTHER_SYS, PAUSE_TOTAL,
    RANGES, RELEASED, STACKS_SYS,
};
use crate::probe::broken;
use crate::{Detail, HeapStatistics};

/// The runtime's page, whatever the machine's.
pub(super) const PAGE: u64 = 8192;
/// Readings of counters that a running program changes meanwhile.
pub(super) const TRIES: usize = 20;
/// Where addresses of programs end at the latest: Go uses 48 bits of them.
pub(super) const ADDRESSES: u64 = 1 << 48;
/// Ranges of the heap: an arena of 64 MiB or more each.
const MAX_RANGES: u64 = 65_536;

/// `gcController`: single words that are written at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Controller {
    percent: i32,
    limit: u64,
    pub in_use: u64,
    pub released: u64,
    pub free: u64,
    allocated: u64,
    freed: u64,
    live: Option<u64>,
    marked: Option<u64>,
}

/// `memstats`: sums over three slots, of which the program changes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stats {
    committed: u64,
    released: u64,
    in_heap: u64,
    pub stacks: u64,
    pub work_bufs: u64,
    stacks_sys: u64,
    /// Spans, caches of processors, profiles and the rest.
    metadata: u64,
    gc_misc: u64,
    paused: u64,
}

impl Controller {
    pub fn read(variables: &Variables, bias: u64, space: &Space<'_>) -> Fact<Self> {
        let shape = &variables.shape;
        let mut bytes = [0; GC_CONTROLLER];
        let end = usize::try_from(shape.in_use + 40).unwrap_or(GC_CONTROLLER);
        let bytes = &mut bytes[..end.min(GC_CONTROLLER)];
        space.read(variables.gc_controller.wrapping_add(bias), bytes)?;
        let word = |at: u64| usize::try_from(at).ok().and_then(|at| u64_at(bytes, at));
        let of = || {
            Some(Self {
                percent: u32_at(bytes, GC_PERCENT)?.cast_signed(),
                limit: u64_at(bytes, MEMORY_LIMIT)?,
                in_use: word(shape.in_use)?,
                released: word(shape.in_use + 8)?,
                free: word(shape.in_use + 16)?,
                allocated: word(shape.in_use + 24)?,
                freed: word(shape.in_use + 32)?,
                live: shape.live.and_then(word),
                marked: shape.marked.and_then(word),
            })
        };
        of().ok_or_else(|| broken("gcController is larger than it is known to be"))
    }

    /// The rules that hold at every moment; `ranges` were read later, and the heap
    /// gives none of them back.
    pub fn check(&self, ranges: &[(u64, u64)]) -> Fact<()> {
        let parts = [self.in_use, self.released, self.free];
        if parts.iter().any(|bytes| bytes % PAGE != 0) {
            return Err(broken("the heap is not made of whole pages"));
        }
        if parts.iter().any(|bytes| *bytes > size(ranges)) {
            return Err(broken("a part of the heap is larger than its ranges"));
        }
        if self.freed > self.allocated {
            return Err(broken("more was freed than allocated"));
        }
        Ok(())
    }
}

impl Stats {
    pub fn read(variables: &Variables, bias: u64, space: &Space<'_>) -> Fact<Self> {
        const MAX: usize = 3 * 1400 + 16 + AFTER_DELTAS;
        let shape = &variables.shape;
        let mut bytes = [0; MAX];
        let delta = usize::try_from(shape.delta).unwrap_or(MAX);
        let after = usize::try_from(shape.after_deltas()).unwrap_or(MAX);
        let too_large = || broken("memstats is larger than it is known to be");
        let part = bytes.get_mut(..after.saturating_add(AFTER_DELTAS)).ok_or_else(too_large)?;
        space.read(variables.memstats.wrapping_add(bias), part)?;
        // A slot may be negative: what one processor adds, another takes away.
        let sum = |at: usize| {
            (0..3).try_fold(0u64, |sum, slot| {
                Some(sum.wrapping_add(u64_at(part, slot * delta + at)?))
            })
        };
        let word = |at: usize| u64_at(part, after + at);
        let of = || {
            let metadata = [MSPAN_SYS, MCACHE_SYS, BUCKHASH_SYS, OTHER_SYS];
            Some(Self {
                committed: sum(COMMITTED)?,
                released: sum(RELEASED)?,
                in_heap: sum(IN_HEAP)?,
                stacks: sum(IN_STACKS)?,
                work_bufs: sum(IN_WORK_BUFS)?,
                stacks_sys: word(STACKS_SYS)?,
                metadata: metadata
                    .into_iter()
                    .try_fold(0u64, |sum, at| Some(sum.saturating_add(word(at)?)))?,
                gc_misc: word(GC_MISC_SYS)?,
                paused: word(PAUSE_TOTAL)?,
            })
        };
        of().ok_or_else(too_large)
    }

    /// Whether the sums agree with the single words: then neither is torn.
    pub fn agrees_with(&self, controller: &Controller) -> bool {
        self.in_heap == controller.in_use
            && self.released == controller.released
            && self.committed.wrapping_sub(self.stacks).wrapping_sub(self.work_bufs)
                == controller.in_use.wrapping_add(controller.free)
    }
}

/// The heap's address ranges, in order and apart.
pub(super) fn ranges(variables: &Variables, bias: u64, space: &Space<'_>) -> Fact<Vec<(u64, u64)>> {
    let at = variables.page_alloc.wrapping_add(bias).wrapping_add(RANGES);
    let [start, len, room] = space.words::<3>(at)?;
    if len > room || len > MAX_RANGES {
        return Err(broken("the list of the heap's ranges is longer than its room"));
    }
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default() * 16];
    space.read(start, &mut bytes)?;
    let range = |pair: &[u8]| Some((u64_at(pair, 0)?, u64_at(pair, 8)?));
    let ranges: Vec<(u64, u64)> = bytes.chunks_exact(16).filter_map(range).collect();
    let mut end = 0;
    for (from, to) in &ranges {
        if *to > ADDRESSES {
            return Err(broken("the heap's ranges lie beyond the address space"));
        }
        if *from < end || from >= to || from % PAGE != 0 || to % PAGE != 0 {
            return Err(broken("the heap's ranges are not in order"));
        }
        end = *to;
    }
    Ok(ranges)
}

/// Everything that is read of a Go program.
struct Read {
    controller: Controller,
    /// Absent where the program changed it in every reading.
    stats: Option<Stats>,
    ranges: Vec<(u64, u64)>,
}

/// Whether all rules hold: what a place must show before it is believed.
pub(super) fn prove(variables: &Variables, bias: u64, space: &Space<'_>) -> Fact<()> {
    let read = consistent(variables, bias, space)?;
    let stats = read.stats.ok_or_else(|| broken("memstats do not agree with gcController"))?;
    let c = &read.controller;
    let sum = [c.in_use, c.free, c.released, stats.stacks, stats.work_bufs]
        .into_iter()
        .fold(0u64, u64::wrapping_add);
    if sum != size(&read.ranges) {
        return Err(broken("the heap's parts are not the sum of its ranges"));
    }
    Ok(())
}

fn consistent(variables: &Variables, bias: u64, space: &Space<'_>) -> Fact<Read> {
    for _ in 0..TRIES {
        let controller = Controller::read(variables, bias, space)?;
        let stats = Stats::read(variables, bias, space)?;
        let ranges = ranges(variables, bias, space)?;
        controller.check(&ranges)?;
        if stats.agrees_with(&controller) {
            return Ok(Read { controller, stats: Some(stats), ranges });
        }
    }
    let controller = Controller::read(variables, bias, space)?;
    let ranges = ranges(variables, bias, space)?;
    controller.check(&ranges)?;
    Ok(Read { controller, stats: None, ranges })
}

/// Reads the heap statistics of a process.
pub(super) fn read(
    variables: &Variables,
    bias: u64,
    space: &Space<'_>,
    detail: Detail,
) -> Fact<HeapStatistics> {
    let read = consistent(variables, bias, space)?;
    let pages = match detail {
        Detail::Counters => None,
        Detail::Pages => Some(pages::read(variables, bias, space, &read.ranges)?),
    };
    let at = variables.memstats.wrapping_add(variables.shape.after_deltas() + NUM_GC);
    let mut cycles = [0; 4];
    space.read(at.wrapping_add(bias), &mut cycles)?;
    let cycles = u32::from_le_bytes(cycles);
    let c = read.controller;
    let gc = Gc {
        cycles: Some(cycles.into()),
        paused: read.stats.map(|s| Duration::from_nanos(s.paused)),
        // Before the first collection it is a guess of the runtime's.
        live: c.marked.filter(|_| cycles > 0),
        percent: u32::try_from(c.percent).ok(),
        limit: Some(c.limit).filter(|limit| *limit != u64::MAX >> 1),
        ..Gc::default()
    };
    let runtime = Runtime {
        version: variables.version.clone(),
        in_use: Some(c.in_use),
        objects: Some(c.allocated - c.freed),
        free: Some(c.free.saturating_add(c.released)),
        released: Some(c.released),
        trimmable: Some(c.free),
        stacks: read.stats.map(|s| s.stacks),
        evidence: evidence(variables, &read),
        gc: Some(gc),
        ..Runtime::named("go")
    };
    Ok(HeapStatistics { runtime, claims: claims(&read, pages) })
}

fn evidence(variables: &Variables, read: &Read) -> Vec<String> {
    let mut evidence = vec![
        format!(
            "gcController and mheap_ found by the rules they keep, as of Go {}",
            variables.shape.minors
        ),
        format!("address ranges of the heap, of whole pages and in order: {}", read.ranges.len()),
    ];
    evidence.push(if read.stats.is_some() {
        "memstats and gcController agree to the byte".to_owned()
    } else {
        format!("the program changed memstats in each of {TRIES} readings: stacks are what is left of the heap's ranges")
    });
    evidence
}

/// The heap by address; the runtime's other memory by amount.
fn claims(read: &Read, pages: Option<Pages>) -> Vec<Claim> {
    let c = &read.controller;
    let free = c.free.saturating_add(c.released);
    let rest = size(&read.ranges).saturating_sub(c.in_use).saturating_sub(free);
    let work_bufs = read.stats.map_or(0, |s| s.work_bufs.min(rest));
    let used = [
        (Account::HeapInUse, c.in_use),
        (Account::AllocatorMetadata, work_bufs),
        (Account::Stack, rest - work_bufs),
    ];
    let with_free = |free| [&used[..], &[(Account::AllocatorFree, free)]].concat();
    let mut claims = match pages {
        None => vec![claim(Extent::Ranges(read.ranges.clone()), &with_free(free))],
        Some(pages) => {
            // What each processor keeps for itself is free and not marked so.
            let unmarked = size(&read.ranges)
                .saturating_sub(size(&pages.free))
                .saturating_sub(c.in_use)
                .saturating_sub(rest);
            let marked = [(Account::AllocatorFree, size(&pages.free))];
            vec![
                claim(Extent::Ranges(pages.used), &with_free(unmarked)),
                claim(Extent::Ranges(pages.free), &marked),
            ]
        }
    };
    if let Some(stats) = &read.stats {
        let beside = [
            (Account::AllocatorMetadata, stats.metadata),
            (Account::GcTables, stats.gc_misc),
            (Account::Stack, stats.stacks_sys),
        ];
        claims.push(claim(Extent::Anywhere, &beside));
    }
    claims
}

pub(super) fn claim(extent: Extent, parts: &[(Account, u64)]) -> Claim {
    Claim::new(Priority::Runtime, "go", extent, parts)
}
