//! jemalloc: its arenas tell themselves apart by the lists of pages that each keeps
//! (include/jemalloc/internal/{arena_structs,pa,pac,ecache,eset,base,bin}.h).

mod arena;
mod claims;
mod extents;
mod given_back;
mod locate;
mod shape;
mod size;
mod statistics;
#[cfg(test)]
mod tests;
mod text;
mod total;

use std::fs::File;
use std::sync::Arc;

use memgap_kernel::memory::Space;
use memgap_ledger::{Fact, Missing};

use super::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};
use crate::elf::Elf;
use shape::Shape;
use size::Quantum;

/// Readings of what a running program changes meanwhile.
const TRIES: usize = 4;

/// The most arenas (`MALLOCX_ARENA_LIMIT`).
const MAX_ARENAS: u32 = 4095;

/// The probe.
#[derive(Debug)]
pub(super) struct Jemalloc;

/// The owner of its claims.
const NAME: &str = "jemalloc";

const EM_X86_64: u16 = 62;

impl Probe for Jemalloc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "jemalloc 5.2.1, 5.3.0 and 5.3.1: library or built in, any prefix, stripped"
    }

    /// Where it is built in, a message of its own tells it: the registry has that.
    fn detect(&self, _: &Elf, name: &[u8], _: &File) -> bool {
        let file_name = name.rsplit(|b| *b == b'/').next().unwrap_or_default();
        file_name.starts_with(b"libjemalloc")
    }

    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        let (version, commits) = text::version(image.elf, &image.file)?;
        let shape = shape::of(&version)?;
        if image.elf.machine != EM_X86_64 {
            let why = format!("jemalloc {version} is known on x86-64 alone");
            return Err(Missing::absent(why));
        }
        let found = locate::variables(image, shape, space);
        let (arenas, bin_infos, quantum) = found.map_err(|lack| {
            if commits == 0 {
                return lack;
            }
            let why = format!("jemalloc {version}-{commits}, which is between releases: {lack}");
            Missing::new(lack.kind, why)
        })?;
        let bias = image.mapped.bias;
        Ok(Arc::new(Variables {
            version,
            variable: text::variable(image.elf, &image.file),
            arenas: arenas.wrapping_sub(bias),
            bin_infos: bin_infos.wrapping_sub(bias),
            quantum,
            shape,
        }))
    }
}

/// Where the variables of one jemalloc are, before the bias.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variables {
    /// `5.3.0`.
    version: String,
    /// `_RJEM_MALLOC_CONF`: what its options are read from, where the file tells.
    variable: Option<String>,
    /// `arenas`: pointers to the arenas, by their number.
    arenas: u64,
    /// `bin_infos`: one entry a class of small sizes.
    bin_infos: u64,
    quantum: Quantum,
    shape: &'static Shape,
}

impl Layout for Variables {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics> {
        statistics::read(self, mapped.bias, space, detail)
    }
}
