//! Intervals hold the truth: of memory whose every page is known, what the ledger makes of
//! sums and ranges alone lies around what is so.

use std::time::Duration;

use memgap_ledger::claim::{Claim, Extent, Part, Priority};
use memgap_ledger::sample::{Area, AreaKind, Counters, ProcessKind, ProcessSample, Walk};
use memgap_ledger::{Account, Figure, ProcessLedger, Runtime, process, program};
use proptest::prelude::*;
use proptest::sample::select;

const PAGE: u64 = 4096;

/// Where a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Live,
    Lazy,
    Swapped,
    Absent,
}

/// A page and what it is.
#[derive(Debug, Clone, Copy)]
struct Page {
    place: Place,
    /// Whether another process maps it too.
    shared: bool,
    /// Which claim speaks of it, and as what; none of an allocator that nobody reads.
    claim: Option<(usize, Account)>,
    /// Whether an allocator keeps it that has given it back.
    retained: bool,
}

/// Two claims with addresses, and two without.
const CLAIMS: usize = 4;
const RANGED: usize = 2;

fn page(forked: bool) -> impl Strategy<Value = Page> {
    let place = prop_oneof![
        6 => Just(Place::Live),
        1 => Just(Place::Lazy),
        1 => Just(Place::Swapped),
        3 => Just(Place::Absent),
    ];
    let accounts = [Account::HeapInUse, Account::AllocatorFree, Account::AllocatorMetadata];
    let claim = prop::option::weighted(0.8, (0..CLAIMS, select(accounts.to_vec())));
    let all = (place, any::<bool>(), claim, prop::bool::weighted(0.7));
    all.prop_map(move |(place, shared, claim, retained)| Page {
        place,
        shared: forked && shared,
        claim,
        retained: retained && claim.is_none(),
    })
}

/// Mappings with holes between them: runs of like pages, as allocators have them.
fn mappings() -> impl Strategy<Value = Vec<Vec<Page>>> {
    let mapping = |forked| {
        prop::collection::vec((page(forked), 1usize..12), 1..8).prop_map(|runs| {
            runs.into_iter().flat_map(|(page, n)| std::iter::repeat_n(page, n)).collect()
        })
    };
    any::<bool>().prop_flat_map(move |forked| prop::collection::vec(mapping(forked), 1..4))
}

fn start(mapping: usize) -> u64 {
    (mapping as u64 + 1) << 32
}

fn pages_of(mappings: &[Vec<Page>]) -> impl Iterator<Item = (u64, Page)> {
    mappings.iter().enumerate().flat_map(|(m, pages)| {
        pages.iter().enumerate().map(move |(n, page)| (start(m) + n as u64 * PAGE, *page))
    })
}

fn ranges(mappings: &[Vec<Page>], is_in: impl Fn(&Page) -> bool) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for (at, _) in pages_of(mappings).filter(|(_, page)| is_in(page)) {
        match ranges.last_mut().filter(|(_, end)| *end == at) {
            Some((_, end)) => *end += PAGE,
            None => ranges.push((at, at + PAGE)),
        }
    }
    ranges
}

fn area(mapping: usize, pages: &[Page]) -> Area {
    let sum = |is_in: fn(&&Page) -> bool| pages.iter().filter(is_in).count() as u64 * PAGE;
    let rss = sum(|p| matches!(p.place, Place::Live | Place::Lazy));
    let shared = sum(|p| matches!(p.place, Place::Live | Place::Lazy) && p.shared);
    Area {
        start: start(mapping),
        end: start(mapping) + pages.len() as u64 * PAGE,
        kind: AreaKind::Anonymous,
        accessible: true,
        writable: true,
        rss,
        pss: rss - shared / 2,
        anonymous: rss,
        private: rss - shared,
        lazy_free: sum(|p| p.place == Place::Lazy),
        swap: sum(|p| p.place == Place::Swapped),
        ..Area::default()
    }
}

/// The allocators' claims, and what they keep that is not in memory.
fn claims(mappings: &[Vec<Page>]) -> Vec<Claim> {
    let is_absent = |p: &Page| p.retained && matches!(p.place, Place::Swapped | Place::Absent);
    let absent = Claim::absent(Priority::Malloc, "allocator", ranges(mappings, is_absent));
    (0..CLAIMS).map(|number| claim(mappings, number)).chain([absent]).collect()
}

