//! The books: the heap by its collector, and what is beside it.

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::runtime::{Gc, Runtime};
use memgap_ledger::{Account, Fact, Missing, MissingKind};

use super::super::{Books, Detail};
use super::Variables;
use super::flags::{Choice, Collector};
use super::heap::{Heap, size};
use super::pages::{Pages, Seen};
use super::perfdata::{Counters, Places};
use crate::memory::Space;
use crate::source::pagemap::Ranges;

/// Readings of variables that a running program changes meanwhile.
const TRIES: usize = 4;

/// What stays as it is for as long as a process runs its program.
#[derive(Debug, Default)]
pub(super) struct Kept {
    choice: Option<Choice>,
    seen: Seen,
    counters: Option<Places>,
}

/// Reads the books of a process, with what the last reading kept. An error keeps
/// nothing.
pub(super) fn read(
    variables: &Variables,
    bias: u64,
    space: &Space<'_>,
    detail: Detail,
    kept: &mut Kept,
) -> Fact<Books> {
    let mut tries = 0;
    let (pages, mut counters, choice, heap) = loop {
        let Kept { choice, seen, counters } = std::mem::take(kept);
        let pages = Pages::again(space, bias, seen)?;
        let choice = choice.map_or_else(|| variables.flags.read(&pages), Ok)?;
        match heap(variables, choice, &pages, space, detail) {
            Ok(heap) => break (pages, counters, choice, heap),
            Err(Missing { kind: MissingKind::Malformed, .. }) if tries < TRIES => tries += 1,
            Err(lack) => return Err(lack),
        }
    };
    let books = beside(variables, choice, &pages, space, detail, heap, &mut counters);
    *kept = Kept { choice: Some(choice), seen: pages.into_seen(), counters };
    Ok(books)
}

/// The heap's books, and what else is told.
fn beside(
    variables: &Variables,
    choice: Choice,
    pages: &Pages<'_, '_>,
    space: &Space<'_>,
    detail: Detail,
    heap: Heap,
    places: &mut Option<Places>,
) -> Books {
    let Choice { collector, max_heap: limit, .. } = choice;
    let counters = variables.perf.as_ref().map_err(Clone::clone);
    let counters = counters.and_then(|perf| perf.read(pages, space, places));
    let runtime = Runtime {
        version: variables.version.clone(),
        in_use: Some(heap.used),
        free: Some(heap.committed - heap.used),
        evidence: evidence(collector, &heap, &counters),
        gc: Some(gc(variables, collector, pages, counters.as_ref().ok(), limit)),
        ..Runtime::named("hotspot")
    };
    let beside = Beside {
        code: variables.code.as_ref().ok().and_then(|code| code.read(pages).ok()),
        // ZGC has no cards.
        cards: variables
            .cards
            .as_ref()
            .ok()
            .filter(|_| collector != Collector::Z)
            .and_then(|cards| cards.read(pages, limit).ok()),
        metaspace: counters.ok().and_then(|counters| counters.metaspace),
    };
    Books { runtime, claims: claims(heap, beside, detail) }
}

/// The heap, where the rules of its collector hold.
fn heap(
    variables: &Variables,
    choice: Choice,
    pages: &Pages<'_, '_>,
    space: &Space<'_>,
    detail: Detail,
) -> Fact<Heap> {
    let collector = choice.collector;
    let heap = match collector {
        Collector::Serial => told(&variables.serial)?.read(pages),
        Collector::Parallel if choice.numa => Err(unknown("Parallel with UseNUMA")),
        Collector::Parallel => told(&variables.parallel)?.read(pages),
        Collector::G1 => told(&variables.g1)?.read(pages, space, detail),
        Collector::Z => {
            let has_none = choice.generational == Some(false);
            told(if has_none { &variables.x } else { &variables.z })?.read(pages)
        }
        Collector::Shenandoah | Collector::Epsilon => Err(unknown(collector.name())),
    };
    heap?.check(choice.max_heap)
}

