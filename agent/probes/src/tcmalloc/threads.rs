//! The caches of threads: each has a list a size class, and all are linked both ways.

use std::collections::BTreeSet;

use memgap_kernel::memory::{Space, u32_at, u64_at};
use memgap_ledger::{Fact, MissingKind};

use super::sizes::{MAX_CLASSES, Sizes};
use crate::Image;
use crate::probe::broken;

/// Bytes of a list, and where it tells the size of its objects.
const LIST: usize = 32;
const SIZE: usize = 24;
/// Behind the lists: what all of them keep.
const KEPT: usize = MAX_CLASSES * LIST;
/// `next_`, before `prev_`: since 2.10, and where which thread has it stands before.
const LINKS: [usize; 2] = [KEPT + 32, KEPT + 48];
const ALL: usize = KEPT + 64;
/// Pointers that are followed, and variables that may lead to a cache: to the first one, and
/// to the one that gives something up next.
const MAX_POINTERS: usize = 8192;
const MAX_PLACES: usize = 8;
/// Caches that are followed: one a thread.
const MAX_THREADS: usize = 4096;

/// Where pointers to caches stand, before the bias, and where caches have their links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Threads {
    places: Vec<u64>,
    links: usize,
}

/// Finds the variables that lead to a cache.
pub(super) fn find(image: &Image<'_>, sizes: &Sizes, space: &Space<'_>) -> Fact<Option<Threads>> {
    let areas = space.areas()?;
    let (mut left, mut places) = (MAX_POINTERS, Vec::new());
    let mut links = None;
    image.find_variable(8, space, |address, bytes| {
        let pointer = u64_at(bytes, 0).filter(|word| *word != 0 && word % 16 == 0);
        let area = |at: u64| areas.get(areas.partition_point(|area| area.end <= at));
        let is_heap = |at: &u64| {
            area(*at).is_some_and(|area| area.start <= *at && area.is_writable && area.is_anonymous)
        };
        if let Some(at) = pointer.filter(is_heap).filter(|_| left > 0 && places.len() < MAX_PLACES)
        {
            left -= 1;
            if let Some(found) = links_of(at, sizes, space) {
                links = links.or(Some(found));
                places.push(address);
            }
        }
        false
    })?;
    Ok(links.map(|links| Threads { places, links }))
}

/// Where the cache at an address has its links, if one is there.
fn links_of(at: u64, sizes: &Sizes, space: &Space<'_>) -> Option<usize> {
    let mut bytes = [0; ALL];
    let is_there = space.read_if_resident(at, &mut bytes).ok()?;
    if !is_there || !is_cache(&bytes, sizes) {
        return None;
    }
    let other = |at: u64| {
        let mut bytes = [0; KEPT];
        at == 0 || space.read_if_resident(at, &mut bytes) == Ok(true) && is_cache(&bytes, sizes)
    };
    LINKS.into_iter().find(|links| {
        let word = |at: usize| u64_at(&bytes, at).unwrap_or(u64::MAX);
        other(word(*links)) && other(word(links + 8))
    })
}

fn is_cache(bytes: &[u8], sizes: &Sizes) -> bool {
    let size = |class: usize| u32_at(bytes, class * LIST + SIZE).map(u64::from);
    sizes.iter().enumerate().all(|(number, class)| size(number) == Some(class.size))
}

impl Threads {
    /// How many caches there are, and the bytes that they keep.
    pub fn read(&self, bias: u64, space: &Space<'_>) -> Fact<(usize, u64)> {
        let mut first = 0;
        for place in &self.places {
            [first] = space.words(place.wrapping_add(bias))?;
            if first != 0 {
                break;
            }
        }
        if first == 0 {
            return Err(broken("no variable leads to the cache of a thread"));
        }
        let (mut met, mut kept) = (BTreeSet::new(), 0u64);
        // Both ways: the variable may lead to one in their middle.
        let mut ways = vec![(first, 0)];
        while let Some((at, from)) = ways.pop() {
            let is_new = met.insert(at);
            if met.len() > MAX_THREADS {
                return Err(broken("the list of threads' caches does not end"));
            }
            let (bytes, [next, prev]) = self.cache(at, space)?;
            if from != 0 && next != from && prev != from {
                return Err(broken("threads' caches are not linked both ways"));
            }
            if !is_new {
                continue;
            }
            kept = kept.saturating_add(bytes);
            ways.extend(
                [next, prev].iter().filter(|to| **to != 0 && **to != from).map(|to| (*to, at)),
            );
        }
        Ok((met.len(), kept))
    }

    fn cache(&self, at: u64, space: &Space<'_>) -> Fact<(u64, [u64; 2])> {
        let mut bytes = [0; ALL - KEPT];
        let start = at.checked_add(KEPT as u64).ok_or_else(|| broken("a cache is nowhere"))?;
        space.read(start, &mut bytes).map_err(|lack| match lack.kind {
            MissingKind::Malformed => broken("a thread's cache is nowhere"),
            _ => lack,
        })?;
        let word = |at: usize| u64_at(&bytes, at - KEPT).unwrap_or_default();
        // It is signed, and may be negative for a moment.
        let kept = u32_at(&bytes, 0).filter(|kept| i32::try_from(*kept).is_ok());
        let kept = kept.ok_or_else(|| broken("a thread's cache keeps less than nothing"))?;
        Ok((u64::from(kept), [word(self.links), word(self.links + 8)]))
    }
}
