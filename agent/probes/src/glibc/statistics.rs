//! The heap statistics: what the arenas hold, less what is free in them.

use memgap_kernel::memory::{Space, u32_at, u64_at};
use memgap_kernel::source::pagemap::{Ranges, size};
use memgap_ledger::runtime::Runtime;
use memgap_ledger::{Fact, MissingKind};

use super::arena::{self, Arena};
use super::free::{self, Free};
use super::locate::MMAP_MAX;
use super::{ADDRESSES, Malloc, SMALLEST_PAGE, claims, mapped};
use crate::probe::broken;
use crate::{Detail, HeapStatistics};

/// Readings of heap statistics that a running program changes meanwhile.
const fn tries(detail: Detail) -> usize {
    match detail {
        Detail::Counters => 4,
        Detail::Pages => 2,
    }
}

/// Everything that is read at one time.
#[derive(Debug)]
pub(super) struct Read {
    pub arenas: Vec<Arena>,
    pub parameters: Parameters,
    pub free: Free,
    /// Whether nothing changed meanwhile.
    is_still: bool,
}

/// What the lists said of arenas, and how the arenas were then.
#[derive(Debug, Default)]
pub(super) struct Kept(Option<(Vec<Arena>, Free)>);

impl Kept {
    /// What was known of the same arenas. A large chunk that is taken whole from the
    /// middle of its list changes none of their words, so those may be in use by now.
    fn of(&self, arenas: &[Arena]) -> Option<Free> {
        self.0.as_ref().filter(|(then, _)| then == arenas).map(|(_, free)| free.of_then())
    }
}

/// What counts of `mp_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameters {
    sbrk_base: u64,
    /// The most mappings that chunks may have.
    limit: u32,
    /// Chunks with a mapping of their own, and their bytes.
    pub mappings: u32,
    pub mapped: u64,
    /// Chunks that a thread may keep of one size.
    fill: u16,
}

impl Read {
    fn of(
        malloc: &Malloc,
        bias: u64,
        space: &Space<'_>,
        detail: Detail,
        kept: &Kept,
    ) -> Fact<Self> {
        let main = malloc.main_arena.wrapping_add(bias);
        let parameters = Parameters::read(malloc, bias, space)?;
        let all = || arena::all(main, malloc.shape, parameters.sbrk_base, space);
        let arenas = all()?;
        // By what `mp_` was distinguished in the process in which it was found.
        if parameters.limit != MMAP_MAX && arenas.first().is_none_or(|main| main.heaps.is_empty()) {
            return Err(broken("mp_ knows neither where the break began nor its usual limits"));
        }
        let free = match detail {
            Detail::Counters => match kept.of(&arenas) {
                Some(free) => return Ok(Self { arenas, parameters, free, is_still: true }),
                None => free::by_lists(&arenas, space),
            },
            Detail::Pages => free::by_chunks(&arenas, parameters.fill, space),
        };
        let is_still = all().is_ok_and(|again| again == arenas)
            && Parameters::read(malloc, bias, space).is_ok_and(|again| again == parameters);
        Ok(Self { arenas, parameters, free, is_still })
    }

    /// Whether another reading can tell no more.
    fn is_final(&self) -> bool {
        let is_spent = |kind| kind == MissingKind::Refused;
        self.is_still && self.free.lack.as_ref().is_none_or(|lack| is_spent(lack.kind))
    }

    /// Bytes that may be free or not.
    fn open(&self) -> u64 {
        self.free.sum(|arena| arena.unknown.saturating_add(arena.guessed))
    }

    fn system_mem(&self) -> u64 {
        self.arenas.iter().fold(0, |sum, arena| sum.saturating_add(arena.system_mem))
    }

    /// Bytes of the chunks at the ends of arenas.
    fn tops(&self) -> u64 {
        self.arenas.iter().map(Arena::top_size).fold(0, u64::saturating_add)
    }

    /// Bytes that are free, the chunks at the ends of arenas too.
    fn free(&self) -> u64 {
        let listed = self.free.sum(|arena| arena.free.saturating_add(arena.cached));
        listed.saturating_add(self.tops())
    }

    fn in_use(&self) -> u64 {
        self.system_mem().saturating_sub(self.free()).saturating_add(self.parameters.mapped)
    }
}

