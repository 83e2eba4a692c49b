//! The table of arenas, found by the rules that it and the variables around it keep.

use std::ops::Range;

use memgap_kernel::memory::{Area, Space, WINDOW, u32_at, u64_at};
use memgap_ledger::{Fact, Missing};

use crate::Image;
use crate::probe::broken;

/// `struct arena_object`: address, where the next pool is carved, free pools, all
/// pools, and its neighbours in the lists of unused and of usable arenas.
const ENTRY: usize = 48;
/// The table's first size; it is doubled when it is full.
const FIRST: u64 = 16;
/// The largest table: 16 GiB of arenas.
const LARGEST: u64 = FIRST << 10;

/// `maxarenas` stands by `arenas`, before or behind it as the linker pleases: words
/// apart at most.
const BESIDE: usize = 4;
/// And so do the lists of arenas (`nfp2lasta` has 65 words) and their number.
const AROUND: usize = 80;
/// Tables that are kept until their lists are found elsewhere.
const APART: usize = 8;

/// Where a file keeps the table, before the bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// `arenas`, which points to it.
    pub table: u64,
    /// `maxarenas`: how many entries it has.
    pub len: u64,
}

/// The sizes of what `obmalloc` divides memory into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub arena: u64,
    pub pool: u64,
}

impl Sizes {
    /// Those of CPython 3.`minor`.
    pub fn of(minor: u32) -> Option<Self> {
        match minor {
            0..9 => None,
            9 => Some(Self { arena: 256 << 10, pool: 4 << 10 }),
            _ => Some(Self { arena: 1 << 20, pool: 16 << 10 }),
        }
    }
}

/// An arena, by its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arena {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Its first pool.
    pub pools: u64,
    /// Where the next pool is carved: those below it were in use once.
    pub carved: u64,
    /// Pools in use.
    pub used: u64,
}

/// Finds the table in a process that maps the image.
pub(super) fn find(image: &Image<'_>, sizes: Sizes, space: &Space<'_>) -> Fact<Place> {
    let bias = image.mapped.bias;
    let is_heap = |area: &Area| area.is_writable && area.is_anonymous;
    let heap: Vec<Area> = space.areas()?.into_iter().filter(is_heap).collect();
    let beside = search(image, space, |at, window| {
        let mut tries = candidates(window, &heap).filter(|found| has_list(window, *found));
        tries.find(|found| is_table(window, *found, sizes, space)).map(|found| place(at, found))
    })?;
    let found = match beside {
        None => find_apart(image, &heap, sizes, space)?,
        found => found,
    };
    let Some(Place { table, len }) = found else {
        return Err(Missing::absent(
            "no table of arenas: it runs with another PYTHONMALLOC, is of an unknown build, or not set up",
        ));
    };
    Ok(Place { table: table.wrapping_sub(bias), len: len.wrapping_sub(bias) })
}

/// Finds the table where its lists stand elsewhere, as they do where a linker sorts
/// variables by their names or uses.
fn find_apart(
    image: &Image<'_>,
    heap: &[Area],
    sizes: Sizes,
    space: &Space<'_>,
) -> Fact<Option<Place>> {
    let mut tables = Vec::new();
    search(image, space, |at, window| {
        for found in candidates(window, heap) {
            let table = Table::of(window, found, sizes, space);
            tables.extend(table.map(|table| (place(at, found), table)));
            if tables.len() == APART {
                return Some(());
            }
        }
        None
    })?;
    if tables.is_empty() {
        return Ok(None);
    }
    search(image, space, |at, window| {
        let is_listed = |(place, table): &&(Place, Table)| table.is_listed(*place, at, window);
        tables.iter().find(is_listed).map(|(place, _)| *place)
    })
}

/// Asks of each resident window of the image's variables, which overlap, at its address.
fn search<T>(
    image: &Image<'_>,
    space: &Space<'_>,
    mut ask: impl FnMut(u64, &[u8]) -> Option<T>,
) -> Fact<Option<T>> {
    let mut buf = vec![0; WINDOW];
    for segment in image.elf.segments.iter().filter(|s| s.writable) {
        let start = segment.address.wrapping_add(image.mapped.bias) & !7;
        let end = start.saturating_add(segment.memory_size);
        for (from, to) in space.resident(start, end)? {
            let (mut at, to) = (from.max(start), to.min(end));
            while at < to {
                let len = usize::try_from(to - at).unwrap_or(WINDOW).min(WINDOW);
                space.read(at, &mut buf[..len])?;
                if let Some(found) = ask(at, &buf[..len]) {
                    return Ok(Some(found));
                }
                if len < WINDOW {
                    break;
                }
                // The next window sees what this one cuts.
                at += (WINDOW - 2 * 8 * AROUND) as u64;
            }
        }
    }
    Ok(None)
}

fn place(at: u64, (table, len): (usize, usize)) -> Place {
    Place { table: at + table as u64, len: at + len as u64 }
}

/// A table that keeps the rules.
struct Table {
    start: u64,
    len: u64,
    arenas: u64,
}

impl Table {
    fn of(
        window: &[u8],
        (at, len): (usize, usize),
        sizes: Sizes,
        space: &Space<'_>,
    ) -> Option<Self> {
        let (start, len) = (u64_at(window, at)?, u32_at(window, len)?.into());
        let arenas = arenas(start, len, sizes, space).ok()?.len() as u64;
        Some(Self { start, len, arenas })
    }

