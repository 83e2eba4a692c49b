//! The heap: how much of it is in use, and where it lies. Here Serial and
//! Parallel, whose two generations
//! have four spaces; the other collectors are in files of their own.

use memgap_kernel::source::pagemap::Ranges;
use memgap_ledger::Fact;

use super::pages::{Pages, Path};
use super::vmstructs::VmStructs;
use crate::probe::broken;

/// A heap in the words of its collector, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heap {
    /// Objects, dead ones too.
    pub used: u64,
    /// What it may use without asking the kernel.
    pub committed: u64,
    /// Where it lies, and what of it is in use, in order of address; empty where
    /// the collector does not tell.
    pub ranges: Ranges,
    pub filled: Ranges,
    /// Where its mappings of shared memory lie, where it is made of such.
    pub views: Ranges,
}

impl Heap {
    /// The rules that hold for every collector.
    pub fn check(self, limit: u64) -> Fact<Self> {
        let Self { used, committed, .. } = self;
        if used > committed {
            return Err(broken(format!("{used} bytes used of {committed} committed")));
        }
        if committed > limit {
            return Err(broken(format!("{committed} bytes committed of a limit of {limit}")));
        }
        Ok(self)
    }

    /// Adds a space that is in use from its bottom to its top.
    pub fn fill(&mut self, bottom: u64, top: u64, end: u64) -> Fact<()> {
        if bottom == 0 || bottom > top || top > end {
            return Err(broken(format!("a space {bottom:#x}..{end:#x} is full to {top:#x}")));
        }
        self.used = self.used.saturating_add(top - bottom);
        push(&mut self.filled, bottom, top);
        Ok(())
    }

    /// What lies in its ranges and is not in use.
    pub fn free(&self) -> Ranges {
        let mut free = Ranges::new();
        let mut filled = self.filled.iter().peekable();
        for &(start, end) in &self.ranges {
            let mut at = start;
            while let Some(&&(from, to)) = filled.peek()
                && from < end
            {
                push(&mut free, at, from);
                at = at.max(to);
                // What goes on in the next range is looked at there, too.
                if to > end {
                    break;
                }
                filled.next();
            }
            push(&mut free, at, end);
        }
        free
    }
}

/// Adds a range, to the last one where the two touch.
pub(super) fn push(ranges: &mut Ranges, start: u64, end: u64) {
    match ranges.last_mut() {
        _ if start >= end => {}
        Some((_, last)) if *last == start => *last = end,
        _ => ranges.push((start, end)),
    }
}

/// The generations of Serial or Parallel.
#[derive(Debug)]
pub(super) struct Generations {
    /// To each space: eden, the two survivors, old.
    spaces: [Path; 4],
    bottom: u64,
    top: u64,
    end: u64,
    /// To the start and the end of what is committed to young and old.
    committed: [(Path, Path); 2],
}

impl Generations {
    /// Serial: defNewGeneration.hpp, tenuredGeneration.hpp.
    pub fn serial(vm: &VmStructs) -> Fact<Self> {
        let heap = vm.address("Universe", "_collectedHeap")?;
        // Renamed in 22.
        let owner = vm.named(&["GenCollectedHeap", "SerialHeap"]);
        let young = vec![heap, vm.offset(owner, "_young_gen")?];
        let old = vec![heap, vm.offset(owner, "_old_gen")?];
        let all = vm.offset("Generation", "_virtual_space")?;
        let low = all.wrapping_add(vm.offset("VirtualSpace", "_low")?);
        let high = all.wrapping_add(vm.offset("VirtualSpace", "_high")?);
        let committed = [&young, &old].map(|one| (then(one, &[low]), then(one, &[high])));
        let tenured = vm.offset("TenuredGeneration", "_the_space")?;
        let [eden, from, to] = young_spaces(vm, "DefNewGeneration")?;
        let spaces = [(&young, eden), (&young, from), (&young, to), (&old, tenured)];
        Self::with(vm, spaces, committed, "ContiguousSpace")
    }

