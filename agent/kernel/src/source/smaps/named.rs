//! Names of the mappings that hold most: other programs choose how long theirs are, and
//! how many, so both are bounded.

use memgap_ledger::sample::{FileRange, Named};

use crate::source::maps::Mapping;
use crate::text;

/// Characters of a name that are kept.
const SHOWN: usize = 256;

/// The names of the mappings that hold most, of those seen so far.
#[derive(Debug)]
pub struct Largest {
    /// How many are kept.
    most: usize,
    kept: Vec<(u64, Named)>,
    /// What a mapping must hold to be kept.
    least: u64,
}

impl Largest {
    /// At most so many.
    pub fn of(most: usize) -> Self {
        Self { most, kept: Vec::new(), least: 0 }
    }

    /// Keeps the name of an area, whose mapping holds so many bytes.
    pub fn keep(&mut self, area: usize, bytes: u64, mapping: &Mapping<'_>) {
        if self.most == 0 || bytes < self.least {
            return;
        }
        let file =
            FileRange { device: mapping.device, inode: mapping.inode, offset: mapping.offset };
        let named = Named {
            area,
            access: mapping.access,
            name: text::printable(mapping.name, SHOWN).into(),
            // The first System V segment has inode 0.
            file: (mapping.inode != 0 || mapping.device != (0, 0)).then_some(file),
        };
        self.kept.push((bytes, named));
        if self.kept.len() == self.most.saturating_mul(2) {
            self.drop_smaller();
        }
    }

    /// The names, in the order of the areas.
    pub fn finish(mut self) -> Vec<Named> {
        self.drop_smaller();
        let mut names: Vec<Named> = self.kept.into_iter().map(|(_, named)| named).collect();
        names.sort_unstable_by_key(|named| named.area);
        names
    }

    fn drop_smaller(&mut self) {
        if self.kept.len() > self.most {
            let (_, (least, _), _) = self
                .kept
                .select_nth_unstable_by_key(self.most, |(bytes, _)| std::cmp::Reverse(*bytes));
            self.least = *least;
            self.kept.truncate(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_kept_in_the_order_of_the_areas() {
        let mapping = |name| Mapping {
            start: 0,
            end: 0,
            access: *b"rw-p",
            offset: 0,
            device: (0, 0),
            inode: 0,
            name,
        };
        let mut largest = Largest::of(3);
        for (area, bytes) in [5, 1, 9, 2, 7, 8, 3, 4].into_iter().enumerate() {
            largest.keep(area, bytes, &mapping(b"a\x1b"));
        }
        let kept = largest.finish();
        let areas: Vec<usize> = kept.iter().map(|named| named.area).collect();
        assert_eq!(areas, [2, 4, 5]);
        assert_eq!((&*kept[0].name, kept[0].file), ("a\u{fffd}", None));

        let mut none = Largest::of(0);
        none.keep(0, 1, &mapping(b""));
        assert!(none.finish().is_empty());
    }
}