impl Parameters {
    fn read(malloc: &Malloc, bias: u64, space: &Space<'_>) -> Fact<Self> {
        // `sbrk_base` is followed by three words on the caches of threads.
        const BEHIND: usize = 32;
        let p = malloc.parameters;
        let mut bytes = [0; 64 + BEHIND];
        let too_large = || broken("mp_ is larger than it is known to be");
        let place = |address: u64| usize::try_from(address.wrapping_sub(p.mappings)).ok();
        let (base, mapped) = place(p.sbrk_base).zip(place(p.mapped)).ok_or_else(too_large)?;
        let bytes = bytes.get_mut(..base.saturating_add(BEHIND)).ok_or_else(too_large)?;
        space.read(p.mappings.wrapping_add(bias), bytes)?;
        let of = || {
            Some(Self {
                sbrk_base: u64_at(bytes, base)?,
                mappings: u32_at(bytes, 0)?,
                limit: u32_at(bytes, 4)?,
                mapped: u64_at(bytes, mapped)?,
                fill: u64_at(bytes, base + 24)?.try_into().unwrap_or(0),
            })
        };
        let read = of().ok_or_else(too_large)?;
        let is_sum = read.mapped.is_multiple_of(SMALLEST_PAGE) && read.mapped < ADDRESSES;
        if (read.mappings == 0) != (read.mapped == 0) || !is_sum {
            return Err(broken("the number of mapped chunks does not agree with their size"));
        }
        Ok(read)
    }
}

/// Reads the heap statistics of a process.
pub(super) fn read(
    malloc: &Malloc,
    bias: u64,
    space: &Space<'_>,
    detail: Detail,
    kept: &mut Kept,
) -> Fact<HeapStatistics> {
    let mut sums = Vec::new();
    let mut last = Read::of(malloc, bias, space, detail, kept);
    for _ in 1..tries(detail) {
        if last.as_ref().is_ok_and(Read::is_final) {
            break;
        }
        sums.extend(last.as_ref().map(Read::in_use));
        // A later reading may tell less, for what the earlier ones spent.
        let next = Read::of(malloc, bias, space, detail, kept);
        let open = |read: &Fact<Read>| read.as_ref().map_or(u64::MAX, Read::open);
        if open(&next) <= open(&last) {
            last = next;
        }
    }
    let read = last?;
    sums.push(read.in_use());
    if read.is_final() {
        // Then earlier readings tell of another time.
        sums = vec![read.in_use()];
    }
    let located = match detail {
        Detail::Counters => Ranges::new(),
        // What is not found is claimed by amount.
        Detail::Pages => mapped::chunks(read.parameters.mappings, read.parameters.mapped, space)
            .unwrap_or_default(),
    };
    let unknown = read.free.sum(|arena| arena.unknown);
    let low = sums.iter().min().map_or(0, |low| low.saturating_sub(unknown));
    let guessed = read.free.sum(|arena| arena.guessed);
    let high = sums.iter().max().map_or(0, |high| high.saturating_add(guessed));
    let trimmable = match detail {
        Detail::Counters => None,
        Detail::Pages => free::trimmable(&read.arenas, &read.free, space).ok(),
    };
    let runtime = Runtime {
        version: malloc.version.clone(),
        in_use: Some(read.in_use()),
        in_use_bounds: (low < high).then_some((low, high)),
        free: Some(read.free()),
        trimmable,
        evidence: evidence(&read, sums.len(), located.len(), detail),
        ..Runtime::named("glibc")
    };
    let claims = claims::of(&read.arenas, &read.free, read.parameters.mapped, &located);
    if detail == Detail::Counters {
        *kept = Kept(read.is_final().then_some((read.arenas, read.free)));
    }
    Ok(HeapStatistics { runtime, claims })
}

fn evidence(read: &Read, tries: usize, located: usize, detail: Detail) -> Vec<String> {
    let free = &read.free;
    let (arenas, chunks) = (read.arenas.len(), free.chunks);
    let mut lines = vec![
        "main_arena found by its last bin, which is never used, and by the list of arenas that leads back to it".to_owned(),
        format!("arenas whose heaps make up what they hold: {arenas}"),
    ];
    lines.push(match detail {
        Detail::Counters => format!("free chunks on lists that agree both ways: {chunks}"),
        Detail::Pages => format!(
            "chunks that lead from the first to the top: {chunks}; {} threads keep {} bytes of free ones",
            free.caches,
            free.sum(|arena| arena.cached)
        ),
    });
    if detail == Detail::Pages {
        let (tops, whole) = (read.tops(), free.sum(|arena| size(&arena.whole)));
        let parts = read.free().saturating_sub(tops).saturating_sub(whole);
        lines.push(format!(
            "free bytes: {tops} at the ends of arenas, {whole} in whole pages, {parts} in parts of pages"
        ));
    }
    let count = read.parameters.mappings;
    if count > 0 {
        lines.push(match detail {
            Detail::Counters => format!("chunks with a mapping of their own: {count}"),
            Detail::Pages => {
                format!(
                    "chunks with a mapping of their own: {count}, found by their headers: {located}"
                )
            }
        });
    }
    if let Some(lack) = &free.lack {
        lines.push(match free.sampled {
            0 => format!("in use is at most what the lists leave, for {lack}"),
            pages => format!("what is free beyond that is judged by {pages} pages, for {lack}"),
        });
    }
    if tries > 1 {
        lines.push(format!("the program changed them in each of {tries} readings"));
    }
    lines
}
