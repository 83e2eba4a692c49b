//! G1: its heap is a table of regions (g1HeapRegionManager.hpp).

use memgap_kernel::memory::{Space, WINDOW, u64_at};
use memgap_ledger::Fact;

use super::heap::{Heap, push};
use super::pages::{Pages, Path};
use super::vmstructs::VmStructs;
use crate::Detail;
use crate::probe::broken;

/// Regions of a heap: 2 TiB in regions of 32 MiB.
const MAX_REGIONS: u64 = 65_536;
/// Bytes of a region's description: 144 to 376.
const MAX_SIZE: u64 = 4096;
/// Descriptions that are further apart than this are read one by one.
const GAP: u64 = 4096;

/// Where G1 keeps its regions.
#[derive(Debug)]
pub(super) struct Regions {
    /// To the table's start and length.
    base: Path,
    length: Path,
    /// To the bytes in use but in the region that is being filled.
    filled: Path,
    /// To the start of the address space kept for the heap, and to its words.
    reserved: [Path; 2],
    /// To the bytes committed to eden, survivors and old.
    committed: [Path; 3],
    /// Address of a region's size, before the bias.
    grain: u64,
    /// Bytes of a description, and where in it the region's places stand.
    size: u64,
    bottom: u64,
    top: u64,
    end: u64,
}

impl Regions {
    pub fn find(vm: &VmStructs) -> Fact<Self> {
        let heap = vm.address("Universe", "_collectedHeap")?;
        // Renamed in 23.
        let region = vm.named(&["G1HeapRegion", "HeapRegion"]);
        let manager = vm.named(&["G1HeapRegionManager", "HeapRegionManager"]);
        let table = |field| {
            let regions = vm.offset(manager, "_regions")?;
            let offset = vm.offset("G1CollectedHeap", "_hrm")?.wrapping_add(regions);
            Ok(vec![heap, offset.wrapping_add(vm.offset("G1HeapRegionTable", field)?)])
        };
        let monitor = vm
            .offset("G1CollectedHeap", "_monitoring_support")
            .or_else(|_| vm.offset("G1CollectedHeap", "_g1mm"))?;
        let committed = |new: &str, old: &str| -> Fact<Path> {
            let owner = "G1MonitoringSupport";
            let offset = vm.offset(owner, new).or_else(|_| vm.offset(owner, old))?;
            Ok(vec![heap, monitor, offset])
        };
        let reserved = |field| {
            let at = vm.offset("CollectedHeap", "_reserved")?;
            Ok(vec![heap, at.wrapping_add(vm.offset("MemRegion", field)?)])
        };
        Ok(Self {
            filled: vec![heap, vm.offset("G1CollectedHeap", "_summary_bytes_used")?],
            reserved: [reserved("_start")?, reserved("_word_size")?],
            base: table("_base")?,
            length: table("_length")?,
            committed: [
                committed("_eden_space_committed", "_eden_committed")?,
                committed("_survivor_space_committed", "_survivor_committed")?,
                committed("_old_gen_committed", "_old_committed")?,
            ],
            grain: vm.address(region, "GrainBytes")?,
            size: vm.size(region)?,
            bottom: vm.offset(region, "_bottom")?,
            top: vm.offset(region, "_top")?,
            end: vm.offset(region, "_end")?,
        })
    }

    /// Reads the heap: by the sum that G1 keeps, or region by region. Descriptions
    /// of regions lie a page apart, and all of them cost 100 times as much.
    pub fn read(&self, pages: &Pages<'_, '_>, space: &Space<'_>, detail: Detail) -> Fact<Heap> {
        let mut heap = match detail {
            Detail::Counters => self.sum(pages)?,
            Detail::Pages => self.walk(pages, space)?,
        };
        let committed = self
            .committed
            .iter()
            .try_fold(0u64, |sum, path| Ok(sum.saturating_add(pages.word_of(path)?)))?;
        // Told after collections only; since then regions may have been added.
        heap.committed = committed.max(heap.used);
        Ok(heap)
    }