fn told<T>(layout: &Fact<T>) -> Fact<&T> {
    layout.as_ref().map_err(Clone::clone)
}

fn unknown(collector: &str) -> Missing {
    Missing::absent(format!("the heap of the {collector} collector is not read"))
}

fn gc(
    variables: &Variables,
    collector: Collector,
    pages: &Pages<'_, '_>,
    counters: Option<&Counters>,
    limit: u64,
) -> Gc {
    let path = variables.collections.as_ref().ok();
    let cycles = path.and_then(|path| pages.half(pages.follow(path).ok()?).ok()).map(u64::from);
    Gc {
        name: Some(collector.name().to_owned()),
        cycles,
        paused: counters.and_then(|counters| counters.paused),
        // ZGC brings it up to date in the midst of collections.
        live: counters
            .filter(|c| c.collections > 0 && collector != Collector::Z)
            .map(|counters| counters.used),
        limit: Some(limit),
        ..Gc::default()
    }
}

fn evidence(collector: Collector, heap: &Heap, counters: &Fact<Counters>) -> Vec<String> {
    let name = collector.name();
    let mut evidence = vec![
        format!("libjvm's vmStructs describe the heap of {name}, which its flags name"),
        format!("{} bytes used of {} committed, within the limit", heap.used, heap.committed),
    ];
    if collector == Collector::G1 && heap.filled.is_empty() {
        evidence
            .push("as G1 sums it: up to one region less, the one that is being filled".to_owned());
    }
    if let Err(lack) = counters {
        evidence.push(format!("no pauses, no metaspace: {lack}"));
    }
    evidence
}

/// What is beside the heap, where it was read.
struct Beside {
    code: Option<[Ranges; 2]>,
    cards: Option<(u64, u64)>,
    metaspace: Option<u64>,
}

fn claims(heap: Heap, beside: Beside, detail: Detail) -> Vec<Claim> {
    let mut claims = Vec::new();
    match detail {
        Detail::Pages if !heap.filled.is_empty() => {
            claims.push(whole(Account::AllocatorFree, heap.free()));
            claims.push(whole(Account::HeapInUse, heap.filled));
        }
        _ if heap.ranges.is_empty() => {
            let parts = [
                (Account::HeapInUse, heap.used),
                (Account::AllocatorFree, heap.committed - heap.used),
            ];
            claims.push(claim(Extent::Shared(heap.views), &parts));
        }
        // Memory that was given back may still be resident for a while, so what is
        // free is the rest of the ranges, not of what is committed.
        _ => {
            let free = size(&heap.ranges).saturating_sub(heap.used);
            let parts = [(Account::HeapInUse, heap.used), (Account::AllocatorFree, free)];
            claims.push(claim(Extent::Ranges(heap.ranges), &parts));
        }
    }
    if let Some([code, maps]) = beside.code {
        claims.push(whole(Account::JitCode, code));
        claims.push(whole(Account::AllocatorMetadata, maps));
    }
    claims.extend(beside.cards.map(|range| whole(Account::GcTables, vec![range])));
    let metaspace = beside.metaspace.map(|bytes| [(Account::Metaspace, bytes)]);
    claims.extend(metaspace.map(|parts| claim(Extent::Anywhere, &parts)));
    claims.retain(|claim| !claim.parts.is_empty());
    claims
}

/// Ranges that are of one account.
fn whole(account: Account, ranges: Ranges) -> Claim {
    let bytes = size(&ranges);
    claim(Extent::Ranges(ranges), &[(account, bytes)])
}

fn claim(extent: Extent, parts: &[(Account, u64)]) -> Claim {
    let parts = parts.iter().filter(|(_, bytes)| *bytes > 0);
    Claim {
        priority: Priority::Runtime,
        owner: "hotspot".to_owned(),
        extent,
        parts: parts.map(|&(account, bytes)| Part { account, bytes }).collect(),
    }
}
