//! Law P2: one walk's resident memory, split among accounts.

use crate::Account;
use crate::claim::{Claim, Extent};
use crate::claims;
use crate::fact::{Missing, MissingKind};
use crate::figure::{Figure, difference, signed};
use crate::largest;
use crate::parts::Split;
use crate::pool::{Pages, Pool};
use crate::role::{self, Role};
use crate::sample::{Area, Counters, Walk};

/// What a walk tells of itself, so that 0 is a measured 0.
const MEASURED: &[Account] = &[
    Account::JitCode,
    Account::Stack,
    Account::ElfData,
    Account::HeapUnprobed,
    Account::Unexplained,
    Account::Unreadable,
    Account::LazyFree,
    Account::FileMapped,
    Account::Shmem,
    Account::KernelMapped,
    Account::Device,
];

/// Splits a walk. What no claim finds in a heap is `rest`. The counters bound how many
/// stacks are recognised, and tell what came and went since a walk that is dated.
pub(crate) fn of_walk<'c>(
    walk: &Walk,
    claims: impl Iterator<Item = &'c Claim>,
    rest: Account,
    counters: Option<&Counters>,
) -> Split {
    let roles = role::roles(walk, counters.and_then(|c| c.threads));
    let resident = walk.resident.as_ref().and_then(|resident| resident.as_deref().ok());
    let is_heap = |role| matches!(role, Role::Heap | Role::BesideData | Role::PerhapsStack);
    let pool = |(area, role): (&Area, &Role)| Pool::of(area, is_heap(*role), resident.is_some());
    let mut pools: Vec<Pool> = walk.areas.iter().zip(&roles).map(pool).collect();
    let mut split =
        Split { source: "smaps", charged_high: charged_high(&pools), ..Split::default() };
    let pages = Pages(resident.unwrap_or_default());
    claims::book(claims, &mut pools, &pages, &mut split);

    split.largest = largest::holdings(walk, &pools, &roles, rest);

    for account in MEASURED {
        split.add(*account, Figure::Exact(0), 0);
    }
    let mut unclaimed = Unclaimed::default();
    for ((area, pool), role) in walk.areas.iter().zip(&pools).zip(roles) {
        let live = signed(pool.live());
        let (low, high) = pool.left_bounds();
        let (low, high) = (signed(low), signed(high));
        let (likely, perhaps) = match role {
            Role::Stack => (Account::Stack, None),
            Role::LikelyStack => (Account::Stack, Some(rest)),
            Role::PerhapsStack => (rest, Some(Account::Stack)),
            Role::Code => (Account::JitCode, None),
            Role::Data => (Account::ElfData, None),
            Role::Bss => (Account::ElfData, Some(rest)),
            Role::BesideData => (rest, Some(Account::ElfData)),
            Role::Heap => (rest, None),
        };
        let low = if perhaps.is_some() { 0 } else { low };
        if likely == rest {
            unclaimed.add(low, live, high);
            split.add(likely, Figure::Exact(0), signed(pool.charged()));
        } else {
            split.add(likely, Figure::interval(low, live, high), signed(pool.charged()));
        }
        if let Some(perhaps) = perhaps {
            split.add(perhaps, Figure::interval(0, 0, high), 0);
        }
        split.add(Account::LazyFree, Figure::exact(pool.lazy), signed(pool.lazy_charged));
        split.add(largest::backing(area.kind), Figure::exact(pool.backed()), 0);
    }
    split.add(rest, unclaimed.figure(split.loose), 0);
    if let Some(counters) = counters {
        let then = walk.areas.iter().fold(0u64, |sum, a| sum.saturating_add(a.anonymous));
        split.skew = difference(counters.anon, then);
        if !walk.age.is_zero() {
            split.bring_forward(rest);
        }
    }
    split
}

/// What no claim finds in heaps. Amounts without addresses leave open where they lie, but
/// not how much of them is there.
#[derive(Debug, Clone, Copy, Default)]
struct Unclaimed {
    low: i64,
    point: i64,
    high: i64,
}

impl Unclaimed {
    fn add(&mut self, low: i64, point: i64, high: i64) {
        self.low = self.low.saturating_add(low);
        self.point = self.point.saturating_add(point);
        self.high = self.high.saturating_add(high);
    }

