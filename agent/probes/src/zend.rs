//! PHP: Zend's memory manager keeps its heap in chunks of 2 MiB, the first of which holds
//! the heap's own counters (Zend/zend_alloc.c).

mod chunk;
mod heap;
mod statistics;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;

use memgap_kernel::memory::{Space, u64_at};
use memgap_ledger::{Fact, Missing};

use super::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};
use crate::elf::Elf;
use heap::Shape;

/// The probe.
#[derive(Debug)]
pub(super) struct Zend;

/// The owner of its claims.
const NAME: &str = "zend";

/// Pointers that look like one to a heap and are followed; a program that shows more is
/// made to.
const MAX_POINTERS: usize = 64;

impl Probe for Zend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "PHP 7.4 to 8.4: the memory manager of builds without threads"
    }

    /// What its files hold tells them: the registry has that.
    fn detect(&self, _: &Elf, _: &[u8], _: &File) -> bool {
        false
    }

    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        let mut left = MAX_POINTERS;
        let mut shape = None;
        let found = image.find_variable(8, space, |_, bytes| {
            let pointer = u64_at(bytes, 0).filter(|word| heap::is_place(*word));
            if let Some(heap) = pointer.filter(|_| left > 0) {
                left -= 1;
                shape = Shape::of(heap, space).ok();
            }
            shape.is_some()
        })?;
        let (Some(heap), Some(shape)) = (found, shape) else {
            return Err(Missing::absent(
                "no variable leads to a heap that keeps its rules: its file is of a build with threads, or of an unknown version, or USE_ZEND_ALLOC=0 leaves all to malloc",
            ));
        };
        Ok(Arc::new(Variables { heap, shape }))
    }
}

/// Where a file keeps the pointer to the heap, and what stands where in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Variables {
    /// `alloc_globals.mm_heap`, before the bias.
    heap: u64,
    shape: Shape,
}

impl Layout for Variables {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics> {
        statistics::read(*self, mapped.bias, space, detail)
    }
}
