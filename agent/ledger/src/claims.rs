//! Booking claims: ranges meet mappings, and no byte is booked twice.

use std::collections::BTreeMap;

use crate::Account;
use crate::claim::{Claim, Extent};
use crate::figure::{Figure, signed};
use crate::parts::{InUse, Split};
use crate::pool::{Found, Pages, Pool, scale};

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
            Extent::Shared(ranges) => take_shared(claim, ranges, pools),
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
            let first = pools.partition_point(|p| p.end() <= from);
            for pool in pools[first..].iter_mut().take_while(|p| p.start() < to) {
                found.add(pool.take(from, to, pages));
            }
        }
    }
    found
}

fn take_shared(claim: &Claim, ranges: &[(u64, u64)], pools: &mut [Pool]) -> Found {
    let is_in = |pool: &Pool| ranges.iter().any(|r| r.0 <= pool.start() && pool.end() <= r.1);
    let pools = pools.iter_mut().filter(|pool| is_in(pool));
    take_amount(claim, pools, Pool::take_shared)
}

fn take_anywhere(claim: &Claim, pools: &mut [Pool]) -> Found {
    let found = take_amount(claim, pools.iter_mut(), Pool::take_some);
    Found { low: 0, high: found.resident, ..found }
}

/// Takes what the parts say, where `take` finds it.
fn take_amount<'p>(
    claim: &Claim,
    pools: impl Iterator<Item = &'p mut Pool>,
    take: impl Fn(&mut Pool, u64) -> Found,
) -> Found {
    let asked = claim.parts.iter().fold(0u64, |sum, p| sum.saturating_add(p.bytes));
    let mut found = Found::default();
    for pool in pools {
        found.add(take(pool, asked - found.resident));
    }
    Found { asked, space: asked, ..found }
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
        split.own(&claim.owner, signed(charged));
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