    /// `loose` is what amounts without addresses hold, at least and at most.
    fn figure(self, (least, most): (i64, i64)) -> Figure {
        let low = self.low.saturating_sub(most).max(0);
        Figure::interval(low, self.point, self.high.saturating_sub(least))
    }
}

/// Splits by the kernel's counters, for want of a walk: anonymous memory is one
/// lump, in which claims find what they can. What is left is lazily freed as far as
/// heap statistics or a sample of its pages say that so much is; to a cgroup, whose lists know better, it stays a lump.
pub(crate) fn of_counters(
    counters: &Counters,
    claims: &[Claim],
    unclaimed: Account,
    lazily_freed: Figure,
    no_walk: Option<&Missing>,
) -> Split {
    let backed = counters.rss.saturating_sub(counters.anon);
    let mut pools =
        [Pool::lump(counters.anon), Pool::shared_lump(counters.shmem.unwrap_or(backed))];
    let mut split =
        Split { source: counters.source, charged_high: charged_high(&pools), ..Split::default() };
    let anywhere: Vec<Claim> = claims.iter().filter_map(without_addresses).collect();
    claims::book(anywhere.iter(), &mut pools, &Pages(&[]), &mut split);
    split.swap_left = counters.swap.unwrap_or(0);

    let rest = signed(pools[0].live());
    let lazy = lazily_freed.point().unwrap_or(0).min(rest);
    if let Some((_, high)) = lazily_freed.bounds() {
        let high = high.min(signed(counters.anon));
        split.add(Account::LazyFree, Figure::interval(0, lazy, high), 0);
    }
    let (account, low) = match no_walk {
        Some(lack) if lack.kind == MissingKind::Denied => (Account::Unreadable, rest - lazy),
        _ => (unclaimed, 0),
    };
    split.add(account, Figure::interval(low, rest - lazy, rest), rest);
    match (counters.file, counters.shmem) {
        (Some(file), Some(_)) => {
            split.add(Account::FileMapped, Figure::exact(file), 0);
            split.add(Account::Shmem, Figure::exact(pools[1].backed()), 0);
        }
        _ => {
            let both = signed(pools[1].backed());
            split.add(Account::FileMapped, Figure::interval(0, both, both), 0);
        }
    }
    split
}

fn charged_high(pools: &[Pool]) -> u64 {
    pools.iter().fold(0, |sum, pool| sum.saturating_add(pool.charged_high()))
}

fn without_addresses(claim: &Claim) -> Option<Claim> {
    let extent = match claim.extent {
        Extent::Shared(_) => Extent::Shared(vec![(0, u64::MAX)]),
        Extent::Ranges(_) | Extent::Anywhere => Extent::Anywhere,
        Extent::Absent(_) => return None,
    };
    Some(Claim { extent, ..claim.clone() })
}

impl Split {
    /// Books what the counters say came or went since the walk: heap, most likely.
    /// What can not be taken off the heap stays skew.
    fn bring_forward(&mut self, heap: Account) {
        let held = self.rss.get(&heap).and_then(|f| f.point()).unwrap_or(0);
        let change = self.skew.max(-held);
        self.skew = self.skew.saturating_sub(change);
        let (low, high) = (change.min(0), change.max(0));
        let charged = self.charged.get(&heap).copied().unwrap_or(0);
        self.add(heap, Figure::interval(low, change, high), change.max(-charged));
        self.charged_high = self.charged_high.saturating_add(high.unsigned_abs());
    }

    /// The skew as far as a cgroup may be charged for it: pages that several processes map count
    /// for each of them in the counters.
    pub(crate) fn charged_skew(&self) -> Figure {
        Figure::interval(self.skew.min(0), 0, self.skew.max(0))
    }

    /// Widens what is in use, and with it what is free, by what heap statistics leave open:
    /// `below` and `above` what they tell.
    pub(crate) fn widen(&mut self, below: i64, above: i64) {
        if let (Some(charged), Some(in_use)) = (&mut self.charged_in_use, self.in_use) {
            charged.widen(below, above, in_use.total);
        }
        let spreads = [(Account::HeapInUse, below, above), (Account::AllocatorFree, above, below)];
        for (account, below, above) in spreads {
            let Some(figure) = self.rss.get_mut(&account) else { continue };
            if let (Some(point), Some((low, high))) = (figure.point(), figure.bounds()) {
                let low = low.saturating_sub(below).max(0);
                *figure = Figure::interval(low, point, high.saturating_add(above));
            }
        }
    }
}
