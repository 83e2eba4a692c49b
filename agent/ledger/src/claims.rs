//! Booking claims: ranges meet mappings, and no byte is booked twice.

use std::collections::BTreeMap;

use crate::Account;
use crate::claim::{Claim, Extent};
use crate::figure::{Figure, signed};
use crate::sample::{Area, AreaKind};
use crate::split::{InUse, Split};

/// What of a mapping is still to be booked.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    start: u64,
    end: u64,
    /// Lazily freed: booked by the walk, never by a claim.
    pub lazy: u64,
    /// Anonymous, less what is lazily freed, and what claims took of it.
    live: Taken,
    /// Shared memory counts as claimable: some heaps live there.
    backed: Taken,
    /// The part of `live` that a cgroup is charged for this process.
    charged: Taken,
    /// The part of `lazy` that a cgroup is charged for this process.
    pub lazy_charged: u64,
    swap: u64,
    /// Whether an amount without addresses may lie here.
    heap: bool,
    shared: bool,
    /// Whether the pages of the process that are known to be resident tell which
    /// of these are: no page of a file stands between them.
    paged: bool,
    /// Bytes of address space that claims took.
    covered: u64,
}

/// An amount, and how much of it is gone.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    all: u64,
    taken: u64,
}

impl Taken {
    fn of(all: u64) -> Self {
        Self { all, taken: 0 }
    }

    fn left(self) -> u64 {
        self.all - self.taken
    }

    /// Takes the share that `part` is of `whole`, and all that is left once
    /// nothing of the whole remains.
    fn take(&mut self, part: u64, whole: u64, last: bool) -> u64 {
        let share = if last { self.left() } else { scale(self.all, part, whole).min(self.left()) };
        self.taken += share;
        share
    }
}

impl Pool {
    /// `heap` tells whether an amount without addresses may lie here, `paged` whether
    /// resident pages are known one by one.
    pub(crate) fn of(area: &Area, heap: bool, paged: bool) -> Self {
        let anonymous = area.anonymous.min(area.rss);
        let lazy = area.lazy_free.min(anonymous);
        let live = anonymous - lazy;
        // LazyFree is not split by sharing: taken in proportion.
        let both = area.pss_anonymous().min(anonymous);
        let charged = scale(both, live, anonymous);
        Self {
            start: area.start,
            end: area.end.max(area.start),
            lazy,
            live: Taken::of(live),
            backed: Taken::of(area.rss - anonymous),
            charged: Taken::of(charged),
            lazy_charged: both - charged,
            swap: area.swap,
            heap,
            shared: area.kind == AreaKind::Shmem,
            paged: paged && matches!(area.kind, AreaKind::Heap | AreaKind::Anonymous),
            covered: 0,
        }
    }

    /// Anonymous memory of which no addresses are known.
    pub(crate) fn lump(anonymous: u64) -> Self {
        Self {
            start: 0,
            end: u64::MAX,
            lazy: 0,
            live: Taken::of(anonymous),
            backed: Taken::default(),
            charged: Taken::of(anonymous),
            lazy_charged: 0,
            swap: 0,
            heap: true,
            shared: false,
            paged: false,
            covered: 0,
        }
    }

    pub(crate) fn live(&self) -> u64 {
        self.live.left()
    }

    pub(crate) fn charged(&self) -> u64 {
        self.charged.left()
    }

    pub(crate) fn backed(&self) -> u64 {
        self.backed.left()
    }

    /// Takes what lies in `start..end`, which no earlier claim holds. `pages` are
    /// those that are resident, where that is known.
    fn take(&mut self, start: u64, end: u64, pages: &Pages<'_>) -> Found {
        let (start, end) = (start.max(self.start), end.min(self.end));
        let mut found = Found { space: end.saturating_sub(start), ..Found::default() };
        if found.space == 0 {
            return found;
        }
        if self.paged {
            return self.take_pages(found, pages.within(start, end));
        }
        let whole = self.end - self.start;
        self.covered += found.space;
        let last = self.covered == whole;
        let resident = self.live.all + if self.shared { self.backed.all } else { 0 };
        found.low = resident.saturating_sub(whole - found.space);
        found.high = resident.min(found.space);
        found.charged = self.charged.take(found.space, whole, last);
        found.resident = self.live.take(found.space, whole, last);
        if self.shared {
            found.resident += self.backed.take(found.space, whole, last);
        }
        found.swap = scale(self.swap, found.space, whole);
        found.lazy = scale(self.lazy, found.space, whole);
        found
    }

