//! Booking claims: ranges meet mappings, and no byte is booked twice.

use std::collections::BTreeMap;

use crate::Account;
use crate::claim::{Claim, Extent};
use crate::figure::{Figure, signed};
use crate::found::{Found, Room};
use crate::in_use::{Charged, InUse};
use crate::parts::Split;
use crate::pool::{Pages, Pool, scale};

/// Books every claim, the most specific first, whatever order they came in.
pub(crate) fn book<'c>(
    claims: impl Iterator<Item = &'c Claim>,
    pools: &mut [Pool],
    pages: &Pages<'_>,
    split: &mut Split,
) {
    let mut sorted: Vec<&Claim> = claims.collect();
    leave_out(&sorted, pools);
    // Amounts without addresses come last: they take what is left. What is free
    // comes after what is not: lazily freed memory is among it.
    let is_free = |c: &Claim| c.parts.iter().all(|p| p.account == Account::AllocatorFree);
    sorted.sort_by_key(|c| (c.extent == Extent::Anywhere, c.priority, is_free(c), *c));
    let mut covered = Covered::default();
    let mut room = None;
    for claim in sorted {
        let found = match &claim.extent {
            Extent::Ranges(ranges) => take_ranges(ranges, &mut covered, pools, pages),
            Extent::Shared(ranges) => take_shared(claim, ranges, pools),
            Extent::Absent(_) => continue,
            Extent::Anywhere => {
                let room = room.get_or_insert_with(|| room_of(pools));
                take_anywhere(claim, pools, room)
            }
        };
        let least = book_one(claim, found, split);
        if claim.extent == Extent::Anywhere {
            let most = signed(found.asked.min(found.high));
            split.loose.0 = split.loose.0.saturating_add(least);
            split.loose.1 = split.loose.1.saturating_add(most);
        }
    }
    split.swap_left = pools.iter().fold(0, |sum, pool| sum.saturating_add(pool.swap_left()));
}

/// Takes what is not in memory out of the mappings, but where a claim says that something
/// is there: it may have been written since.
fn leave_out(claims: &[&Claim], pools: &mut [Pool]) {
    let absent = claims.iter().filter_map(|claim| match &claim.extent {
        Extent::Absent(ranges) => Some(ranges),
        _ => None,
    });
    let mut absent = absent.flatten().filter(|(start, end)| start < end).peekable();
    if absent.peek().is_none() {
        return;
    }
    let mut covered = Covered::default();
    for claim in claims {
        if let Extent::Ranges(ranges) | Extent::Shared(ranges) = &claim.extent {
            for &(start, end) in ranges.iter().filter(|(start, end)| start < end) {
                covered.cover(start, end);
            }
        }
    }
    for &(start, end) in absent {
        for (from, to) in covered.cover(start, end) {
            let first = pools.partition_point(|p| p.end() <= from);
            for pool in pools[first..].iter_mut().take_while(|p| p.start() < to) {
                pool.leave_out(from, to);
            }
        }
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

/// All the room that amounts without addresses have.
fn room_of(pools: &[Pool]) -> Room {
    let mut room = Room::default();
    for pool in pools {
        room.add(pool.room());
    }
    room
}

/// What finds no room outside memory is in it.
fn take_anywhere(claim: &Claim, pools: &mut [Pool], room: &Room) -> Found {
    let found = take_amount(claim, pools.iter_mut(), Pool::take_some);
    let low = found.asked.saturating_sub(room.absent).min(found.resident);
    let (least, most) = room.divided;
    Found {
        low,
        high: room.resident.max(found.resident),
        divided_bounds: (least.saturating_sub(room.whole.saturating_sub(low)), most),
        is_shared: room.is_shared,
        swap: room.swap,
        swap_high: room.swap,
        lazy: room.lazy,
        ..found
    }
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
/// what no part explains stays unexplained. Returns what the parts hold at least.
fn book_one(claim: &Claim, found: Found, split: &mut Split) -> i64 {
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
        let figure = found.figure(bytes, resident);
        let charged = scale(found.charged, resident, found.resident);
        split.add(part.account, figure, signed(charged));
        split.own(&claim.owner, signed(charged));
        if part.account == Account::HeapInUse {
            let one = Part { said: part.bytes, bytes, resident, figure };
            split.use_up(in_use(one, found), charged_in_use(one, found, &claim.owner));
        }
    }
    let unnamed = found.space.saturating_sub(said);
    split.add(
        Account::Unexplained,
        found.figure(unnamed, left),
        signed(scale(found.charged, left, found.resident)),
    );
    signed(found.low.saturating_sub(unnamed))
}

/// An amount in use, and what was found of it.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// What the heap statistics say.
    said: u64,
    /// What of it the claim has address space for.
    bytes: u64,
    /// What of that is in memory, by estimate and as a figure.
    resident: u64,
    figure: Figure,
}

/// Law P3 for one part.
fn in_use(part: Part, found: Found) -> InUse {
    let (low, high) = part.figure.bounds().unwrap_or_default();
    let away = part.said - part.resident;
    let swapped = away.min(found.swap);
    // Others may have written what is not mapped here of shared memory.
    let elsewhere = found.swap_high.saturating_add(found.lazy).saturating_add(found.backed);
    let untouched = signed(part.bytes.saturating_sub(elsewhere)).saturating_sub(high).max(0);
    InUse {
        total: part.said,
        resident: part.figure,
        untouched: Figure::interval(
            untouched,
            signed(away - swapped),
            signed(part.said).saturating_sub(low),
        ),
        swapped: Figure::interval(0, signed(swapped), signed(part.said.min(found.swap_high))),
        lazy: Figure::interval(0, 0, signed(part.said).saturating_sub(low).min(signed(found.lazy))),
    }
}

/// What of one part counts in a cgroup. Memory that nobody else maps counts in full,
/// in memory or not; of pages that others map too it is not known which are in use.
fn charged_in_use(part: Part, found: Found, owner: &str) -> Charged {
    let share = |bytes| match found.resident {
        0 => bytes,
        resident => scale(bytes, found.divided.min(resident), resident),
    };
    let away = part.said - part.resident;
    let swapped = share(away.min(found.swap));
    let untouched = away - away.min(found.swap);
    let point = share(part.resident) + swapped + untouched;
    let (low, high) = part.figure.bounds().unwrap_or_default();
    let total = if found.is_shared {
        let others = found.high.min(found.space.saturating_sub(part.bytes));
        let (least, most) = found.divided_bounds;
        let elsewhere = found.swap_high.saturating_add(found.lazy).saturating_add(found.backed);
        let never = signed(part.bytes.saturating_sub(elsewhere)).saturating_sub(high).max(0);
        Figure::interval(
            signed(least.saturating_sub(others)).saturating_add(never),
            signed(point),
            signed(most).min(low).saturating_add(signed(part.said).saturating_sub(low)),
        )
    } else {
        Figure::exact(point)
    };
    let by = vec![(owner.to_owned(), signed(point))];
    Charged { total, untouched: signed(untouched), swapped: signed(swapped), by }
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
