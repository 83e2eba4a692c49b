//! HotSpot 11 to 25, the virtual machine of OpenJDK: it describes its variables to
//! debuggers (`vmStructs`), so that no version is known here but by what was renamed.

mod beside;
mod books;
mod flags;
mod g1;
mod heap;
mod pages;
mod perfdata;
mod strings;
mod vmstructs;
mod zgc;

use std::fs::File;
use std::sync::Arc;

use memgap_ledger::Fact;

use super::{Books, Detail, Image, Layout, Mapped, Probe};
use crate::elf::Elf;
use crate::memory::Space;
use beside::{CardTable, CodeCache};
use flags::Flags;
use g1::Regions;
use heap::Generations;
use pages::Pages;
use perfdata::PerfMemory;
use strings::Strings;
use vmstructs::VmStructs;

/// The probe.
#[derive(Debug)]
pub(super) struct HotSpot;

impl Probe for HotSpot {
    fn name(&self) -> &'static str {
        "hotspot"
    }

    fn about(&self) -> &'static str {
        "HotSpot (OpenJDK) 11 to 25: Serial, Parallel, G1, ZGC"
    }

    fn detect(&self, elf: &Elf, name: &[u8], _: &File) -> bool {
        let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
        name.ends_with(b"/libjvm.so") && elf.section(".dynsym").is_some()
    }

    fn resolve(&self, image: &Image<'_>, space: &Space<'_>) -> Fact<Arc<dyn Layout>> {
        let mut strings = Strings::of(image);
        let vm = VmStructs::read(image, &mut strings, space)?;
        let bias = image.mapped.bias;
        let flags = Flags::find(&vm, bias, &mut strings, space)?;
        let pages = Pages::new(space, bias);
        let version = vm
            .address("Abstract_VM_Version", "_s_vm_release")
            .and_then(|at| pages.word_of(&[at]))
            .ok()
            .and_then(|at| strings.at(at).map(str::to_owned));
        Ok(Arc::new(Variables {
            version,
            flags,
            serial: Generations::serial(&vm),
            parallel: Generations::parallel(&vm),
            g1: Regions::find(&vm),
            z: zgc::Counters::find(&vm, "Z"),
            x: zgc::Counters::find(&vm, "X"),
            collections: collections(&vm),
            code: CodeCache::find(&vm),
            cards: CardTable::find(&vm),
            perf: PerfMemory::find(&vm),
        }))
    }
}

/// Where the variables of a HotSpot are. What it does not describe is missed only
/// where it is asked for.
#[derive(Debug)]
struct Variables {
    /// `17.0.9+9`.
    version: Option<String>,
    flags: Flags,
    serial: Fact<Generations>,
    parallel: Fact<Generations>,
    g1: Fact<Regions>,
    z: Fact<zgc::Counters>,
    /// The ZGC without generations, where both are there.
    x: Fact<zgc::Counters>,
    /// To the number of collections.
    collections: Fact<pages::Path>,
    code: Fact<CodeCache>,
    cards: Fact<CardTable>,
    perf: Fact<PerfMemory>,
}

impl Layout for Variables {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<Books> {
        books::read(self, mapped.bias, space, detail)
    }
}

fn collections(vm: &VmStructs) -> Fact<pages::Path> {
    let heap = vm.address("Universe", "_collectedHeap")?;
    Ok(vec![heap, vm.offset("CollectedHeap", "_total_collections")?])
}