    /// Takes a part of which `resident` bytes are. Nothing tells which of them are
    /// lazily freed: what is claimed first has the others.
    fn take_pages(&mut self, mut found: Found, resident: u64) -> Found {
        let whole = self.end - self.start;
        self.covered += found.space;
        let live = resident.min(self.live.left());
        self.live.taken += live;
        found.resident = live;
        found.low = resident.saturating_sub(self.lazy).min(live);
        found.high = resident.min(self.live.all);
        found.charged = self.charged.take(live, self.live.all, self.live.left() == 0);
        found.swap = scale(self.swap, found.space, whole);
        found.lazy = self.lazy.min(resident);
        found
    }
}

/// The resident pages of a process: ranges in order and apart from one another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pages<'w>(pub &'w [(u64, u64)]);

impl Pages<'_> {
    /// The resident bytes of `start..end`.
    fn within(&self, start: u64, end: u64) -> u64 {
        let first = self.0.partition_point(|(_, to)| *to <= start);
        let ranges = self.0[first..].iter().take_while(|(from, _)| *from < end);
        ranges.fold(0, |sum: u64, (from, to)| {
            sum.saturating_add(to.min(&end).saturating_sub(*from.max(&start)))
        })
    }
}

/// What a claim's ranges met in the mappings.
#[derive(Debug, Clone, Copy, Default)]
struct Found {
    /// Bytes that the ranges name, mapped and unclaimed or not.
    asked: u64,
    space: u64,
    resident: u64,
    low: u64,
    high: u64,
    charged: u64,
    swap: u64,
    lazy: u64,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.space = self.space.saturating_add(other.space);
        self.resident = self.resident.saturating_add(other.resident);
        self.low = self.low.saturating_add(other.low);
        self.high = self.high.saturating_add(other.high);
        self.charged = self.charged.saturating_add(other.charged);
        self.swap = self.swap.saturating_add(other.swap);
        self.lazy = self.lazy.saturating_add(other.lazy);
    }
}

/// Books every claim, the most specific first, whatever order they came in.
pub(crate) fn book(claims: &[Claim], pools: &mut [Pool], pages: &Pages<'_>, split: &mut Split) {
    let mut sorted: Vec<&Claim> = claims.iter().collect();
    // Amounts without addresses come last: they take what is left. What is free
    // comes after what is not: lazily freed memory is among it.
    let is_free = |c: &Claim| c.parts.iter().all(|p| p.account == Account::AllocatorFree);
    sorted.sort_by_key(|c| (c.extent == Extent::Anywhere, c.priority, is_free(c), *c));
    let mut covered = Covered::default();
    for claim in sorted {
        let found = match &claim.extent {
            Extent::Ranges(ranges) => take_ranges(ranges, &mut covered, pools, pages),
            Extent::Anywhere => take_anywhere(claim, pools),
        };
        book_one(claim, found, split);
    }
}

fn take_ranges(
    ranges: &[(u64, u64)],
    covered: &mut Covered,
    pools: &mut [Pool],
    pages: &Pages<'_>,
) -> Found {
    let mut found = Found::default();
    for &(start, end) in ranges.iter().filter(|(start, end)| start < end) {
        found.asked = found.asked.saturating_add(end - start);
        for (from, to) in covered.cover(start, end) {
            let first = pools.partition_point(|p| p.end <= from);
            for pool in pools[first..].iter_mut().take_while(|p| p.start < to) {
                found.add(pool.take(from, to, pages));
            }
        }
    }
    found
}

