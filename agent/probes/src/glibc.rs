//! The C library's `malloc`, glibc 2.17 to 2.43 (malloc/malloc.c, malloc/arena.c).
//! Its variables tell themselves apart by the rules that they keep, so neither
//! symbols nor a table of versions is needed.

mod arena;
mod chase;
mod claims;
mod file;
mod free;
mod locate;
mod mapped;
mod page;
mod sample;
mod statistics;
mod tcache;
#[cfg(test)]
mod tests;
mod walk;

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use memgap_kernel::memory::Space;
use memgap_ledger::{Fact, Missing};

use super::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};
use crate::elf::Elf;
use statistics::Kept;

/// The probe.
#[derive(Debug)]
pub(super) struct Glibc;

impl Probe for Glibc {
    fn name(&self) -> &'static str {
        "glibc"
    }

    fn about(&self) -> &'static str {
        "malloc of the GNU C library 2.17 to 2.43: shared, static, stripped, every arena"
    }

    fn detect(&self, elf: &Elf, name: &[u8], file: &File) -> bool {
        file::holds_malloc(elf, name, file)
    }

    fn is_idle(&self, why: &Missing) -> bool {
        *why.why == *locate::IDLE
    }

    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        let version = file::version(image.elf, &image.file);
        Ok(Arc::new(Malloc { version, ..locate::malloc(image, space)? }))
    }
}

/// Where `malloc` keeps its heap statistics in a file; addresses are before the bias.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Malloc {
    /// `2.36`, where the file tells.
    version: Option<String>,
    /// `main_arena`.
    main_arena: u64,
    shape: Shape,
    parameters: Parameters,
}

/// What differs between versions in `struct malloc_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// Where `bins` begin.
    bins: u64,
    /// Where `system_mem` is; `max_system_mem` follows.
    system_mem: u64,
}

/// Where the parts of `mp_` are that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parameters {
    /// `n_mmaps`, three more numbers of 32 bits follow.
    mappings: u64,
    /// `mmapped_mem`; `max_mmapped_mem` follows.
    mapped: u64,
    /// `sbrk_base`.
    sbrk_base: u64,
}

impl Layout for Malloc {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics> {
        statistics::read(self, mapped.bias, space, detail, &mut Kept::default())
    }

    fn of_process(self: Arc<Self>) -> Option<Arc<dyn Layout>> {
        Some(Arc::new(InProcess { malloc: self, kept: Mutex::default() }))
    }
}

/// The `malloc` of one process. What its lists held is kept for as long as its arenas
/// stay as they are: an idle program's free chunks are not touched again and again.
#[derive(Debug)]
struct InProcess {
    malloc: Arc<Malloc>,
    kept: Mutex<Kept>,
}

impl Layout for InProcess {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics> {
        // A panic in mid-reading left nothing there.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        statistics::read(&self.malloc, mapped.bias, space, detail, &mut kept)
    }
}

/// Bytes that are never an address of a program: above it is the kernel.
const ADDRESSES: u64 = 1 << 56;
/// `MALLOC_ALIGNMENT`.
const ALIGN: u64 = 16;
/// Arenas of a process: 8 for each processor, or as many as it was told to make.
const MAX_ARENAS: usize = 4096;

/// Sizes that the kernel gave are multiples of this on every machine.
const SMALLEST_PAGE: u64 = 4096;

/// `amount * part / whole`, 0 of nothing.
fn scale(amount: u64, part: u64, whole: u64) -> u64 {
    let scaled = u128::from(amount) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn is_chunk(address: u64) -> bool {
    address != 0 && address < ADDRESSES && address.is_multiple_of(ALIGN)
}
