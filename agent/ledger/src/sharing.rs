//! With whom a process shares its pages: why its RSS exceeds its PSS.

use std::collections::BTreeMap;

use crate::sample::{Area, FileRange, Named, Walk};

/// What of `Rss - Pss` is for which reason; the parts sum to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sharing {
    /// Pages that the kernel merged with equal ones, its own or others' (KSM).
    pub merged: u64,
    /// Pages that the process itself maps several times, as far as its mappings' names were
    /// kept.
    pub own: u64,
    /// Pages that other processes map too.
    pub others: u64,
    /// What is left of PSS, where all of it counts for another process with the same memory.
    pub elsewhere: u64,
}

/// Divides what a walk saw; `is_elsewhere` tells that it counts for another process.
pub(crate) fn sharing(walk: &Walk, is_elsewhere: bool) -> Sharing {
    let sum = |field: fn(&Area) -> u64| {
        walk.areas.iter().fold(0u64, |sum, area| sum.saturating_add(field(area)))
    };
    let whole = sum(|area| area.rss.saturating_sub(area.pss));
    // What the merged pages keep of PSS is not told: a page is seldom merged with few others.
    let merged = sum(|a| a.merged.unwrap_or(0).min(a.rss.saturating_sub(a.pss))).min(whole);
    let own = mapped_again(walk).min(whole - merged);
    let elsewhere = if is_elsewhere { sum(|area| area.pss) } else { 0 };
    Sharing { merged, own, others: whole - merged - own, elsewhere }
}

/// Device and inode of a file, and where in it a mapping begins.
type Place = ((u32, u32), u64, u64);

/// Pages that stand in several mappings of the process: of mappings that begin at the same
/// place of a file, the largest shows each page once.
fn mapped_again(walk: &Walk) -> u64 {
    let mut places: BTreeMap<Place, (u64, u64)> = BTreeMap::new();
    let shared = |named: &&Named| named.access[3] == b's';
    for named in walk.named.iter().filter(shared) {
        let (Some(area), Some(file)) = (walk.areas.get(named.area), named.file) else { continue };
        let FileRange { device, inode, offset } = file;
        let (sum, largest) = places.entry((device, inode, offset)).or_default();
        *sum = sum.saturating_add(area.rss);
        *largest = area.rss.max(*largest);
    }
    places.values().fold(0, |all, (sum, largest)| all.saturating_add(sum - largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(areas: Vec<Area>, files: &[Option<u64>]) -> Walk {
        let named = files.iter().enumerate().filter_map(|(area, inode)| {
            let file = FileRange { device: (0, 1), inode: (*inode)?, offset: 0 };
            Some(Named { area, access: *b"rw-s", name: "/memfd:a".into(), file: Some(file) })
        });
        Walk { named: named.collect(), areas: areas.into(), ..Walk::default() }
    }

    #[test]
    fn pages_of_one_process_alone_are_no_other_processes() {
        let thrice = |_| Area { rss: 60, pss: 20, ..Area::default() };
        let seen = walk((0..3).map(thrice).collect(), &[Some(7), Some(7), Some(7)]);
        let own = Sharing { own: 120, ..Sharing::default() };
        assert_eq!(sharing(&seen, false), own);
        assert_eq!(sharing(&seen, true), Sharing { elsewhere: 60, ..own });
    }

    #[test]
    fn the_parts_sum_to_the_whole() {
        let areas = vec![
            Area { rss: 120, pss: 2, merged: Some(120), ..Area::default() },
            Area { rss: 50, pss: 10, ..Area::default() },
        ];
        let found = Sharing { merged: 118, others: 40, ..Sharing::default() };
        assert_eq!(sharing(&walk(areas, &[]), false), found);
    }
}
