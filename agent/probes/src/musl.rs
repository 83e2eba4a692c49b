//! musl's mallocng (since 1.2.1): its heap statistics stand apart from what it hands out, in
//! pages that begin with a secret which its variables know too
//! (src/malloc/mallocng/meta.h).

mod statistics;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;

use memgap_kernel::memory::{Area, Space, u64_at};
use memgap_ledger::{Fact, Missing};

use super::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};
use crate::elf::Elf;

/// The probe.
#[derive(Debug)]
pub(super) struct Musl;

/// In `struct malloc_context`: the list of pages with heap statistics.
const HEAD: usize = 56;
const EM_X86_64: u16 = 62;

impl Probe for Musl {
    fn name(&self) -> &'static str {
        "musl"
    }

    fn about(&self) -> &'static str {
        "musl 1.2.1 and later (mallocng): library, and static programs, stripped too"
    }

    fn detect(&self, elf: &Elf, name: &[u8], file: &File) -> bool {
        let name = name.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let is_library =
            name == b"libc.so" || name.starts_with(b"ld-musl-") || name.starts_with(b"libc.musl-");
        let has = |table, symbol| elf.symbols(file, table, [symbol]).is_ok_and(|[it]| it.is_some());
        // Other libraries may be called so; its loader's entry only musl exports.
        if is_library && has(".dynsym", "_dlstart") {
            return true;
        }
        let has_symbols = elf.section(".symtab").is_some();
        // A stripped program keeps its constants.
        let has_classes = || {
            let classes: Vec<u8> =
                statistics::CLASSES.iter().flat_map(|c| c.to_le_bytes()).collect();
            elf.find(file, &classes, 0).is_some()
        };
        elf.is_static
            && if has_symbols { has(".symtab", "__malloc_context") } else { has_classes() }
    }

    fn is_idle(&self, why: &Missing) -> bool {
        *why.why == *IDLE
    }

    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        if image.elf.machine != EM_X86_64 {
            return Err(Missing::absent("musl is known on x86-64 alone"));
        }
        let context = find(image, space)?;
        Ok(Arc::new(Context { context }))
    }
}

/// Where a file keeps `__malloc_context`, before the bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Context {
    context: u64,
}

impl Layout for Context {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, _: Detail) -> Fact<HeapStatistics> {
        statistics::read(self.context.wrapping_add(mapped.bias), space)
    }
}

/// What is said where mallocng keeps nothing.
const IDLE: &str = "no heap statistics of mallocng: the program allocates nothing by it, or uses another allocator, as musl before 1.2.1 had";

/// Finds a word that the page which the list begins with has too.
fn find(image: &Image<'_>, space: &Space<'_>) -> Fact<u64> {
    let (bias, areas) = (image.mapped.bias, space.areas()?);
    let found = image.find_variable(HEAD + 8, space, |address, bytes| {
        let context = address.wrapping_add(bias);
        is_context(bytes, &areas) && statistics::read(context, space).is_ok()
    })?;
    found.ok_or_else(|| Missing::absent(IDLE))
}

/// Whether there is a secret, and a list that begins with a page of the heap.
fn is_context(bytes: &[u8], areas: &[Area]) -> bool {
    let (Some(secret), Some(head)) = (u64_at(bytes, 0), u64_at(bytes, HEAD)) else { return false };
    let behind = areas.partition_point(|area| area.end <= head);
    let is_heap = |area: &Area| area.start <= head && area.is_writable && area.is_anonymous;
    secret != 0 && head.is_multiple_of(statistics::PAGE) && areas.get(behind).is_some_and(is_heap)
}
