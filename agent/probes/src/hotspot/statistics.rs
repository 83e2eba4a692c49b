//! The heap statistics: the heap by its collector, and what is beside it.

use memgap_kernel::memory::Space;
use memgap_kernel::source::pagemap::Ranges;
use memgap_kernel::source::pagemap::size;
use memgap_ledger::claim::{Claim, Extent, Priority};
use memgap_ledger::runtime::{Gc, Runtime};
use memgap_ledger::{Account, Fact, Missing, MissingKind};

use super::Variables;
use super::flags::{Choice, Collector};
use super::heap::Heap;
use super::pages::{Pages, Seen};
use super::perfdata::{Counters, Places};
use crate::{Detail, HeapStatistics};

/// Readings of variables that a running program changes meanwhile.
const TRIES: usize = 4;

/// What stays as it is for as long as a process runs its program.
#[derive(Debug, Default)]
pub(super) struct Kept {
    choice: Option<Choice>,
    seen: Seen,
    counters: Option<Places>,
    /// The bitmaps of marked objects, once they were looked for.
    marks: Option<Ranges>,
}

/// Reads the heap statistics of a process, with what the last reading kept. An error keeps
/// nothing.
pub(super) fn read(
    variables: &Variables,
    bias: u64,
    space: &Space<'_>,
    detail: Detail,
    kept: &mut Kept,
) -> Fact<HeapStatistics> {
    let mut tries = 0;
    let (reading, heap, mut known) = loop {
        let mut known = std::mem::take(kept);
        let pages = Pages::again(space, bias, std::mem::take(&mut known.seen))?;
        let choice = known.choice.map_or_else(|| variables.flags.read(&pages), Ok)?;
        let reading = Reading { variables, choice, pages, space, detail };
        match reading.heap() {
            Ok(heap) => break (reading, heap, known),
            Err(Missing { kind: MissingKind::Malformed, .. }) if tries < TRIES => tries += 1,
            Err(lack) => return Err(lack),
        }
    };
    let beside = reading.beside(&heap, &mut known);
    let runtime = Runtime {
        version: variables.version.clone(),
        in_use: Some(heap.used),
        free: Some(heap.committed - heap.used),
        evidence: reading.evidence(&heap, &beside),
        gc: Some(reading.gc(beside.counters.as_ref().ok())),
        ..Runtime::named("hotspot")
    };
    known.choice = Some(reading.choice);
    *kept = Kept { seen: reading.pages.into_seen(), ..known };
    Ok(HeapStatistics { runtime, claims: claims(heap, beside, detail) })
}

/// One look at the heap statistics of a process.
struct Reading<'r, 'm> {
    variables: &'r Variables,
    choice: Choice,
    pages: Pages<'r, 'm>,
    space: &'r Space<'m>,
    detail: Detail,
}

/// What is beside the heap, or why it is not known.
struct Beside {
    code: Fact<[Ranges; 2]>,
    /// Of the collectors that have any.
    cards: Option<Fact<(u64, u64)>>,
    marks: Option<Fact<Ranges>>,
    counters: Fact<Counters>,
}

impl Reading<'_, '_> {
    /// The heap, where the rules of its collector hold.
    fn heap(&self) -> Fact<Heap> {
        let (variables, collector) = (self.variables, self.choice.collector);
        let heap = match collector {
            Collector::Serial => reported(&variables.serial)?.read(&self.pages),
            Collector::Parallel if self.choice.numa => Err(unknown("Parallel with UseNUMA")),
            Collector::Parallel => reported(&variables.parallel)?.read(&self.pages),
            Collector::G1 => reported(&variables.g1)?.read(&self.pages, self.space, self.detail),
            Collector::Z => {
                let has_none = self.choice.generational == Some(false);
                reported(if has_none { &variables.x } else { &variables.z })?.read(&self.pages)
            }
            Collector::Shenandoah | Collector::Epsilon => Err(unknown(collector.name())),
        };
        heap?.check(self.choice.max_heap)
    }

    fn beside(&self, heap: &Heap, known: &mut Kept) -> Beside {
        let (variables, pages, collector) = (self.variables, &self.pages, self.choice.collector);
        let marks = || match &known.marks {
            Some(marks) => Ok(marks.clone()),
            None => reported(&variables.marks)?.read(
                pages,
                self.space,
                reported(&variables.g1)?.reserved(pages)?,
            ),
        };
        let marks = (collector == Collector::G1).then(marks);
        known.marks = marks.as_ref().and_then(|marks| marks.as_ref().ok().cloned());
        let cards = || reported(&variables.cards)?.read(pages, self.choice.max_heap);
        let perf = reported(&variables.perf);
        Beside {
            code: reported(&variables.code).and_then(|code| code.read(pages)),
            // ZGC has none.
            cards: heap.views.is_empty().then(cards),
            marks,
            counters: perf.and_then(|perf| perf.read(pages, self.space, &mut known.counters)),
        }
    }

