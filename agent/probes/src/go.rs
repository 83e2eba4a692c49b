//! Go: from 1.19 on its runtime counts its heap in variables that tell themselves
//! apart by the rules that they keep (runtime/mgcpacer.go,
//! runtime/mstats.go, runtime/mheap.go, runtime/mpagealloc.go).

mod calibrate;
mod locate;
mod old;
mod pages;
mod shape;
mod statistics;
#[cfg(test)]
mod tests;
mod version;

use std::fs::File;
use std::sync::Arc;

use memgap_kernel::memory::Space;
use memgap_ledger::Fact;

use super::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};
use crate::elf::Elf;
use shape::Shape;

/// The probe.
#[derive(Debug)]
pub(super) struct Go;

impl Probe for Go {
    fn name(&self) -> &'static str {
        "go"
    }

    fn about(&self) -> &'static str {
        "Go 1.19 to 1.27 and later: stripped, PIE, cgo, c-shared; 1.12 to 1.18 with symbols"
    }

    fn detect(&self, elf: &Elf, _: &[u8], file: &File) -> bool {
        let names = [".go.buildinfo", ".gopclntab", ".noptrbss"];
        names.iter().any(|name| elf.section(name).is_some()) || version::place(elf, file).is_some()
    }

    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        let version = version::read(image);
        if let Some(version) = &version
            && let Some(minor) = old::minor(version)
        {
            return old::resolve(image, version, minor);
        }
        let variables = locate::variables(image, space)?;
        Ok(Arc::new(Variables { version, ..variables }))
    }
}

/// Where the variables of a Go program are, before the bias.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variables {
    /// `go1.27.3`, where the file tells.
    version: Option<String>,
    /// `runtime.gcController`.
    gc_controller: u64,
    /// `runtime.memstats`.
    memstats: u64,
    /// `runtime.mheap_.pages`.
    page_alloc: u64,
    shape: Shape,
    machine: Machine,
}

/// What the program was built for: it tells where address spaces begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Machine {
    Amd64,
    Arm64,
}

impl Layout for Variables {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics> {
        statistics::read(self, mapped.bias, space, detail)
    }
}
