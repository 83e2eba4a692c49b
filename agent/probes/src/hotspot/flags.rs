//! The flags that a HotSpot runs with: `JVMFlag::flags` names each and its place
//! (src/hotspot/share/runtime/flags/jvmFlag.hpp).

use std::collections::HashMap;

use memgap_kernel::memory::{Space, u64_at};
use memgap_ledger::{Fact, Missing, MissingKind};

use super::pages::Pages;
use super::strings::Strings;
use super::vmstructs::VmStructs;

/// Flags of a HotSpot; there are 1,500.
const MAX_FLAGS: u64 = 8192;
/// Bytes of an entry; 24 or 40.
const MAX_SIZE: u64 = 256;

/// The garbage collectors, by the flag that chooses them.
const COLLECTORS: [(&str, Collector); 6] = [
    ("UseSerialGC", Collector::Serial),
    ("UseParallelGC", Collector::Parallel),
    ("UseG1GC", Collector::G1),
    ("UseZGC", Collector::Z),
    ("UseShenandoahGC", Collector::Shenandoah),
    ("UseEpsilonGC", Collector::Epsilon),
];

/// A garbage collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collector {
    Serial,
    Parallel,
    G1,
    Z,
    Shenandoah,
    Epsilon,
}

impl Collector {
    /// Its name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serial => "Serial",
            Self::Parallel => "Parallel",
            Self::G1 => "G1",
            Self::Z => "ZGC",
            Self::Shenandoah => "Shenandoah",
            Self::Epsilon => "Epsilon",
        }
    }
}

/// The flags of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    /// The collector that it runs.
    pub collector: Collector,
    /// The heap's limit in bytes (`-Xmx`).
    pub max_heap: u64,
    /// Whether ZGC has generations, where it has the choice (21 to 23).
    pub generational: Option<bool>,
    /// Whether memory is kept apart by NUMA node.
    pub numa: bool,
}

/// Where the values of the flags are, before the bias.
#[derive(Debug)]
pub(super) struct Flags {
    collectors: Vec<(u64, Collector)>,
    max_heap: u64,
    generational: Option<u64>,
    numa: Option<u64>,
}

impl Flags {
    /// Finds the flags of a HotSpot.
    pub fn find(
        vm: &VmStructs,
        bias: u64,
        strings: &mut Strings<'_>,
        space: &Space<'_>,
    ) -> Fact<Self> {
        let places = places(vm, bias, strings, space)?;
        let place = |name: &str| places.get(name).map(|address| address.wrapping_sub(bias));
        let chosen = COLLECTORS.iter().filter_map(|(name, one)| Some((place(name)?, *one)));
        let max_heap = place("MaxHeapSize");
        Ok(Self {
            collectors: chosen.collect(),
            max_heap: max_heap.ok_or_else(|| Missing::absent("it has no flag MaxHeapSize"))?,
            generational: place("ZGenerational"),
            numa: place("UseNUMA"),
        })
    }

    /// The flags of a process: they are set before it has a heap.
    pub fn read(&self, pages: &Pages<'_, '_>) -> Fact<Choice> {
        let is_set = |at: Option<u64>| at.map(|at| pages.is_set(at)).transpose();
        Ok(Choice {
            collector: self.collector(pages)?,
            max_heap: pages.word_of(&[self.max_heap])?,
            generational: is_set(self.generational)?,
            numa: is_set(self.numa)?.unwrap_or_default(),
        })
    }

    fn collector(&self, pages: &Pages<'_, '_>) -> Fact<Collector> {
        for (at, collector) in &self.collectors {
            if pages.is_set(*at)? {
                return Ok(*collector);
            }
        }
        Err(Missing::absent("no flag names its collector: it starts, or has one unknown to us"))
    }
}

/// The address of each flag's value in the process.
fn places(
    vm: &VmStructs,
    bias: u64,
    strings: &mut Strings<'_>,
    space: &Space<'_>,
) -> Fact<HashMap<String, u64>> {
    let pages = Pages::new(space, bias);
    let start = pages.word_of(&[vm.address("JVMFlag", "flags")?])?;
    let count = pages.word_of(&[vm.address("JVMFlag", "numFlags")?])?;
    let size = vm.size("JVMFlag")?;
    let (name, value) = (vm.offset("JVMFlag", "_name")?, vm.offset("JVMFlag", "_addr")?);
    if count > MAX_FLAGS || !(16..=MAX_SIZE).contains(&size) {
        let why = format!("{count} flags of {size} bytes each are no HotSpot's");
        return Err(Missing::new(MissingKind::Malformed, why));
    }
    let mut table = vec![0; usize::try_from(count * size).unwrap_or_default()];
    space.read(start, &mut table)?;
    let word = |entry: &[u8], at: u64| u64_at(entry, usize::try_from(at).ok()?);
    let mut places = HashMap::new();
    for entry in table.chunks_exact(usize::try_from(size).unwrap_or(1)) {
        let (Some(name), Some(value)) = (word(entry, name), word(entry, value)) else { continue };
        // The last entry has no name.
        if let Some(name) = strings.at(name) {
            places.insert(name.to_owned(), value);
        }
    }
    Ok(places)
}

impl Pages<'_, '_> {
    fn is_set(&self, flag: u64) -> Fact<bool> {
        Ok(self.byte(self.follow(&[flag])?)? != 0)
    }
}