    fn gc(&self, counters: Option<&Counters>) -> Gc {
        let path = self.variables.collections.as_ref().ok();
        let cycles = path.and_then(|path| self.pages.half(self.pages.follow(path).ok()?).ok());
        Gc {
            name: Some(self.choice.collector.name().to_owned()),
            cycles: cycles.map(u64::from),
            paused: counters.and_then(|counters| counters.paused),
            // ZGC brings it up to date in the midst of collections.
            live: counters
                .filter(|c| c.collections > 0 && self.choice.collector != Collector::Z)
                .map(|counters| counters.used),
            goal: None,
            percent: None,
            limit: Some(self.choice.max_heap),
            recent: None,
        }
    }

    fn evidence(&self, heap: &Heap, beside: &Beside) -> Vec<String> {
        let name = self.choice.collector.name();
        let mut evidence = vec![
            format!("libjvm's vmStructs describe the heap of {name}, which its flags name"),
            format!("{} bytes used of {} committed, within the limit", heap.used, heap.committed),
        ];
        if self.choice.collector == Collector::G1 && heap.filled.is_empty() {
            evidence.push(
                "as G1 sums it: up to one region less, the one that is being filled".to_owned(),
            );
        }
        let lacks = [
            ("no pauses, no metaspace", beside.counters.as_ref().err()),
            ("no compiled code", beside.code.as_ref().err()),
            ("no card table", beside.cards.as_ref().and_then(|cards| cards.as_ref().err())),
            ("no mark bitmaps", beside.marks.as_ref().and_then(|marks| marks.as_ref().err())),
        ];
        let lacks = lacks.into_iter().filter_map(|(what, lack)| Some((what, lack?)));
        evidence.extend(lacks.map(|(what, lack)| format!("{what}: {lack}")));
        evidence
    }
}

fn reported<T>(layout: &Fact<T>) -> Fact<&T> {
    layout.as_ref().map_err(Clone::clone)
}

fn unknown(collector: &str) -> Missing {
    Missing::absent(format!("the heap of the {collector} collector is not read"))
}

fn claims(heap: Heap, beside: Beside, detail: Detail) -> Vec<Claim> {
    let mut claims = Vec::new();
    // Memory that was given back may still be resident for a while, so what is free
    // is the rest of the ranges, not of what is committed.
    let rest = size(&heap.ranges).saturating_sub(heap.used);
    match detail {
        Detail::Pages if !heap.filled.is_empty() => {
            claims.push(whole(Account::AllocatorFree, heap.free()));
            claims.push(whole(Account::HeapInUse, heap.filled));
        }
        _ if heap.ranges.is_empty() => {
            claims.push(shared(heap));
        }
        _ => {
            let parts = [(Account::HeapInUse, heap.used), (Account::AllocatorFree, rest)];
            claims.push(claim(Extent::Ranges(heap.ranges), &parts));
        }
    }
    if let Ok([code, maps]) = beside.code {
        claims.push(whole(Account::JitCode, code));
        claims.push(whole(Account::AllocatorMetadata, maps));
    }
    let tables = [
        beside.cards.and_then(Result::ok).map(|range| vec![range]),
        beside.marks.and_then(Result::ok),
    ];
    claims.extend(tables.into_iter().flatten().map(|ranges| whole(Account::GcTables, ranges)));
    let metaspace = beside.counters.ok().and_then(|counters| counters.metaspace);
    let metaspace = metaspace.map(|bytes| [(Account::Metaspace, bytes)]);
    claims.extend(metaspace.map(|parts| claim(Extent::Anywhere, &parts)));
    claims.retain(|claim| !claim.parts.is_empty());
    claims
}

/// A heap of shared memory.
fn shared(heap: Heap) -> Claim {
    let free = heap.committed - heap.used;
    let parts = [(Account::HeapInUse, heap.used), (Account::AllocatorFree, free)];
    claim(Extent::Shared(heap.views), &parts)
}

/// Ranges that are of one account.
fn whole(account: Account, ranges: Ranges) -> Claim {
    let bytes = size(&ranges);
    claim(Extent::Ranges(ranges), &[(account, bytes)])
}

fn claim(extent: Extent, parts: &[(Account, u64)]) -> Claim {
    Claim::new(Priority::Runtime, "hotspot", extent, parts)
}
