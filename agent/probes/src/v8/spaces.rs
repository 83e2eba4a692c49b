//! Spaces: each counts what its chunks hold, so that nobody needs to look at them.

use std::iter;

use memgap_kernel::memory::Space;
use memgap_ledger::{Fact, Missing, MissingKind};

use super::Heap;
use super::chunk::{self, ALIGNED};
use super::shape::{Kind, SHAPES, Shape};
use crate::probe::broken;

/// Words at the beginning of a heap among which the pointers to its spaces are.
const OF_HEAP: usize = 128;
/// Words of a space that are read.
const OF_SPACE: usize = 96;
/// In a space, in words: the heap it is of, its number, what it has committed.
const HEAP: usize = 1;
const NUMBER: usize = 2;
const COMMITTED: usize = 3;
/// Spaces that every heap has: new, old, code and large ones.
const AT_LEAST: usize = 4;
/// Places where a chunk is looked for.
const PLACES: usize = 64;
/// Heaps that are looked at: a chunk may be of one that has ended.
const HEAPS: usize = 16;
/// Readings of spaces that the program changes meanwhile.
const TRIES: usize = 4;

/// What the spaces of a heap count, in bytes; compiled code is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Of all chunks, with their headers.
    pub committed: u64,
    /// What is no room for objects: headers, and the ends of large objects.
    pub headers: u64,
    /// Old and large objects.
    pub old: u64,
    /// Room for them that is free.
    pub free: u64,
    /// The half of new space where new objects come to.
    pub young: u64,
    /// The other half, to copy to.
    pub evacuated: u64,
}

/// How the heap of a process is laid out.
pub(super) fn find(space: &Space<'_>) -> Fact<Heap> {
    let areas = space.areas()?;
    for shape in SHAPES {
        let places = chunk::places(&areas).take(PLACES);
        let mut heaps = Vec::new();
        for area in places {
            if let Some(chunk) = chunk::chunk(area.start, shape, space)?
                && !heaps.contains(&chunk.heap)
            {
                heaps.push(chunk.heap);
                if let Some(found) = lay_out(chunk.heap, shape, space)? {
                    return Ok(found);
                }
            }
            if heaps.len() == HEAPS {
                break;
            }
        }
    }
    let known = SHAPES.map(|shape| shape.versions).join(", ");
    Err(Missing::absent(format!(
        "V8 shows no heap as of {known}: it has none, or is of another version"
    )))
}

