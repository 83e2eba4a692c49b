//! The lists of free chunks, followed link by link, as far as a budget goes.

use std::collections::HashMap;

use memgap_kernel::memory::{Space, u64_at};
use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::{Fact, Missing, MissingKind};

use super::arena::{Arena, BINS, FAST_BINS, FLAGS};
use super::{ALIGN, is_chunk};
use crate::probe::broken;

/// What is read at once of the target's pages; no page is smaller.
pub(super) const BLOCK: u64 = 4096;
/// What is read at once where all of it is looked at anyway.
const AHEAD: u64 = 16 * BLOCK;
/// `MINSIZE`: the smallest chunk.
pub(super) const SMALLEST: u64 = 32;
/// Bins 2 to 63 hold chunks of one size each, 16 bytes apart.
const SMALL_BINS: usize = 64;
/// Chunks of a page and more that are kept by address.
const MAX_WIDE: usize = 1 << 16;

/// How far lists are followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub chunks: usize,
    /// Blocks that are read: each is a page of the target's that counts as used then.
    pub blocks: usize,
}

/// What the lists reported.
#[derive(Debug, Clone)]
pub(super) struct Chase {
    /// Free bytes of each arena, as far as its lists were followed.
    pub free: Vec<u64>,
    /// Of these, on lists that a chunk may leave from the middle: nothing in the arena
    /// shows it where others of its size stay.
    pub large: Vec<u64>,
    /// Whether every list of the arena was followed to its end.
    pub whole: Vec<bool>,
    /// Chunks that were met.
    pub chunks: usize,
    /// Of these, the ones of a page and more of each arena, by address and in order.
    pub wide: Vec<Ranges>,
    /// Why not all lists were followed to their ends: refused, where that is for the
    /// budget; else because a rule of theirs does not hold.
    pub lack: Option<Missing>,
}

/// Follows the lists of all arenas, those of the largest chunks first. Blocks that were
/// read before count in the budget, and are not read again.
pub(super) fn follow(arenas: &[Arena], budget: Budget, blocks: &mut Blocks<'_, '_>) -> Chase {
    // The first bin holds chunks that were freed of late, of any size.
    let bins = std::iter::once(0).chain((1..BINS).rev()).map(List::Double);
    run(arenas, bins.chain(fast()), budget, blocks)
}

/// Follows the fast lists only.
pub(super) fn follow_fast(arena: &Arena, budget: Budget, space: &Space<'_>) -> Chase {
    let mut blocks = Blocks { ahead: AHEAD, ..Blocks::of(space) };
    run(std::slice::from_ref(arena), fast(), budget, &mut blocks)
}

/// A list of an arena, by its place among those of its kind.
#[derive(Debug, Clone, Copy)]
enum List {
    Double(usize),
    Single(usize),
}

fn fast() -> impl Iterator<Item = List> {
    (0..FAST_BINS).rev().map(List::Single)
}

fn run(
    arenas: &[Arena],
    all: impl Iterator<Item = List>,
    budget: Budget,
    blocks: &mut Blocks<'_, '_>,
) -> Chase {
    blocks.left = budget.blocks.saturating_sub(blocks.blocks.len());
    let mut lists = Lists {
        blocks,
        free: 0,
        chunks: 0,
        most: budget.chunks,
        wide: Vec::new(),
        wider: MAX_WIDE,
    };
    let (mut free, mut whole) = (vec![0u64; arenas.len()], vec![true; arenas.len()]);
    let mut large = vec![0u64; arenas.len()];
    let mut wide = vec![Ranges::new(); arenas.len()];
    let mut lack: Option<Missing> = None;
    for list in all {
        let sums = free.iter_mut().zip(&mut large).zip(&mut wide);
        for ((arena, ((free, large), wide)), whole) in arenas.iter().zip(sums).zip(&mut whole) {
            // Where the budget is spent no list is begun; an empty one needs none.
            let is_spent = lack.as_ref().is_some_and(|lack| lack.kind == MissingKind::Refused);
            if is_spent {
                *whole &= is_empty(arena, list);
                continue;
            }
            let done = match list {
                List::Double(bin) => lists.double(arena, bin),
                List::Single(at) => lists.single(arena, at),
            };
            let listed = std::mem::take(&mut lists.free);
            *free = free.saturating_add(listed);
            wide.append(&mut lists.wide);
            if matches!(list, List::Double(bin) if bin + 1 >= SMALL_BINS) {
                *large = large.saturating_add(listed);
            }
            if let Err(why) = done {
                *whole = false;
                lack = Some(why);
            }
        }
    }
    for wide in &mut wide {
        wide.sort_unstable();
    }
    Chase { free, large, whole, chunks: lists.chunks, wide, lack }
}

fn is_empty(arena: &Arena, list: List) -> bool {
    match list {
        List::Double(bin) => {
            let [first, _] = arena.pair(bin);
            first == 0 || first == arena.head(bin)
        }
        List::Single(at) => arena.fast.get(at).is_none_or(|head| *head == 0),
    }
}

