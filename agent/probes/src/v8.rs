//! V8: its heap is made of chunks that begin at multiples of 256 KiB, each with a
//! header that leads to the heap it is of (src/heap/memory-chunk.h and its
//! successors), which counts them space by space (src/heap/spaces.h).

mod chunk;
mod shape;
mod spaces;
mod statistics;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;

use memgap_kernel::memory::Space;
use memgap_ledger::{Fact, Missing};

use super::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};
use crate::elf::Elf;
use shape::Shape;

/// The probe.
#[derive(Debug)]
pub(super) struct V8;

/// Node exports V8 to its add-ons.
const EXPORTED: &str = "_ZN2v87Isolate10GetCurrentEv";
const EM_X86_64: u16 = 62;

impl Probe for V8 {
    fn name(&self) -> &'static str {
        "v8"
    }

    fn about(&self) -> &'static str {
        "V8 in node 18, 20 to 22, 24 and 25: heap by its spaces, compiled code"
    }

    fn detect(&self, elf: &Elf, name: &[u8], file: &File) -> bool {
        let name = name.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let is_node = name.starts_with(b"node") || name.starts_with(b"libnode.so");
        is_node && elf.symbols(file, ".dynsym", [EXPORTED]).is_ok_and(|[it]| it.is_some())
    }

    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        if image.elf.machine != EM_X86_64 {
            return Err(Missing::absent("V8 is known on x86-64 alone"));
        }
        Ok(Arc::new(spaces::find(space)?))
    }
}

/// How the heap of a build of V8 is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heap {
    shape: Shape,
    /// In the heap, in bytes: the pointers to its spaces.
    spaces: u64,
}

impl Layout for Heap {
    fn read(&self, _: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics> {
        statistics::read(*self, space, detail)
    }
}
