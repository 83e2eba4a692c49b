//! What a HotSpot keeps beside its heap, where it lies: compiled code and the card
//! table.

use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::Fact;

use super::pages::{Pages, Path};
use super::vmstructs::VmStructs;
use crate::probe::broken;

/// Code heaps; HotSpot has three.
const MAX_HEAPS: u32 = 16;

/// Where compiled code is: codeCache.hpp, heap.hpp.
#[derive(Debug)]
pub(super) struct CodeCache {
    /// To the number of code heaps, and to the first of their addresses.
    count: Path,
    first: Path,
    /// Of the start and the end of each part of a code heap: code, and the map that
    /// tells where it is free.
    parts: [(u64, u64); 2],
}

impl CodeCache {
    pub fn find(vm: &VmStructs) -> Fact<Self> {
        let heaps = vm.address("CodeCache", "_heaps")?;
        let (low, high) = (vm.offset("VirtualSpace", "_low")?, vm.offset("VirtualSpace", "_high")?);
        let part = |field| {
            let at = vm.offset("CodeHeap", field)?;
            Ok((at.wrapping_add(low), at.wrapping_add(high)))
        };
        // Renamed in 16.
        let array = vm.named(&["GrowableArrayBase", "GenericGrowableArray"]);
        Ok(Self {
            count: vec![heaps, vm.offset(array, "_len")?],
            // Arrays of all types have it there.
            first: vec![heaps, vm.offset("GrowableArray<int>", "_data")?, 0],
            parts: [part("_memory")?, part("_segmap")?],
        })
    }

    /// What is committed for code, and for the maps.
    pub fn read(&self, pages: &Pages<'_, '_>) -> Fact<[Ranges; 2]> {
        let count = pages.constant_half_of(&self.count)?;
        if count > MAX_HEAPS {
            return Err(broken(format!("{count} code heaps are no HotSpot's")));
        }
        let first = pages.follow(&self.first)?;
        let mut ranges = [Ranges::new(), Ranges::new()];
        for number in 0..u64::from(count) {
            let heap = pages.pointer(first.wrapping_add(number * 8))?;
            for (ranges, (low, high)) in ranges.iter_mut().zip(self.parts) {
                let word = |offset: u64| pages.word(heap.wrapping_add(offset));
                let (low, high) = (word(low)?, word(high)?);
                if low > high {
                    return Err(broken("a code heap ends before it begins".to_owned()));
                }
                ranges.push((low, high));
            }
        }
        Ok(ranges)
    }
}

/// Where Serial, Parallel and G1 mark what was written: cardTable.hpp.
#[derive(Debug)]
pub(super) struct CardTable {
    map: Path,
    size: Path,
}

impl CardTable {
    pub fn find(vm: &VmStructs) -> Fact<Self> {
        let barriers = vm.address("BarrierSet", "_barrier_set")?;
        let table = vm.offset("CardTableBarrierSet", "_card_table")?;
        let to = |field| Ok(vec![barriers, table, vm.offset("CardTable", field)?]);
        Ok(Self { map: to("_byte_map")?, size: to("_byte_map_size")? })
    }

    /// The table's range. It is as long as the heap's limit asks for.
    pub fn read(&self, pages: &Pages<'_, '_>, limit: u64) -> Fact<(u64, u64)> {
        let (start, size) = (pages.constant_of(&self.map)?, pages.constant_of(&self.size)?);
        match start.checked_add(size) {
            Some(end) if size <= limit => Ok((start, end)),
            _ => Err(broken(format!("a card table of {size} bytes at {start:#x}"))),
        }
    }
}