    /// Whether a variable of the window points to an entry, and another beside it is the
    /// number of arenas.
    fn is_listed(&self, place: Place, at: u64, window: &[u8]) -> bool {
        (0..window.len()).step_by(8).any(|word| {
            at + word as u64 != place.table
                && u64_at(window, word).is_some_and(|it| is_entry(it, self.start, self.len))
                && around(word, AROUND, window)
                    .step_by(8)
                    .any(|count| u64_at(window, count) == Some(self.arenas))
        })
    }
}

/// Reads the arenas of a process.
pub(super) fn read(place: Place, bias: u64, sizes: Sizes, space: &Space<'_>) -> Fact<Vec<Arena>> {
    let [table] = space.words::<1>(place.table.wrapping_add(bias))?;
    let mut len = [0; 4];
    space.read(place.len.wrapping_add(bias), &mut len)?;
    let len = u64::from(u32::from_le_bytes(len));
    if table == 0 || !is_len(len) {
        return Err(broken("the table of arenas has no sound length"));
    }
    arenas(table, len, sizes, space)
}

/// The places in a window, in bytes, that may be `arenas` and `maxarenas`: a pointer
/// into the heap by a length.
fn candidates(bytes: &[u8], heap: &[Area]) -> impl Iterator<Item = (usize, usize)> {
    let is_heap = |address: u64| {
        let behind = heap.partition_point(|area| area.end <= address);
        address.is_multiple_of(16) && heap.get(behind).is_some_and(|area| area.start <= address)
    };
    (0..bytes.len()).step_by(8).filter(move |at| u64_at(bytes, *at).is_some_and(is_heap)).flat_map(
        move |at| {
            let lens = around(at, BESIDE, bytes).step_by(4);
            lens.filter(move |len| u32_at(bytes, *len).is_some_and(|len| is_len(len.into())))
                .map(move |len| (at, len))
        },
    )
}

/// Whether a word around points to an entry of the table, as the lists do.
fn has_list(bytes: &[u8], (at, len): (usize, usize)) -> bool {
    let (Some(table), Some(len)) = (u64_at(bytes, at), u32_at(bytes, len)) else { return false };
    around(at, AROUND, bytes).step_by(8).any(|other| {
        other != at && u64_at(bytes, other).is_some_and(|it| is_entry(it, table, len.into()))
    })
}

fn is_entry(address: u64, table: u64, len: u64) -> bool {
    let offset = address.wrapping_sub(table);
    offset < len * ENTRY as u64 && offset.is_multiple_of(ENTRY as u64)
}

/// Whether there is a table, and around what points to it the number of its arenas.
fn is_table(bytes: &[u8], (at, len): (usize, usize), sizes: Sizes, space: &Space<'_>) -> bool {
    Table::of(bytes, (at, len), sizes, space).is_some_and(|table| {
        around(at, AROUND, bytes).step_by(8).any(|word| u64_at(bytes, word) == Some(table.arenas))
    })
}

/// The bytes within some words of a place.
fn around(at: usize, words: usize, bytes: &[u8]) -> Range<usize> {
    at.saturating_sub(words * 8)..(at + (words + 1) * 8).min(bytes.len())
}

fn is_len(len: u64) -> bool {
    (FIRST..=LARGEST).contains(&len) && len.is_power_of_two()
}

/// The arenas of the table, where every entry keeps the rules.
fn arenas(table: u64, len: u64, sizes: Sizes, space: &Space<'_>) -> Fact<Vec<Arena>> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default() * ENTRY];
    space.read(table, &mut bytes)?;
    let mut arenas = Vec::new();
    for entry in bytes.chunks_exact(ENTRY) {
        arenas.extend(arena(entry, sizes)?);
    }
    if arenas.is_empty() {
        return Err(broken("the table holds no arena"));
    }
    arenas.sort_unstable_by_key(|arena| arena.start);
    if arenas.windows(2).any(|pair| pair[0].end > pair[1].start) {
        return Err(broken("two arenas overlap"));
    }
    Ok(arenas)
}

/// The arena of an entry; none where it is unused.
fn arena(entry: &[u8], Sizes { arena, pool }: Sizes) -> Fact<Option<Arena>> {
    let words = || {
        let (start, carved) = (u64_at(entry, 0)?, u64_at(entry, 8)?);
        Some((start, carved, u32_at(entry, 16)?.into(), u32_at(entry, 20)?.into()))
    };
    let (start, carved, free, all): (u64, u64, u64, u64) =
        words().ok_or_else(|| broken("an entry is cut"))?;
    if start == 0 {
        return Ok(None);
    }
    let end = start.checked_add(arena).ok_or_else(|| broken("an arena leads out of memory"))?;
    let pools = start.next_multiple_of(pool);
    let room = (end - pools) / pool;
    let past = carved.wrapping_sub(pools);
    let is_carved = past.is_multiple_of(pool) && past / pool <= room;
    // Pools that were never carved are free, and so may others be.
    if all != room || !is_carved || free > all || free < all - past / pool {
        return Err(broken("the pools of an arena do not add up"));
    }
    Ok(Some(Arena { start, end, pools, carved, used: all - free }))
}
