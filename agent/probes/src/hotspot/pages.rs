//! The words of a process, read page by page and each page once: what stands side
//! by side is of one moment, and costs one reading.

use std::cell::RefCell;
use std::collections::BTreeMap;

use memgap_kernel::memory::{PAGE, Page, Space, u32_at, u64_at};
use memgap_ledger::{Fact, Missing, MissingKind};

/// A way to a variable: an address before the bias, then the offsets to be added
/// to what stands where the way has led to so far.
pub(super) type Path = Vec<u64>;

/// What one reading of a process leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Words that stay as they are once they are there, by their addresses.
    constants: BTreeMap<u64, u64>,
    /// The pages of all other words, in order.
    pages: Vec<u64>,
}

/// What was read so far.
pub(super) struct Pages<'s, 'm> {
    space: &'s Space<'m>,
    bias: u64,
    /// Few, so that looking through them is as quick as it gets; and those of them
    /// that something was asked of.
    read: RefCell<Vec<Page>>,
    asked: RefCell<Vec<u64>>,
    constants: RefCell<BTreeMap<u64, u64>>,
}

impl<'s, 'm> Pages<'s, 'm> {
    /// The words of a process of which nothing is known.
    pub fn new(space: &'s Space<'m>, bias: u64) -> Self {
        let (read, asked, constants) = Default::default();
        Self { space, bias, read, asked, constants }
    }

    /// The words of a process that was read before: what was asked then is read at
    /// once.
    pub fn again(space: &'s Space<'m>, bias: u64, seen: Seen) -> Fact<Self> {
        let read = space.pages(&seen.pages)?.into();
        Ok(Self { read, constants: seen.constants.into(), ..Self::new(space, bias) })
    }

    /// What the next reading may know.
    pub fn into_seen(self) -> Seen {
        let mut pages = self.asked.into_inner();
        pages.sort_unstable();
        Seen { constants: self.constants.into_inner(), pages }
    }

    /// The address that a path leads to.
    pub fn follow(&self, path: &[u64]) -> Fact<u64> {
        let (first, offsets) = path.split_first().ok_or_else(|| no_memory(0))?;
        let mut at = first.wrapping_add(self.bias);
        for offset in offsets {
            at = self.pointer(at)?.wrapping_add(*offset);
        }
        Ok(at)
    }

    /// The word that a path leads to.
    pub fn word_of(&self, path: &[u64]) -> Fact<u64> {
        self.word(self.follow(path)?)
    }

    /// The word that a path leads to, for good.
    pub fn constant_of(&self, path: &[u64]) -> Fact<u64> {
        self.constant(self.follow(path)?)
    }

    /// The address that stands at an address, for good; none is an error.
    pub fn pointer(&self, at: u64) -> Fact<u64> {
        match self.constant(at)? {
            0 => Err(Missing::absent(format!("nothing is at {at:#x}: it is not set up"))),
            address => Ok(address),
        }
    }

    /// The word at an address. It is no other once it is not 0.
    pub fn constant(&self, at: u64) -> Fact<u64> {
        if let Some(word) = self.constants.borrow().get(&at) {
            return Ok(*word);
        }
        let word = self.word(at)?;
        if word != 0 {
            self.constants.borrow_mut().insert(at, word);
        }
        Ok(word)
    }

    /// The word at an address.
    pub fn word(&self, at: u64) -> Fact<u64> {
        self.with(at, u64_at)
    }

    /// The half word that a path leads to, for good.
    pub fn constant_half_of(&self, path: &[u64]) -> Fact<u32> {
        let word = self.constant_of(path)?.to_le_bytes();
        u32_at(&word, 0).ok_or_else(|| no_memory(0))
    }

    /// The half word at an address.
    pub fn half(&self, at: u64) -> Fact<u32> {
        self.with(at, u32_at)
    }

    /// The byte at an address.
    pub fn byte(&self, at: u64) -> Fact<u8> {
        self.with(at, |page, at| page.get(at).copied())
    }

    fn with<T>(&self, at: u64, decode: impl Fn(&[u8], usize) -> Option<T>) -> Fact<T> {
        let start = at - at % PAGE as u64;
        let offset = usize::try_from(at - start).unwrap_or_default();
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&start) {
            asked.push(start);
        }
        let mut read = self.read.borrow_mut();
        if let Some((_, page)) = read.iter().find(|(at, _)| *at == start) {
            return decode(page, offset).ok_or_else(|| no_memory(at));
        }
        let mut page = [0; PAGE];
        self.space.read(start, &mut page)?;
        let value = decode(&page, offset).ok_or_else(|| no_memory(at));
        read.push((start, page));
        value
    }
}

/// No variable of a compiler crosses a page.
fn no_memory(at: u64) -> Missing {
    Missing::new(MissingKind::Malformed, format!("no variable stands at {at:#x}"))
}
