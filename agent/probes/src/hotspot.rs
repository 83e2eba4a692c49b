//! HotSpot 11 to 25, the virtual machine of OpenJDK: it describes its variables to
//! debuggers (`vmStructs`), so that no version is known here but by what was renamed.

mod beside;
mod flags;
mod g1;
mod heap;
mod marks;
mod pages;
mod perfdata;
mod published;
mod statistics;
mod strings;
mod vmstructs;
mod zgc;

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use memgap_kernel::memory::Space;
use memgap_ledger::{Fact, Missing};

use super::{Detail, HeapStatistics, Image, Layout, Mapped, Probe};
use crate::elf::Elf;
use beside::{CardTable, CodeCache};
use flags::Flags;
use g1::Regions;
use heap::Generations;
use marks::Marks;
use pages::Pages;
use perfdata::PerfMemory;
use statistics::Kept;
use strings::Strings;
use vmstructs::VmStructs;
use zgc::Zgc;

/// The probe.
#[derive(Debug)]
pub(super) struct HotSpot;

impl Probe for HotSpot {
    fn name(&self) -> &'static str {
        "hotspot"
    }

    fn about(&self) -> &'static str {
        "HotSpot (OpenJDK) 11 to 25: Serial, Parallel, G1, ZGC; Shenandoah as of its last collection"
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
            marks: Marks::find(&vm),
            z: Zgc::find(&vm, "Z"),
            x: Zgc::find(&vm, "X"),
            collections: collections(&vm),
            code: CodeCache::find(&vm),
            cards: CardTable::find(&vm),
            perf: PerfMemory::find(&vm),
        }))
    }

    fn unresolved(&self, why: &Missing) -> Option<Arc<dyn Layout>> {
        Some(Arc::new(Published { why: why.clone() }))
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
    marks: Fact<Marks>,
    z: Fact<Zgc>,
    /// The ZGC without generations, where both are there.
    x: Fact<Zgc>,
    /// To the number of collections.
    collections: Fact<pages::Path>,
    code: Fact<CodeCache>,
    cards: Fact<CardTable>,
    perf: Fact<PerfMemory>,
}

impl Layout for Variables {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics> {
        statistics::read(self, mapped.bias, space, detail, &mut Kept::default())
    }

    fn of_process(self: Arc<Self>) -> Option<Arc<dyn Layout>> {
        Some(Arc::new(InProcess { variables: self, kept: Mutex::default() }))
    }
}

/// The variables of one process, of which most never change.
#[derive(Debug)]
struct InProcess {
    variables: Arc<Variables>,
    kept: Mutex<Kept>,
}

impl Layout for InProcess {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, detail: Detail) -> Fact<HeapStatistics> {
        // A panic in mid-reading left nothing there.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        statistics::read(&self.variables, mapped.bias, space, detail, &mut kept)
            .or_else(|why| published::read(space, &why))
    }
}

/// A HotSpot whose variables were not found.
#[derive(Debug)]
struct Published {
    why: Missing,
}

impl Layout for Published {
    fn read(&self, _: &Mapped, space: &Space<'_>, _: Detail) -> Fact<HeapStatistics> {
        published::read(space, &self.why)
    }
}

fn collections(vm: &VmStructs) -> Fact<pages::Path> {
    let heap = vm.address("Universe", "_collectedHeap")?;
    Ok(vec![heap, vm.offset("CollectedHeap", "_total_collections")?])
}
