//! ZGC: it counts its pages as it hands them out (zPageAllocator.hpp).

use crate::probe::broken;
use memgap_ledger::Fact;

use super::heap::Heap;
use super::pages::{Pages, Path};
use super::vmstructs::VmStructs;

/// Bytes from the value of one NUMA node to that of the next: `ZValueStorage::offset`
/// (zValue.hpp), which vmStructs do not tell.
const NODE: u64 = 4096;
/// NUMA nodes of a machine: `CONFIG_NODES_SHIFT` is at most 10.
const MAX_NODES: u32 = 1024;

/// Bits of an offset into the heap in 11, which has no variable for it.
const OFFSET_BITS: u32 = 42;
/// Views of the heap: one for each colour of pointers, or a single one with
/// generations (`ZPlatformAddressOffsetBits`, zGlobals_x86.cpp: 42 to 44 bits).
const VIEWS: u32 = 3;

/// A heap of ZGC.
#[derive(Debug)]
pub(super) struct Zgc {
    counters: Counters,
    /// To the mask of an offset into the heap.
    mask: Option<Path>,
}

/// Where ZGC keeps its counters.
#[derive(Debug)]
enum Counters {
    /// One for the heap: 11 to 24.
    One { used: Path, committed: Path },
    /// One a NUMA node: 25 and later.
    PerNode { nodes: u64, first: Path, used: u64, committed: u64 },
}

impl Zgc {
    /// The ZGC whose types begin with `prefix`: `Z`, or `X` for the one without
    /// generations in 21 to 23.
    pub fn find(vm: &VmStructs, prefix: &str) -> Fact<Self> {
        let globals = format!("{prefix}GlobalsForVMStructs");
        let mask = || {
            let field = vm.offset(&globals, &format!("_{prefix}AddressOffsetMask"))?;
            Ok(vec![vm.address(&globals, "_instance_p")?, field, 0])
        };
        let mask: Fact<Path> = mask();
        Ok(Self { counters: Counters::find(vm, prefix)?, mask: mask.ok() })
    }

    /// Reads the heap. It lies somewhere in its views, which are much larger.
    pub fn read(&self, pages: &Pages<'_, '_>) -> Fact<Heap> {
        let bits = match &self.mask {
            Some(path) => pages.constant_of(path)?.count_ones(),
            None => OFFSET_BITS,
        };
        if !(32..=44).contains(&bits) {
            return Err(broken(format!("a heap with offsets of {bits} bits is not ZGC's")));
        }
        let view = |number: u32| (1 << (bits + number), (1 << (bits + number)) + (1 << bits));
        let views = (0..VIEWS).map(view).collect();
        Ok(Heap { views, ..self.counters.read(pages)? })
    }
}

impl Counters {
    fn find(vm: &VmStructs, prefix: &str) -> Fact<Self> {
        let named = |name: &str| format!("{prefix}{name}");
        let allocator = named("PageAllocator");
        let at = vm
            .offset(&named("CollectedHeap"), "_heap")?
            .wrapping_add(vm.offset(&named("Heap"), "_page_allocator")?);
        let heap = vm.address("Universe", "_collectedHeap")?;
        let to = |offset: u64| vec![heap, at.wrapping_add(offset)];
        if let Ok(partitions) = vm.offset(&allocator, "_partitions") {
            let partition = named("Partition");
            let values = vm.offset(&named("PerNUMAZPartition"), "_addr")?;
            let mut first = to(partitions.wrapping_add(values));
            first.push(0);
            return Ok(Self::PerNode {
                nodes: vm.address(&named("NUMA"), "_count")?,
                first,
                used: vm.offset(&partition, "_used")?,
                committed: vm.offset(&partition, "_capacity")?,
            });
        }
        let committed = vm.offset(&allocator, "_capacity").or_else(|_| {
            let physical = vm.offset(&allocator, "_physical")?;
            Ok(physical.wrapping_add(vm.offset(&named("PhysicalMemoryManager"), "_capacity")?))
        })?;
        Ok(Self::One { used: to(vm.offset(&allocator, "_used")?), committed: to(committed) })
    }

    fn read(&self, pages: &Pages<'_, '_>) -> Fact<Heap> {
        let mut heap = Heap::default();
        match self {
            Self::One { used, committed } => {
                heap.used = pages.word_of(used)?;
                heap.committed = pages.word_of(committed)?;
            }
            Self::PerNode { nodes, first, used, committed } => {
                let nodes = pages.constant_half_of(&[*nodes])?;
                if nodes == 0 || nodes > MAX_NODES {
                    return Err(broken(format!("a heap on {nodes} NUMA nodes is not ZGC's")));
                }
                let first = pages.follow(first)?;
                for node in 0..u64::from(nodes) {
                    let partition = first.wrapping_add(node * NODE);
                    let word = |offset: &u64| pages.word(partition.wrapping_add(*offset));
                    heap.used = heap.used.saturating_add(word(used)?);
                    heap.committed = heap.committed.saturating_add(word(committed)?);
                }
            }
        }
        Ok(heap)
    }
}
