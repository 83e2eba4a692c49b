//! The page on which a program that links memgap-beacon tells its own statistics
//! (docs/beacon.md): found by its name among the mappings, and believed as far as any
//! word of a program.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memgap_kernel::memory::{Space, u64_at};
use memgap_kernel::source::maps::Mapping;
use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::runtime::Runtime;
use memgap_ledger::{Account, Fact, Missing, SecondSource};

use super::{Detail, HeapStatistics, Layout, Mapped};
use crate::probe::broken;

/// Whose statistics they are, by the name that the probe has too.
pub(super) const RUNTIME: &str = "jemalloc";
/// What they are recognised by.
const SOURCE: &str = "memgap-beacon";

const SIZE: usize = 4096;
const MAGIC: &[u8] = b"MEMGAP\0B";
const VERSION: u64 = 1;
/// Readings of a page that is written meanwhile.
const TRIES: usize = 4;
const MAX_GAUGES: u64 = 96;

/// By how much the program's clock and ours may be apart.
const CLOCK: Duration = Duration::from_secs(5);

/// Offsets in bytes.
const AT_VERSION: usize = 8;
const AT_SEQUENCE: usize = 16;
const AT_TIME: usize = 24;
const AT_STATISTICS: usize = 32;
const AT_COUNT: usize = 96;
const AT_GAUGES: usize = 128;
/// Of a gauge: its name, padded with zeros, then its value.
const NAME: usize = 32;
const GAUGE: usize = 40;

/// The page of a beacon.
#[derive(Debug)]
pub struct Beacon;

/// The beacon that a mapping is, if it is one.
pub(super) fn of(mapping: &Mapping<'_>) -> Option<Mapped> {
    let is_one = mapping.name == b"/memfd:memgap-beacon (deleted)"
        && mapping.access[3] == b's'
        && mapping.offset == 0;
    is_one.then(|| Mapped { path: "/memfd:memgap-beacon".to_owned(), bias: mapping.start })
}

impl Layout for Beacon {
    fn read(&self, mapped: &Mapped, space: &Space<'_>, _: Detail) -> Fact<HeapStatistics> {
        let page = consistent(mapped.bias, space)?;
        decode(&page, SystemTime::now())
    }
}

/// The page, of one writing.
fn consistent(at: u64, space: &Space<'_>) -> Fact<Vec<u8>> {
    let mut page = vec![0; SIZE];
    for _ in 0..TRIES {
        space.read(at, &mut page)?;
        let [after] = space.words::<1>(at.saturating_add(AT_SEQUENCE as u64))?;
        if after % 2 == 0 && u64_at(&page, AT_SEQUENCE) == Some(after) {
            return Ok(page);
        }
    }
    Err(broken(format!("it was written in each of {TRIES} readings")))
}

fn decode(page: &[u8], now: SystemTime) -> Fact<HeapStatistics> {
    let word = |at: usize| u64_at(page, at).unwrap_or_default();
    if !page.starts_with(MAGIC) {
        return Err(broken("it does not begin as a beacon does"));
    }
    if word(AT_VERSION) != VERSION {
        let why = format!("its version is {}, known is {VERSION}", word(AT_VERSION));
        return Err(Missing::absent(why));
    }
    let statistic = |number: usize| word(AT_STATISTICS + 8 * number);
    let [allocated, active, metadata, _, _, retained, dirty, muzzy] =
        std::array::from_fn(statistic);
    let holes = active.checked_sub(allocated);
    let holes = holes.ok_or_else(|| broken("it tells more allocated than active memory"))?;
    let given_back = muzzy.saturating_add(retained);
    let reported = UNIX_EPOCH.checked_add(Duration::from_nanos(word(AT_TIME)));
    // Clocks are set now and then, but by less than this.
    let age = reported.and_then(|reported| (now + CLOCK).duration_since(reported).ok());
    let age = age.ok_or_else(|| broken("it was reported in the future"))?.saturating_sub(CLOCK);
    let mut evidence =
        vec![format!("{SOURCE}: reported by the program itself {:.1} s before", age.as_secs_f64())];
    evidence.extend(gauges(page, word(AT_COUNT))?);
    let free = holes.saturating_add(dirty);
    let runtime = Runtime {
        age,
        in_use: Some(allocated),
        free: Some(free.saturating_add(given_back)),
        released: Some(given_back),
        lazily_freed: Some(muzzy),
        trimmable: Some(dirty),
        evidence,
        second_source: Some(SecondSource {
            name: SOURCE.to_owned(),
            in_use: allocated,
            differs_by: 0,
        }),
        ..Runtime::named(RUNTIME)
    };
    Ok(HeapStatistics { runtime, claims: claims(allocated, free, metadata) })
}

