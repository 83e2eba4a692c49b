//! A process's resident memory, part by part: what claims and mappings are booked to.

use std::collections::BTreeMap;

use crate::Account;
use crate::figure::{Figure, signed};
use crate::largest::Holding;

/// The resident memory of one walk by account, and the anonymous part of it in
/// the measure that a cgroup is charged in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// Resident bytes by account; an account that is not there is absent.
    pub rss: BTreeMap<Account, Figure>,
    /// Anonymous bytes by account, shared pages divided among their mappers.
    pub charged: BTreeMap<Account, i64>,
    /// Of those, what claims found, by owner.
    pub owners: BTreeMap<String, i64>,
    /// What claims said twice or beyond their ranges.
    pub cut: u64,
    /// In-use bytes of the claims, by where they are (law P3).
    pub in_use: Option<InUse>,
    /// The mappings that hold most of what has no telling account.
    pub largest: Vec<Holding>,
    /// The kernel file behind the split.
    pub source: &'static str,
}

/// Law P3: `in_use = resident + untouched + swapped + lazy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse {
    /// What the heap statistics say.
    pub total: u64,
    /// In memory.
    pub resident: Figure,
    /// Never written, or given back: a ballast.
    pub untouched: Figure,
    /// In the swap area.
    pub swapped: Figure,
    /// Lazily freed, though in use by the heap statistics.
    pub lazy: Figure,
}

impl InUse {
    /// Heap statistics and a walk of different times tell likely places only: what looks
    /// untouched may be memory that the heap statistics had before it was given back.
    pub(crate) fn of_two_times(self) -> Self {
        let likely = |place: Figure| match place.point() {
            Some(point) => Figure::interval(0, point, signed(self.total)),
            None => place,
        };
        Self {
            total: self.total,
            resident: likely(self.resident),
            untouched: likely(self.untouched),
            swapped: likely(self.swapped),
            lazy: likely(self.lazy),
        }
    }
}

impl Split {
    /// Books an amount, of which `charged` bytes are charged to the cgroup.
    pub(crate) fn add(&mut self, account: Account, figure: Figure, charged: i64) {
        let entry = self.rss.entry(account).or_insert(Figure::Absent);
        *entry = entry.plus(figure);
        let sum = self.charged.entry(account).or_default();
        *sum = sum.saturating_add(charged);
    }

    pub(crate) fn own(&mut self, owner: &str, charged: i64) {
        let sum = self.owners.entry(owner.to_owned()).or_default();
        *sum = sum.saturating_add(charged);
    }
}