fn take_anywhere(claim: &Claim, pools: &mut [Pool]) -> Found {
    let asked = claim.parts.iter().fold(0u64, |sum, p| sum.saturating_add(p.bytes));
    let mut found = Found { asked, space: asked, ..Found::default() };
    let mut wanted = asked;
    for pool in pools.iter_mut().filter(|p| p.heap) {
        let part = wanted.min(pool.live.left());
        if part == 0 {
            continue;
        }
        let last = part == pool.live.left();
        let charged = pool.charged.take(part, pool.live.all, last);
        found.charged = found.charged.saturating_add(charged);
        pool.live.taken += part;
        wanted -= part;
        found.swap = found.swap.saturating_add(pool.swap);
        found.lazy = found.lazy.saturating_add(pool.lazy);
    }
    found.resident = asked - wanted;
    found.high = found.resident;
    found
}

/// Splits what a claim found among its parts, the surest to be touched first;
/// what no part explains stays unexplained.
fn book_one(claim: &Claim, found: Found, split: &mut Split) {
    let mut parts = claim.parts.clone();
    parts.sort_by_key(|p| (touch_order(p.account), p.bytes));
    let said = parts.iter().fold(0u64, |sum, p| sum.saturating_add(p.bytes));
    let cut = said.max(found.asked).saturating_sub(found.space);
    split.cut = split.cut.saturating_add(cut);
    let mut space = found.space;
    let mut left = found.resident;
    for part in parts {
        let bytes = part.bytes.min(space);
        space -= bytes;
        let resident = bytes.min(left);
        left -= resident;
        let low = found.low.saturating_sub(found.space - bytes);
        let figure = Figure::interval(signed(low), signed(resident), signed(bytes.min(found.high)));
        let charged = scale(found.charged, resident, found.resident);
        split.add(part.account, figure, signed(charged));
        if part.account == Account::HeapInUse {
            split.in_use = Some(in_use(split.in_use, part.bytes, figure, resident, found));
        }
    }
    split.add(
        Account::Unexplained,
        Figure::exact(left),
        signed(scale(found.charged, left, found.resident)),
    );
}

/// Law P3 for one part, added to what earlier parts gave.
fn in_use(sum: Option<InUse>, bytes: u64, resident: Figure, point: u64, found: Found) -> InUse {
    let away = bytes - point;
    let swapped = away.min(found.swap);
    let lazy = away.min(found.lazy);
    let spread = signed(bytes) - resident.bounds().map_or(0, |(low, _)| low);
    let one = InUse {
        total: bytes,
        resident,
        untouched: Figure::interval(0, signed(away - swapped), spread),
        swapped: Figure::interval(0, signed(swapped), signed(bytes.min(found.swap))),
        lazy: Figure::interval(0, 0, signed(lazy)),
    };
    sum.map_or(one, |sum| InUse {
        total: sum.total.saturating_add(one.total),
        resident: sum.resident.plus(one.resident),
        untouched: sum.untouched.plus(one.untouched),
        swapped: sum.swapped.plus(one.swapped),
        lazy: sum.lazy.plus(one.lazy),
    })
}

fn touch_order(account: Account) -> u8 {
    match account {
        Account::AllocatorMetadata | Account::GcTables => 0,
        Account::JitCode | Account::Metaspace | Account::Stack => 1,
        Account::HeapInUse => 2,
        _ => 3,
    }
}

/// The address ranges that claims hold: disjoint, start to end.
#[derive(Debug, Default)]
struct Covered(BTreeMap<u64, u64>);

impl Covered {
    /// Covers `start..end` and gives the parts that were not covered before.
    fn cover(&mut self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let (mut from, mut to) = (start, end);
        let mut held = Vec::new();
        let mut at = start;
        while let Some((&held_from, &held_to)) = self.0.range(..=end).next_back()
            && held_to >= start
        {
            self.0.remove(&held_from);
            held.push((held_from, held_to));
            from = from.min(held_from);
            to = to.max(held_to);
        }
        self.0.insert(from, to);
        let mut new = Vec::new();
        for (held_from, held_to) in held.into_iter().rev() {
            if at < held_from {
                new.push((at, held_from.min(end)));
            }
            at = at.max(held_to);
        }
        if at < end {
            new.push((at, end));
        }
        new
    }
}

/// `amount * part / whole`, rounded down, without overflow; 0 of nothing.
fn scale(amount: u64, part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    let scaled = u128::from(amount) * u128::from(part.min(whole)) / u128::from(whole);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