    /// Parallel: psYoungGen.hpp, psOldGen.hpp, psVirtualspace.hpp.
    pub fn parallel(vm: &VmStructs) -> Fact<Self> {
        let young = vec![vm.address("ParallelScavengeHeap", "_young_gen")?];
        let old = vec![vm.address("ParallelScavengeHeap", "_old_gen")?];
        let low = vm.offset("PSVirtualSpace", "_committed_low_addr")?;
        let high = vm.offset("PSVirtualSpace", "_committed_high_addr")?;
        let of = |path, owner| -> Fact<(Path, Path)> {
            let all = vm.offset(owner, "_virtual_space")?;
            Ok((then(path, &[all, low]), then(path, &[all, high])))
        };
        let committed = [of(&young, "PSYoungGen")?, of(&old, "PSOldGen")?];
        let object = vm.offset("PSOldGen", "_object_space")?;
        let [eden, from, to] = young_spaces(vm, "PSYoungGen")?;
        let spaces = [(&young, eden), (&young, from), (&young, to), (&old, object)];
        Self::with(vm, spaces, committed, "MutableSpace")
    }

    fn with(
        vm: &VmStructs,
        spaces: [(&Path, u64); 4],
        committed: [(Path, Path); 2],
        space: &str,
    ) -> Fact<Self> {
        Ok(Self {
            spaces: spaces.map(|(generation, at)| then(generation, &[at, 0])),
            bottom: vm.offset(space, "_bottom")?,
            top: vm.offset(space, "_top")?,
            end: vm.offset(space, "_end")?,
            committed,
        })
    }

    /// Reads the heap.
    pub fn read(&self, pages: &Pages<'_, '_>) -> Fact<Heap> {
        let mut heap = Heap::default();
        for (low, high) in &self.committed {
            let (low, high) = (pages.word_of(low)?, pages.word_of(high)?);
            let size = high.checked_sub(low);
            let size =
                size.ok_or_else(|| broken("a generation ends before it begins".to_owned()))?;
            heap.committed = heap.committed.saturating_add(size);
            heap.ranges.push((low, high));
        }
        for path in &self.spaces {
            let space = pages.follow(path)?;
            let word = |offset: u64| pages.word(space.wrapping_add(offset));
            let (bottom, end) = (word(self.bottom)?, word(self.end)?);
            if !heap.ranges.iter().any(|(low, high)| *low <= bottom && end <= *high) {
                return Err(broken(format!("the space {bottom:#x}..{end:#x} is in no generation")));
            }
            heap.fill(bottom, word(self.top)?, end)?;
        }
        heap.ranges.sort_unstable();
        heap.filled.sort_unstable();
        // The survivors change places: both words of one moment, or one is there twice.
        if heap.filled.windows(2).any(|two| two[0].1 > two[1].0) {
            return Err(broken("two spaces share memory".to_owned()));
        }
        Ok(heap)
    }
}

fn young_spaces(vm: &VmStructs, owner: &str) -> Fact<[u64; 3]> {
    let of = |space| vm.offset(owner, space);
    Ok([of("_eden_space")?, of("_from_space")?, of("_to_space")?])
}

/// A path that goes on from another.
fn then(path: &Path, offsets: &[u64]) -> Path {
    [path, offsets].concat()
}

#[cfg(test)]
mod tests {
    use memgap_kernel::source::pagemap::size;

    use super::*;

    fn heap() -> Heap {
        let mut heap = Heap { ranges: vec![(100, 200), (200, 400)], ..Heap::default() };
        for (bottom, top, end) in
            [(100, 120, 150), (160, 160, 190), (190, 200, 200), (200, 310, 400)]
        {
            heap.fill(bottom, top, end).expect("in order");
        }
        Heap { committed: 300, ..heap }
    }

    #[test]
    fn what_is_free_is_the_rest_of_the_ranges() {
        let heap = heap();
        assert_eq!((heap.used, size(&heap.filled)), (140, 140));
        assert_eq!(heap.free(), [(120, 190), (310, 400)]);
        assert_eq!(size(&heap.free()) + heap.used, size(&heap.ranges));
    }

    #[test]
    fn a_heap_that_breaks_a_rule_is_refused_by_it() {
        let refused = |heap: Heap, limit| heap.check(limit).expect_err("it breaks a rule").why;
        assert!(heap().check(300).is_ok());
        assert!(refused(heap(), 299).contains("a limit of 299"));
        assert!(refused(Heap { used: 301, ..heap() }, 400).contains("301 bytes used of 300"));
        for (bottom, top, end) in [(0, 1, 2), (5, 4, 6), (5, 7, 6)] {
            assert!(heap().fill(bottom, top, end).is_err(), "{bottom} {top} {end}");
        }
    }
}
