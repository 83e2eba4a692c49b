//! CPython: `obmalloc` keeps small objects in arenas of its own, on top of `malloc`.
//! A table tells where they are and how many of their pools are free
//! (Objects/obmalloc.c; since 3.12 Include/internal/pycore_obmalloc.h).

mod pools;
mod statistics;
mod table;
#[cfg(test)]
mod tests;
mod version;

use std::fs::File;
use std::sync::Arc;

use memgap_kernel::memory::Space;
use memgap_ledger::{Fact, Missing};

use super::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};
use crate::elf::Elf;
use table::{Place, Sizes};
use version::Version;

/// The probe.
#[derive(Debug)]
pub(super) struct CPython;

impl Probe for CPython {
    fn name(&self) -> &'static str {
        "cpython"
    }

    fn about(&self) -> &'static str {
        "CPython 3.9 to 3.13 and later: small objects, which lie in arenas of its own"
    }

    fn detect(&self, elf: &Elf, name: &[u8], file: &File) -> bool {
        // Programs that load libpython are called python too: the variable tells
        // them apart. Since 3.10 it has a section of its own.
        elf.section(".PyRuntime").is_some()
            || version::of_name(name).is_some()
                && elf.symbols(file, ".dynsym", ["_PyRuntime"]).is_ok_and(|[it]| it.is_some())
    }

    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        let version = version::read(image).ok_or_else(|| {
            Missing::absent("neither its name nor its symbols tell which CPython it is")
        })?;
        if version.is_free_threaded {
            let why = "without a global lock keeps its objects by mimalloc, which is not read";
            return Err(Missing::absent(format!("CPython {version} {why}")));
        }
        let sizes = Sizes::of(version.minor)
            .ok_or_else(|| Missing::absent(format!("CPython {version} is older than 3.9")))?;
        let named = |lack: Missing| Missing::new(lack.kind, format!("CPython {version}: {lack}"));
        let place = table::find(image, sizes, space).map_err(named)?;
        Ok(Arc::new(Variables { version, place, sizes }))
    }
}

/// Where a file keeps its table of arenas.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variables {
    version: Version,
    place: Place,
    sizes: Sizes,
}

impl Layout for Variables {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics> {
        statistics::read(self, mapped.bias, space, detail)
    }
}
