//! tcmalloc of gperftools: what its page heap has, less what its caches keep
//! (src/{page_heap,central_freelist,thread_cache,common}.h).

mod central;
mod metadata;
mod page_heap;
mod sizes;
mod statistics;
#[cfg(test)]
mod tests;
mod threads;

use std::fs::File;
use std::sync::Arc;

use memgap_kernel::memory::Space;
use memgap_ledger::{Fact, Missing};

use super::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};
use crate::elf::Elf;
use threads::Threads;

/// The probe.
#[derive(Debug)]
pub(super) struct Tcmalloc;

/// The owner of its claims.
const NAME: &str = "tcmalloc";

impl Probe for Tcmalloc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "tcmalloc of gperftools 2.8 to 2.16: library or built in, stripped; Google's is named"
    }

    /// What its files hold tells them: the registry has that.
    fn detect(&self, _: &Elf, _: &[u8], _: &File) -> bool {
        false
    }

    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        let unknown = |what: &str| {
            Missing::absent(format!(
                "{what} was not found: it serves nothing, or is of a build that is not known"
            ))
        };
        let bias = image.mapped.bias;
        let page_heap = page_heap::find(image, space)?.ok_or_else(|| unknown("its page heap"))?;
        let (table, sizes) = sizes::find(image, space)?.ok_or_else(|| unknown("its size table"))?;
        let central = central::find(image, &sizes, space)?
            .ok_or_else(|| unknown("the lists of its size classes"))?;
        let threads =
            threads::find(image, &sizes, space)?.ok_or_else(|| unknown("the cache of a thread"))?;
        let system = page_heap::PageHeap::read(page_heap.wrapping_add(bias), space)?.system;
        let own = metadata::find(image, system, space)?;
        let found = Variables { page_heap, table, central, threads, own };
        // What was found together serves only if it adds up.
        statistics::read(&found, bias, space)?;
        Ok(Arc::new(found))
    }
}

/// Where the variables of one tcmalloc are, before the bias.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variables {
    /// `PageHeap::stats_`.
    page_heap: u64,
    /// `SizeMap`, from the place on that [`sizes`] tells.
    table: u64,
    /// `central_cache_`.
    central: u64,
    threads: Threads,
    /// What tells what it has for its own use, where that was found.
    own: Option<u64>,
}

impl Layout for Variables {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, _: Detail) -> Fact<HeapStatistics> {
        statistics::read(self, mapped.bias, space)
    }
}
