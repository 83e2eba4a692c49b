//! The words of a process, read page by page and each page once: what stands side
//! by side is of one moment, and costs one reading.

use std::cell::RefCell;
use std::collections::HashMap;

use memgap_ledger::{Fact, Missing, MissingKind};

use crate::memory::{Space, u32_at, u64_at};

/// What is read at once; the smallest page of a machine.
const PAGE: usize = 4096;

/// A way to a variable: an address before the bias, then the offsets to be added
/// to what stands where the way has led to so far.
pub(super) type Path = Vec<u64>;

/// What was read so far.
pub(super) struct Pages<'s, 'm> {
    space: &'s Space<'m>,
    bias: u64,
    read: RefCell<HashMap<u64, [u8; PAGE]>>,
}

impl<'s, 'm> Pages<'s, 'm> {
    pub fn new(space: &'s Space<'m>, bias: u64) -> Self {
        Self { space, bias, read: RefCell::default() }
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

    /// The address that stands at an address; none is an error.
    pub fn pointer(&self, at: u64) -> Fact<u64> {
        match self.word(at)? {
            0 => Err(Missing::absent(format!("nothing is at {at:#x} yet: the program starts"))),
            address => Ok(address),
        }
    }

    /// The word at an address.
    pub fn word(&self, at: u64) -> Fact<u64> {
        self.with(at, u64_at)
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
        let mut read = self.read.borrow_mut();
        if let Some(page) = read.get(&start) {
            return decode(page, offset).ok_or_else(|| no_memory(at));
        }
        let mut page = [0; PAGE];
        self.space.read(start, &mut page)?;
        let value = decode(&page, offset).ok_or_else(|| no_memory(at));
        read.insert(start, page);
        value
    }
}

/// No variable of a compiler crosses a page.
fn no_memory(at: u64) -> Missing {
    Missing::new(MissingKind::Malformed, format!("no variable stands at {at:#x}"))
}