fn claim(mappings: &[Vec<Page>], number: usize) -> Claim {
    let is_of = |page: &Page| page.claim.is_some_and(|(claim, _)| claim == number);
    let amount = |account| Part {
        account,
        bytes: PAGE
            * pages_of(mappings).filter(|(_, p)| p.claim == Some((number, account))).count() as u64,
    };
    Claim {
        priority: Priority::Malloc,
        owner: format!("allocator-{number}"),
        extent: if number < RANGED {
            Extent::Ranges(ranges(mappings, is_of))
        } else {
            Extent::Anywhere
        },
        parts: [Account::HeapInUse, Account::AllocatorFree, Account::AllocatorMetadata]
            .map(amount)
            .to_vec(),
    }
}

fn explain(mappings: &[Vec<Page>], every_page: bool) -> ProcessLedger {
    let areas: Vec<Area> = mappings.iter().enumerate().map(|(n, pages)| area(n, pages)).collect();
    let is_resident = |page: &Page| matches!(page.place, Place::Live | Place::Lazy);
    let rss = areas.iter().map(|a| a.rss).sum();
    process::ledger(&ProcessSample {
        lazily_freed: None,
        one_memory: None,
        pid: 1,
        name: "known".to_owned(),
        kind: ProcessKind::User,
        counters: Ok(Counters {
            source: "status",
            vsz: areas.iter().map(Area::size).sum(),
            rss,
            anon: rss,
            file: Some(0),
            shmem: Some(0),
            swap: Some(areas.iter().map(|a| a.swap).sum()),
            threads: Some(1),
            ..Counters::default()
        }),
        walk: Ok(Walk {
            areas: areas.into(),
            age: Duration::ZERO,
            resident: every_page.then(|| Ok(ranges(mappings, is_resident).into())),
            ..Walk::default()
        }),
        claims: claims(mappings),
        runtimes: vec![Ok(Runtime::named("allocator"))],
        cgroup: Ok("/known".to_owned()),
    })
}

fn holds(what: &str, figure: Figure, truth: u64) -> Result<(), TestCaseError> {
    let truth = i64::try_from(truth).expect("a few pages");
    let (low, high) = figure.bounds().expect("known");
    prop_assert!(low <= truth && truth <= high, "{what}: {truth} in {figure:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_is_so_lies_within_the_bounds(mappings in mappings(), every_page in any::<bool>()) {
        let made = explain(&mappings, every_page);
        let count = |is_in: &dyn Fn(&Page) -> bool| {
            pages_of(&mappings).filter(|(_, page)| is_in(page)).count() as u64 * PAGE
        };
        let is = |page: &Page, account| page.claim.is_some_and(|(_, is)| is == account);
        for account in [Account::HeapInUse, Account::AllocatorFree, Account::AllocatorMetadata] {
            let live = count(&|p| p.place == Place::Live && is(p, account));
            holds(account.name(), made.ledger.figure(account), live)?;
        }
        let nobodys = count(&|p| p.place == Place::Live && p.claim.is_none());
        holds("unexplained", made.ledger.figure(Account::Unexplained), nobodys)?;

        let Some(in_use) = made.in_use else { return Ok(()) };
        for (place, figure) in [
            (Place::Live, in_use.resident),
            (Place::Absent, in_use.untouched),
            (Place::Swapped, in_use.swapped),
            (Place::Lazy, in_use.lazy),
        ] {
            let truth = count(&|p| p.place == place && is(p, Account::HeapInUse));
            holds(&format!("{place:?} in use"), figure, truth)?;
        }
        let all = count(&|p| is(p, Account::HeapInUse));
        holds("in use", made.headline.in_use, all)?;
        let unread = |p: &Page| {
            p.claim.is_none() && !p.retained && matches!(p.place, Place::Live | Place::Swapped)
        };
        holds("in use, unread memory too", made.headline.in_use, all + count(&unread))?;

        let half = |p: &Page| matches!(p.place, Place::Live | Place::Lazy) && p.shared;
        let shared = count(&|p| is(p, Account::HeapInUse) && half(p));
        let charged = made.charged_in_use.as_ref().expect("some is in use").total;
        holds("charged", charged, all - shared / 2)?;
        let nobodys = count(&|p| unread(p) && half(p));
        let whole = all - shared / 2 + count(&unread) - nobodys / 2;
        holds("not read", made.not_read, count(&unread) - nobodys / 2)?;
        let [row] = &program::programs(&[made], false)[..] else { panic!("one program") };
        holds("in use of the program", row.in_use, all - shared / 2)?;
        holds("in use of the program, unread memory too", row.in_use, whole)?;
    }
}
