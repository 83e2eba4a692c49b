//! Finds the variables without symbols: by what they point to.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use memgap_kernel::memory::{Area, Space, WINDOW, u64_at};
use memgap_ledger::{Fact, Missing};

use super::arena::{self, BinInfo};
use super::size::Quantum;
use super::{MAX_ARENAS, Shape, Variables, statistics};
use crate::Image;
use crate::probe::broken;

/// Pointers that may lead to an arena; a program that shows more is made to.
const MAX_PLACES: usize = 8192;
/// Arenas are aligned as lines of the cache are.
const ALIGNED: u64 = 64;
/// The words that tell the table of small sizes, and how far they are apart.
const BIN_INFO: usize = 40;
const TABLE: usize = 4 * BIN_INFO;

/// `arenas`, `bin_infos` and the quantum of the image in a process.
pub(super) fn variables(
    image: &Image<'_>,
    shape: &'static Shape,
    space: &Space<'_>,
) -> Fact<(u64, u64, Quantum)> {
    let found = scan(image, space)?;
    let Some((bin_infos, quantum)) = found.table else {
        return Err(Missing::absent(
            "jemalloc's table of sizes was not found: it is of a build that is not known",
        ));
    };
    let mut why = broken(
        "no arena was found: the program allocates nothing by it, or it is of an unknown build",
    );
    for arenas in arenas(&found.pointers, bin_infos, quantum, shape, space) {
        let variables =
            Variables { version: String::new(), variable: None, arenas, bin_infos, quantum, shape };
        match statistics::prove(&variables, space) {
            Ok(()) => return Ok((arenas, bin_infos, quantum)),
            Err(lack) => why = lack,
        }
    }
    Err(why)
}

/// The arrays that pointers to arenas may be at home in, most pointers first. Like
/// arenas the array is aligned; a variable that points to the first arena mostly is not.
fn arenas(
    pointers: &[(u64, u64)],
    bin_infos: u64,
    quantum: Quantum,
    shape: &'static Shape,
    space: &Space<'_>,
) -> Vec<u64> {
    let variables =
        Variables { version: String::new(), variable: None, arenas: 0, bin_infos, quantum, shape };
    let mut numbers: BTreeMap<u64, Option<u32>> = BTreeMap::new();
    let mut votes: BTreeMap<u64, u32> = BTreeMap::new();
    for &(at, pointer) in pointers {
        let number = *numbers.entry(pointer).or_insert_with(|| {
            let number = arena::number(pointer, &variables, space).ok();
            number.filter(|number| *number < MAX_ARENAS)
        });
        let home = number.map(|number| at.wrapping_sub(8 * u64::from(number)));
        if let Some(home) = home.filter(|home| home % ALIGNED == 0) {
            *votes.entry(home).or_default() += 1;
        }
    }
    let mut homes: Vec<(u64, u32)> = votes.into_iter().collect();
    homes.sort_unstable_by_key(|(home, count)| (Reverse(*count), *home));
    homes.into_iter().map(|(home, _)| home).collect()
}

/// What the image's variables show.
#[derive(Debug, Default)]
struct Found {
    /// Where the table of small sizes is, and which.
    table: Option<(u64, Quantum)>,
    /// Places and the anonymous memory that they point to.
    pointers: Vec<(u64, u64)>,
}

/// Scans what is resident of the image's variables.
fn scan(image: &Image<'_>, space: &Space<'_>) -> Fact<Found> {
    let areas = space.areas()?;
    let mut found = Found::default();
    let mut buf = vec![0; WINDOW];
    for segment in image.elf.segments.iter().filter(|s| s.writable) {
        let start = segment.address.wrapping_add(image.mapped.bias);
        let end = start.saturating_add(segment.memory_size);
        for (from, to) in space.resident(start, end)? {
            let (mut at, to) = (from.max(start) & !7, to.min(end));
            while at < to {
                let len = usize::try_from(to - at).map_or(WINDOW, |rest| rest.min(WINDOW));
                space.read(at, &mut buf[..len])?;
                found.add(at, &buf[..len], &areas);
                if len < WINDOW {
                    break;
                }
                // The next window sees a table that this one cuts.
                at += (WINDOW - TABLE) as u64;
            }
        }
    }
    Ok(found)
}

impl Found {
    fn add(&mut self, start: u64, bytes: &[u8], areas: &[Area]) {
        for (offset, at) in (0..bytes.len()).step_by(8).zip((start..).step_by(8)) {
            let Some(word) = u64_at(bytes, offset) else { break };
            if word == 8 && self.table.is_none() {
                self.table = quantum(bytes, offset).map(|quantum| (at, quantum));
            }
            let is_pointer = word != 0 && word % ALIGNED == 0 && is_anonymous(word, areas);
            if is_pointer && self.pointers.len() < MAX_PLACES {
                self.pointers.push((at, word));
            }
        }
    }
}

/// The quantum whose table of small sizes begins at the place.
fn quantum(bytes: &[u8], offset: usize) -> Option<Quantum> {
    [Quantum::Sixteen, Quantum::Eight].into_iter().find(|quantum| {
        // Other tables may have these sizes, as far apart.
        let places = (offset..).step_by(BIN_INFO);
        let is_class = |(at, size): (usize, u64)| {
            let info = bytes.get(at..).and_then(BinInfo::of);
            info.is_some_and(|info| info.region == size)
        };
        places.zip(quantum.first_sizes()).all(is_class)
    })
}

fn is_anonymous(address: u64, areas: &[Area]) -> bool {
    let index = areas.partition_point(|area| area.end <= address);
    areas.get(index).is_some_and(|a| a.start <= address && a.is_writable && a.is_anonymous)
}
