//! V8: its heap is made of chunks that begin at multiples of 256 KiB, each with a
//! header that tells its size and what of it is in use (src/heap/memory-chunk.h and
//! its successors).

mod books;
mod chunk;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;

use memgap_ledger::{Fact, Missing};

use super::{Books, Detail, Image, Layout, Mapped, Probe};
use crate::elf::Elf;
use crate::memory::Space;
use chunk::Shape;

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
        "V8 in node 18 to 25: heap by its chunks, compiled code"
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
        Ok(Arc::new(Heap { shape: chunk::shape(space)? }))
    }
}

/// How the chunks of a build of V8 are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heap {
    shape: Shape,
}

impl Layout for Heap {
    fn read(&self, _: &Mapped, space: &Space<'_>, _: Detail) -> Fact<Books> {
        books::read(self.shape, space)
    }
}
