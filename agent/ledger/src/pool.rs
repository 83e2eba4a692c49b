//! What of a mapping is still to be booked, and what a claim takes of it.

use crate::found::{Found, Room};
use crate::sample::{Area, AreaKind};

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
    /// Of that, what counts as this mapping's own where others show the same pages,
    /// and the part of it that surely is.
    own: u64,
    surely: u64,
    /// The part of `live` that a cgroup is charged for this process.
    charged: Taken,
    /// The least and the most that it is of `live`, and of what counts as shared memory:
    /// nothing tells which of the pages that others map too are lazily freed.
    divided: (u64, u64),
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
    /// Bytes of address space that are known not to be in memory.
    absent: u64,
    /// Of `live`, what amounts without addresses took.
    loose: u64,
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
        let backed = area.rss - anonymous;
        let own = area.pss.saturating_sub(both).min(backed);
        let shared = area.kind == AreaKind::Shmem;
        let beside = if shared { own } else { 0 };
        Self {
            start: area.start,
            end: area.end.max(area.start),
            lazy,
            live: Taken::of(live),
            backed: Taken::of(backed),
            own,
            surely: own,
            charged: Taken::of(charged),
            divided: (both.saturating_sub(lazy) + beside, both.min(live) + beside),
            lazy_charged: both - charged,
            swap: area.swap,
            // What has no access right and no memory was reserved, not given out.
            heap: heap && (area.accessible || area.anonymous > 0),
            shared,
            paged: paged && matches!(area.kind, AreaKind::Heap | AreaKind::Anonymous),
            covered: 0,
            absent: 0,
            loose: 0,
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
            own: 0,
            surely: 0,
            charged: Taken::of(anonymous),
            divided: (anonymous, anonymous),
            lazy_charged: 0,
            swap: 0,
            heap: true,
            shared: false,
            paged: false,
            covered: 0,
            absent: 0,
            loose: 0,
        }
    }

    /// Shared memory of which no addresses are known, nor how often it is mapped.
    pub(crate) fn shared_lump(bytes: u64) -> Self {
        let backed = Taken::of(bytes);
        Self {
            backed,
            own: bytes,
            divided: (bytes, bytes),
            heap: false,
            shared: true,
            ..Self::lump(0)
        }
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Address space of which it is not known that nothing is in memory.
    fn size(&self) -> u64 {
        (self.end - self.start).saturating_sub(self.absent)
    }

    /// What of `start..end` lies here is not in memory, and no claim has it.
    pub(crate) fn leave_out(&mut self, start: u64, end: u64) {
        let bytes = end.min(self.end).saturating_sub(start.max(self.start));
        self.absent = self.absent.saturating_add(bytes);
    }

    /// The most of what it holds that a cgroup can be charged for this process.
    pub(crate) fn charged_high(&self) -> u64 {
        self.divided.1
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

    /// Takes at most `wanted` of what an amount without addresses may be.
    pub(crate) fn take_some(&mut self, wanted: u64) -> Found {
        let part = if self.heap { wanted.min(self.live.left()) } else { 0 };
        if part == 0 {
            return Found::default();
        }
        let last = part == self.live.left();
        let charged = self.charged.take(part, self.live.all, last);
        self.live.taken += part;
        self.loose += part;
        Found { resident: part, charged, divided: charged, ..Found::default() }
    }

    /// What an amount without addresses can meet here.
    pub(crate) fn room(&self) -> Room {
        if !self.heap {
            return Room::default();
        }
        let space = self.size().saturating_sub(self.covered);
        let (low, high) = self.left_bounds();
        Room {
            resident: high,
            absent: space.saturating_sub(low),
            swap: self.swap,
            lazy: self.lazy,
            whole: self.live.all,
            divided: self.divided,
            is_shared: self.divided.0 < self.live.all || self.lazy_charged < self.lazy,
        }
    }

    /// The least and the most that claims with addresses can have left of `live`, whatever
    /// they took of it by estimate.
    pub(crate) fn left_bounds(&self) -> (u64, u64) {
        let (left, all) = (self.live.left(), self.live.all);
        if self.paged {
            let low = left.saturating_add(self.loose);
            return (low, all.min(low.saturating_add(self.lazy)));
        }
        let whole = self.size();
        let low = all.saturating_sub(self.covered);
        (low, all.min(whole.saturating_sub(self.covered)).max(left))
    }

    /// The most that is swapped out of the part that no claim covers.
    pub(crate) fn swap_left(&self) -> u64 {
        let whole = self.size();
        if self.heap { self.swap.min(whole.saturating_sub(self.covered)) } else { 0 }
    }

    /// Takes at most `wanted` of the shared memory that is this mapping's own.
    pub(crate) fn take_shared(&mut self, wanted: u64) -> Found {
        let part = if self.shared { wanted.min(self.own).min(self.backed.left()) } else { 0 };
        let low = part.min(self.surely);
        self.own -= part;
        self.surely -= low;
        self.backed.taken += part;
        Found {
            resident: part,
            low,
            high: part,
            divided: part,
            divided_bounds: (low, part),
            swap: self.swap,
            backed: wanted,
            ..Found::default()
        }
    }

    /// Takes what lies in `start..end`, which no earlier claim holds. `pages` are
    /// those that are resident, where that is known.
    pub(crate) fn take(&mut self, start: u64, end: u64, pages: &Pages<'_>) -> Found {
        let (start, end) = (start.max(self.start), end.min(self.end));
        let mut found = Found { space: end.saturating_sub(start), ..Found::default() };
        if found.space == 0 {
            return found;
        }
        if self.paged {
            return self.take_pages(found, pages.within(start, end));
        }
        let whole = self.size();
        self.covered += found.space;
        let last = self.covered == whole;
        let resident = self.resident();
        found.low = resident.saturating_sub(whole.saturating_sub(found.space));
        found.high = resident.min(found.space);
        found.charged = self.charged.take(found.space, whole, last);
        found.divided = found.charged;
        found.resident = self.live.take(found.space, whole, last);
        if self.shared {
            let backed = self.backed.take(found.space, whole, last);
            found.resident += backed;
            found.divided += scale(self.own, backed, self.backed.all);
            found.backed = found.space;
        }
        found.low = found.low.min(found.resident);
        found.swap = scale(self.swap, found.space, whole);
        found.lazy = self.lazy.min(found.space);
        found.swap_high = self.swap.min(found.space);
        self.divide(found)
    }

    /// What claims with addresses can find in memory.
    fn resident(&self) -> u64 {
        self.live.all + if self.shared { self.backed.all } else { 0 }
    }

    /// Bounds of what counts of a part where shared pages are divided: the rest of the
    /// mapping counts in full at most.
    fn divide(&self, mut found: Found) -> Found {
        let resident = self.resident();
        let (least, most) = self.divided;
        let low = least.saturating_sub(resident - found.low);
        found.divided_bounds = (low, most.min(found.high));
        found.is_shared = least < resident || self.lazy_charged < self.lazy;
        found
    }

    /// Takes a part of which `resident` bytes are. Nothing tells which of them are
    /// lazily freed: what is claimed first has the others.
    fn take_pages(&mut self, mut found: Found, resident: u64) -> Found {
        let whole = self.size();
        self.covered += found.space;
        let live = resident.min(self.live.left());
        self.live.taken += live;
        found.resident = live;
        found.low = resident.saturating_sub(self.lazy).min(live);
        found.high = resident.min(self.live.all);
        found.charged = self.charged.take(live, self.live.all, self.live.left() == 0);
        found.divided = found.charged;
        found.swap = scale(self.swap, found.space, whole);
        found.lazy = self.lazy.min(resident);
        found.swap_high = self.swap.min(found.space.saturating_sub(resident));
        self.divide(found)
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

/// `amount * part / whole`, rounded down, without overflow; 0 of nothing.
pub(crate) fn scale(amount: u64, part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    let scaled = u128::from(amount) * u128::from(part.min(whole)) / u128::from(whole);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
