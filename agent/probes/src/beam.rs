//! Erlang's BEAM: what its allocators count of their carriers and the blocks in them
//! (erts/emulator/beam/{erl_alloc,erl_alloc_util}.h).

mod instance;
mod statistics;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;

use memgap_kernel::memory::Space;
use memgap_ledger::{Fact, Missing};

use super::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};
use crate::elf::{Elf, Symbol};

/// The probe.
#[derive(Debug)]
pub(super) struct Beam;

/// The owner of its claims.
const NAME: &str = "beam";

/// Types of allocators, with the one that is none.
const TYPES: usize = 13;

/// The bytes of each of its two tables: an entry of 24 for each type of allocator.
const TABLE: u64 = TYPES as u64 * 24;

impl Probe for Beam {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "Erlang's BEAM of OTP 25: what its allocators keep in mappings of their own"
    }

    /// What its files hold tells them: the registry has that.
    fn detect(&self, _: &Elf, _: &[u8], _: &File) -> bool {
        false
    }

    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        let names = ["erts_allctrs_info", "erts_allctr_thr_spec"];
        let found = image.elf.symbols(&image.file, ".dynsym", names);
        let is_it = |symbol: &Symbol| symbol.size == TABLE;
        let Ok([Some(shared), Some(threads)]) = found.map(|all| all.map(|one| one.filter(is_it)))
        else {
            return Err(Missing::absent(
                "the tables of its allocators were not found: it is of a release that is not known",
            ));
        };
        let found = Variables { shared: shared.address, threads: threads.address };
        // A release that has other structures breaks their rules.
        statistics::read(found, image.mapped.bias, space)?;
        Ok(Arc::new(found))
    }
}

/// Where the tables are, before the bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Variables {
    /// `erts_allctrs_info`: the allocator of each type that all threads share.
    shared: u64,
    /// `erts_allctr_thr_spec`: those of each type that threads have for themselves.
    threads: u64,
}

impl Layout for Variables {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, _: Detail) -> Fact<HeapStatistics> {
        statistics::read(*self, mapped.bias, space)
    }
}