/// The layout by one heap: where pointers stand to spaces that know their numbers.
fn lay_out(heap: u64, shape: Shape, space: &Space<'_>) -> Fact<Option<Heap>> {
    let mut bytes = [0; OF_HEAP * 8];
    if !space.read_if_resident(heap, &mut bytes)? {
        return Ok(None);
    }
    let mut numbers = [None; OF_HEAP];
    let (words, _) = bytes.as_chunks::<8>();
    for (number, word) in iter::zip(&mut numbers, words) {
        *number = number_of(u64::from_le_bytes(*word), heap, space)?;
    }
    let known = |at: usize| {
        let inside = numbers[at..].iter().take(shape.kinds.len());
        inside.enumerate().filter(|(index, number)| **number == Some(*index)).count()
    };
    for at in (0..OF_HEAP).filter(|at| known(*at) >= AT_LEAST) {
        let found = Heap { shape, spaces: at as u64 * 8 };
        if read(found, heap, space).is_ok() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The number of the space of a heap at an address, if one is there.
fn number_of(address: u64, heap: u64, space: &Space<'_>) -> Fact<Option<usize>> {
    let mut bytes = [0; (NUMBER + 1) * 8];
    let is_it = address != 0 && address.is_multiple_of(8);
    if !is_it || !space.read_if_resident(address, &mut bytes)? {
        return Ok(None);
    }
    let (words, _) = bytes.as_chunks::<8>();
    let is_of_heap = u64::from_le_bytes(words[HEAP]) == heap;
    Ok(Some(number(u64::from_le_bytes(words[NUMBER]))).filter(|_| is_of_heap))
}

/// A space has its number in half a word.
fn number(word: u64) -> usize {
    usize::try_from(word & u64::from(u32::MAX)).unwrap_or(usize::MAX)
}

/// What the spaces of a heap count. Where they are none, the heap has ended: the chunks
/// that V8 keeps for the next one still point to it.
pub(super) fn read(layout: Heap, heap: u64, space: &Space<'_>) -> Fact<Counts> {
    let mut tries = 1;
    loop {
        match read_once(layout, heap, space) {
            Err(Missing { kind: MissingKind::Malformed, .. }) if tries < TRIES => tries += 1,
            counts => return counts,
        }
    }
}

fn read_once(Heap { shape, spaces }: Heap, heap: u64, space: &Space<'_>) -> Fact<Counts> {
    let first = heap.checked_add(spaces).ok_or_else(|| broken("a heap is nowhere"))?;
    let mut pointers = vec![0; shape.kinds.len() * 8];
    read_into(&mut pointers, first, space)?;
    let (pointers, _) = pointers.as_chunks::<8>();
    let mut counts = Counts::default();
    let mut halves = None;
    let mut found = 0;
    for (index, (kind, pointer)) in iter::zip(shape.kinds, pointers).enumerate() {
        let pointer = u64::from_le_bytes(*pointer);
        if pointer == 0 || *kind == Kind::ReadOnly {
            continue;
        }
        let mut bytes = [[0; 8]; OF_SPACE];
        read_into(bytes.as_flattened_mut(), pointer, space)?;
        let words = bytes.map(u64::from_le_bytes);
        if words[HEAP] != heap || number(words[NUMBER]) != index {
            return Err(broken("a space is not of its heap"));
        }
        found += 1;
        match kind {
            Kind::Paged => counts.add_paged(&words, shape.capacity)?,
            Kind::LargeData => counts.add_large(&words, shape.large)?,
            Kind::New => halves = Some(halves_of(&words)?),
            Kind::Code | Kind::LargeCode | Kind::ReadOnly => {}
        }
    }
    let (young, evacuated) = halves.ok_or_else(|| broken("a heap has no new space"))?;
    if found < AT_LEAST {
        return Err(broken("a heap lacks spaces"));
    }
    counts.add_new(young, evacuated);
    Ok(counts)
}

/// A heap that has ended may leave nothing where it was.
fn read_into(bytes: &mut [u8], address: u64, space: &Space<'_>) -> Fact<()> {
    let is_there = space.read_if_resident(address, bytes)?;
    is_there.then_some(()).ok_or_else(|| broken("a heap is not in memory"))
}

impl Counts {
    fn add_paged(&mut self, words: &[u64; OF_SPACE], capacity: usize) -> Fact<()> {
        let committed = words[COMMITTED];
        let [of_one, all, most, allocated] = [0, 1, 2, 3].map(|i| words[capacity - 1 + i]);
        let is_sized = of_one < ALIGNED && ALIGNED / 8 * 7 < of_one;
        if !is_sized || committed < all || most < all || all < allocated {
            return Err(broken("a space does not add up"));
        }
        self.committed = self.committed.saturating_add(committed);
        self.headers = self.headers.saturating_add(committed - all);
        self.old = self.old.saturating_add(allocated);
        self.free = self.free.saturating_add(all - allocated);
        Ok(())
    }

    fn add_large(&mut self, words: &[u64; OF_SPACE], large: usize) -> Fact<()> {
        let [size, _, objects] = [0, 1, 2].map(|i| words[large + i]);
        if size != words[COMMITTED] || size < objects {
            return Err(broken("a space of large objects does not add up"));
        }
        self.committed = self.committed.saturating_add(size);
        self.headers = self.headers.saturating_add(size - objects);
        self.old = self.old.saturating_add(objects);
        Ok(())
    }

    fn add_new(&mut self, young: u64, evacuated: u64) {
        self.committed = self.committed.saturating_add(young).saturating_add(evacuated);
        self.young = young;
        self.evacuated = evacuated;
    }

    /// The sum of two heaps.
    pub fn plus(self, other: Self) -> Self {
        Self {
            committed: self.committed.saturating_add(other.committed),
            headers: self.headers.saturating_add(other.headers),
            old: self.old.saturating_add(other.old),
            free: self.free.saturating_add(other.free),
            young: self.young.saturating_add(other.young),
            evacuated: self.evacuated.saturating_add(other.evacuated),
        }
    }
}

/// What the halves of new space have committed: they stand in it, spaces both of the
/// same sort and with its number. First is the one where new objects come to.
fn halves_of(words: &[u64; OF_SPACE]) -> Fact<(u64, u64)> {
    let is_half = |at: &usize| {
        words[at + HEAP] == words[HEAP] && number(words[at + NUMBER]) == number(words[NUMBER])
    };
    let mut halves = (COMMITTED..OF_SPACE - COMMITTED).filter(is_half);
    match (halves.next(), halves.next()) {
        (Some(to), Some(from)) if words[to] == words[from] => {
            Ok((words[to + COMMITTED], words[from + COMMITTED]))
        }
        _ => Err(broken("new space has no halves")),
    }
}