    /// The address space that is kept for the heap.
    pub fn reserved(&self, pages: &Pages<'_, '_>) -> Fact<(u64, u64)> {
        let [start, words] = &self.reserved;
        let (start, words) = (pages.constant_of(start)?, pages.constant_of(words)?);
        let end = words.checked_mul(8).and_then(|size| start.checked_add(size));
        let end = end.ok_or_else(|| broken(format!("a heap of {words} words at {start:#x}")))?;
        Ok((start, end))
    }

    /// The heap by the sum that G1 keeps: one region less at most.
    fn sum(&self, pages: &Pages<'_, '_>) -> Fact<Heap> {
        let used = pages.word_of(&self.filled)?;
        Ok(Heap { used, ranges: vec![self.reserved(pages)?], ..Heap::default() })
    }

    fn walk(&self, pages: &Pages<'_, '_>, space: &Space<'_>) -> Fact<Heap> {
        let grain = pages.constant_of(&[self.grain])?;
        let mut regions = Vec::new();
        self.each(pages, space, |bottom, top, end| {
            if end.checked_sub(bottom) != Some(grain) {
                return Err(broken(format!("{bottom:#x}..{end:#x} is no region of {grain}")));
            }
            regions.push((bottom, top, end));
            Ok(())
        })?;
        regions.sort_unstable();
        let mut heap = Heap::default();
        for (bottom, top, end) in regions {
            push(&mut heap.ranges, bottom, end);
            heap.fill(bottom, top, end)?;
        }
        Ok(heap)
    }

    /// Hands bottom, top and end of every region to `each`.
    fn each(
        &self,
        pages: &Pages<'_, '_>,
        space: &Space<'_>,
        mut each: impl FnMut(u64, u64, u64) -> Fact<()>,
    ) -> Fact<()> {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        for places in runs(&self.descriptions(pages, space)?, self.size) {
            let (Some(&first), Some(&last)) = (places.first(), places.last()) else { continue };
            let mut run = vec![0; at((last - first).saturating_add(self.size))];
            space.read(first, &mut run)?;
            for place in places {
                let word = |offset: u64| {
                    u64_at(&run, at((place - first).saturating_add(offset)))
                        .ok_or_else(|| broken("a region's description is cut".to_owned()))
                };
                each(word(self.bottom)?, word(self.top)?, word(self.end)?)?;
            }
        }
        Ok(())
    }

    /// The addresses of the regions' descriptions, in order of address.
    fn descriptions(&self, pages: &Pages<'_, '_>, space: &Space<'_>) -> Fact<Vec<u64>> {
        let (base, length) = (pages.constant_of(&self.base)?, pages.constant_of(&self.length)?);
        if length > MAX_REGIONS || !(24..=MAX_SIZE).contains(&self.size) {
            return Err(broken(format!("a heap of {length} regions is not G1's")));
        }
        let mut table = vec![0; usize::try_from(length * 8).unwrap_or_default()];
        space.read(base, &mut table)?;
        let mut places: Vec<u64> =
            table.chunks_exact(8).filter_map(|word| u64_at(word, 0)).collect();
        places.retain(|place| *place != 0);
        places.sort_unstable();
        Ok(places)
    }
}

/// Splits places into those that are read at once: side by side, in one window.
fn runs(places: &[u64], size: u64) -> impl Iterator<Item = &[u64]> {
    let mut first = places.first().copied().unwrap_or_default();
    places.chunk_by(move |a, b| {
        let is_near = b - a < size + GAP && b - first < WINDOW as u64 - size;
        if !is_near {
            first = *b;
        }
        is_near
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_one_window_of_neighbours() {
        let near: Vec<u64> = (0..200).map(|n| 0x1000 + n * 2720).collect();
        let far = [u64::MAX - 5000, u64::MAX - 1000];
        let places = [&near[..], &far].concat();
        let mut whole = Vec::new();
        for run in runs(&places, 296) {
            let span = run[run.len() - 1] - run[0];
            assert!(span + 296 <= WINDOW as u64);
            whole.extend_from_slice(run);
        }
        assert_eq!(whole, places);
        assert_eq!(runs(&places, 296).count(), 4);
        assert_eq!(runs(&[], 296).count(), 0);
    }
}