struct Lists<'b, 's, 'm> {
    blocks: &'b mut Blocks<'s, 'm>,
    free: u64,
    chunks: usize,
    most: usize,
    /// Of the chunks, those of a page and more; and how many more are kept.
    wide: Ranges,
    wider: usize,
}

impl Lists<'_, '_, '_> {
    /// A ring of chunks, linked both ways.
    fn double(&mut self, arena: &Arena, bin: usize) -> Fact<()> {
        let head = arena.head(bin);
        let [mut at, last] = arena.pair(bin);
        if at == 0 && last == 0 {
            // Nothing was ever allocated.
            return Ok(());
        }
        let mut previous = head;
        while at != head {
            if !arena.holds(at) || self.blocks.word(at + 24)? != previous {
                return Err(broken("the links of free chunks do not agree"));
            }
            let size = self.chunk(arena, at)?;
            let of_bin = (2..SMALL_BINS).contains(&(bin + 1)).then(|| (bin as u64 + 1) * ALIGN);
            if of_bin.is_some_and(|of_bin| of_bin != size) {
                return Err(broken("a free chunk is not of its bin's size"));
            }
            previous = at;
            at = self.blocks.word(at + 16)?;
        }
        if last != previous {
            return Err(broken("a bin's last chunk is not the last of its list"));
        }
        Ok(())
    }

    /// A list of `fastbinsY`, whose links are mangled since 2.32.
    fn single(&mut self, arena: &Arena, list: usize) -> Fact<()> {
        let mut at = arena.fast.get(list).copied().unwrap_or(0);
        let size = SMALLEST + list as u64 * ALIGN;
        // A chunk of some steps before, then of twice as many: a circle meets it.
        let (mut met, mut steps) = (0, 0usize);
        while at != 0 {
            if at == met {
                return Err(broken("fast chunks lead in a circle"));
            }
            steps += 1;
            if steps.is_power_of_two() {
                met = at;
            }
            if self.chunk(arena, at)? != size {
                return Err(broken("a fast chunk is not of its list's size"));
            }
            let link = self.blocks.word(at + 16)?;
            let plain = link ^ ((at + 16) >> 12);
            let is_next = |next: u64| next == 0 || arena.holds(next);
            at = match [plain, link].into_iter().find(|next| is_next(*next)) {
                Some(next) => next,
                None => return Err(broken("a fast chunk leads out of its arena")),
            };
        }
        Ok(())
    }

    /// Counts a chunk and gives its size.
    fn chunk(&mut self, arena: &Arena, at: u64) -> Fact<u64> {
        if self.chunks >= self.most {
            return Err(over("chunks"));
        }
        if !arena.holds(at) {
            return Err(broken("a free chunk lies outside its arena"));
        }
        let size = self.blocks.word(at + 8)? & !FLAGS;
        let end = at.saturating_add(size);
        if size < SMALLEST || size > arena.system_mem || !is_chunk(end) {
            return Err(broken("a free chunk is larger than its arena"));
        }
        self.chunks += 1;
        if size >= BLOCK && self.wider > 0 {
            self.wider -= 1;
            self.wide.push((at, end));
        }
        self.free = self.free.saturating_add(size);
        if self.free > arena.system_mem {
            return Err(broken("more is free than the arena holds"));
        }
        Ok(size)
    }
}

/// Parts of memory that were read, each once.
pub(super) struct Blocks<'s, 'm> {
    space: &'s Space<'m>,
    blocks: HashMap<u64, Box<[u8]>>,
    left: usize,
    /// Bytes that are read at once where all of them are resident.
    ahead: u64,
}

impl<'s, 'm> Blocks<'s, 'm> {
    pub fn of(space: &'s Space<'m>) -> Self {
        Self { space, blocks: HashMap::new(), left: 0, ahead: BLOCK }
    }

    /// How many were read.
    pub fn count(&self) -> usize {
        self.blocks.len()
    }

    fn word(&mut self, address: u64) -> Fact<u64> {
        let start = address / BLOCK * BLOCK;
        if !self.blocks.contains_key(&start) {
            self.left = self.left.checked_sub(1).ok_or_else(|| over("pages"))?;
            let ahead = address / self.ahead * self.ahead;
            if self.load(ahead, self.ahead).is_err() {
                self.load(start, BLOCK)?;
            }
        }
        let at = usize::try_from(address - start).unwrap_or_default();
        let word = self.blocks.get(&start).and_then(|block| u64_at(block, at));
        word.ok_or_else(|| broken("a chunk is not aligned"))
    }

    fn load(&mut self, start: u64, len: u64) -> Fact<()> {
        let size = |len: u64| usize::try_from(len).unwrap_or_default();
        let mut bytes = vec![0; size(len)];
        self.space.read(start, &mut bytes)?;
        for (at, block) in (start..).step_by(size(BLOCK)).zip(bytes.chunks(size(BLOCK))) {
            self.blocks.entry(at).or_insert_with(|| block.into());
        }
        Ok(())
    }
}

fn over(what: &str) -> Missing {
    Missing::new(MissingKind::Refused, format!("the bound of {what} is reached"))
}