/// The gauges as sentences.
fn gauges(page: &[u8], count: u64) -> Fact<Vec<String>> {
    if count > MAX_GAUGES {
        return Err(broken("it has more gauges than it has room for"));
    }
    let all = page.get(AT_GAUGES..).unwrap_or_default().chunks_exact(GAUGE);
    let of = |gauge: &[u8]| {
        let (name, value) = gauge.split_at(NAME);
        let name = name.split(|b| *b == 0).next().unwrap_or_default();
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"_.:-".contains(b);
        let name = std::str::from_utf8(name).ok().filter(|n| n.bytes().all(|b| is_part(&b)));
        let name = name.filter(|n| !n.is_empty());
        let name = name.ok_or_else(|| broken("the name of a gauge is not one"))?;
        Ok(format!("{SOURCE}: {name} is {}", u64_at(value, 0).unwrap_or_default()))
    };
    all.take(usize::try_from(count).unwrap_or_default()).map(of).collect()
}

/// Amounts: the page tells no addresses. What was given out is touched, while tables
/// mostly are not: it takes its part of the resident memory first.
fn claims(allocated: u64, free: u64, metadata: u64) -> Vec<Claim> {
    let claim = |priority, parts: &[(Account, u64)]| Claim {
        priority,
        owner: RUNTIME.to_owned(),
        extent: Extent::Anywhere,
        parts: parts.iter().map(|&(account, bytes)| Part { account, bytes }).collect(),
    };
    let kept = [(Account::AllocatorFree, free), (Account::AllocatorMetadata, metadata)];
    vec![
        claim(Priority::Object, &[(Account::HeapInUse, allocated)]),
        claim(Priority::Malloc, &kept),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page with a gauge.
    fn page() -> Vec<u8> {
        let mut page = vec![0; SIZE];
        page[..8].copy_from_slice(MAGIC);
        let figures = [(AT_VERSION, 1), (AT_SEQUENCE, 2), (AT_STATISTICS, 40), (AT_COUNT, 1)];
        let more = [(AT_STATISTICS + 8, 100), (AT_STATISTICS + 48, 5), (AT_GAUGES + NAME, 7)];
        for (at, value) in figures.into_iter().chain(more) {
            put(&mut page, at, value);
        }
        page[AT_GAUGES..AT_GAUGES + 5].copy_from_slice(b"cache");
        page
    }

    fn put(page: &mut [u8], at: usize, value: u64) {
        page[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    #[test]
    fn a_page_is_understood() {
        let now = UNIX_EPOCH + Duration::from_secs(3);
        let runtime = decode(&page(), now).expect("in form").runtime;
        assert_eq!(
            (runtime.in_use, runtime.free, runtime.trimmable),
            (Some(40), Some(65), Some(5))
        );
        let said = ["memgap-beacon: reported by the program itself 3.0 s before"];
        assert_eq!(runtime.evidence[..1], said);
        assert_eq!(runtime.evidence[1..], ["memgap-beacon: cache is 7"]);
    }

    #[test]
    fn a_page_that_is_no_beacons_is_refused_by_name() {
        for (at, value, rule) in [
            (0, 0, "does not begin"),
            (AT_VERSION, 2, "its version is 2"),
            (AT_STATISTICS, 101, "more allocated than active"),
            (AT_COUNT, MAX_GAUGES + 1, "more gauges"),
            (AT_COUNT, u64::MAX, "more gauges"),
            (AT_COUNT, 2, "name of a gauge"),
            (AT_GAUGES, u64::from_le_bytes(*b"\x1b[31m\n\xff\xff"), "name of a gauge"),
        ] {
            let mut page = page();
            put(&mut page, at, value);
            let lack = decode(&page, UNIX_EPOCH).expect_err(rule);
            assert!(lack.why.contains(rule), "{rule}: {lack}");
        }
    }

    proptest! {
        #[test]
        fn pages_of_any_kind_are_answered_or_refused(
            words in prop::collection::vec((0..SIZE / 8, any::<u64>()), 0..64),
            count in 0..=MAX_GAUGES,
        ) {
            let mut page = page();
            put(&mut page, AT_COUNT, count);
            for (at, word) in words {
                put(&mut page, at * 8, word);
            }
            let _ = decode(&page, UNIX_EPOCH);
        }
    }
}
