//! Law P3: where what is in use lies, what of it a cgroup is charged, and how much of
//! the memory it speaks for.

use std::collections::BTreeMap;

use crate::Account;
use crate::account::ANONYMOUS;
use crate::claim::Claim;
use crate::figure::{Figure, signed};

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

/// What of a process's in use counts in its cgroup: pages that several processes map are
/// divided among them, as the kernel divides them in Pss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charged {
    /// What the heap statistics say, divided.
    pub total: Figure,
    /// Of that, what was never written: no cgroup is charged for it.
    pub untouched: i64,
    /// Of that, what is in the swap area.
    pub swapped: i64,
    /// Points by runtime or allocator, sorted by its name; they sum to that of `total`.
    pub by: Vec<(String, i64)>,
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

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            resident: self.resident.plus(other.resident),
            untouched: self.untouched.plus(other.untouched),
            swapped: self.swapped.plus(other.swapped),
            lazy: self.lazy.plus(other.lazy),
        }
    }
}

impl Charged {
    /// The sum of none.
    pub(crate) fn none() -> Self {
        Self { total: Figure::Absent, untouched: 0, swapped: 0, by: Vec::new() }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.total = self.total.plus(other.total);
        self.untouched = self.untouched.saturating_add(other.untouched);
        self.swapped = self.swapped.saturating_add(other.swapped);
        for (owner, bytes) in &other.by {
            self.add_point(owner, *bytes);
        }
    }

    /// Adds to the points of a runtime or allocator alone.
    pub(crate) fn add_point(&mut self, owner: &str, bytes: i64) {
        match self.by.binary_search_by(|(name, _)| name.as_str().cmp(owner)) {
            Ok(at) => self.by[at].1 = self.by[at].1.saturating_add(bytes),
            Err(at) => {
                // Few have more than one.
                self.by.reserve_exact(1);
                self.by.insert(at, (owner.to_owned(), bytes));
            }
        }
    }

    /// Widens the total by what heap statistics leave open, `below` and `above` what they
    /// tell of `whole` bytes: pages that others map too count in the measure of the total.
    pub(crate) fn widen(&mut self, below: i64, above: i64, whole: u64) {
        let (Some(point), Some((low, high))) = (self.total.point(), self.total.bounds()) else {
            return;
        };
        let share = |bytes: i64| {
            let whole = i128::from(whole).max(1);
            let part = (i128::from(bytes) * i128::from(point)).div_euclid(whole);
            i64::try_from(part).unwrap_or(i64::MAX).min(bytes)
        };
        let low = low.saturating_sub(share(below)).max(0);
        self.total = Figure::interval(low, point, high.saturating_add(share(above)));
    }
}

/// What claims have in use by their owners, sorted by name.
pub(crate) fn by_owner(claims: &[Claim]) -> Vec<(String, u64)> {
    let mut by_owner: BTreeMap<&str, u64> = BTreeMap::new();
    for claim in claims {
        for part in claim.parts.iter().filter(|part| part.account == Account::HeapInUse) {
            let sum = by_owner.entry(&claim.owner).or_default();
            *sum = sum.saturating_add(part.bytes);
        }
    }
    by_owner.into_iter().map(|(owner, bytes)| (owner.to_owned(), bytes)).collect()
}

/// What no heap statistics speak for: it may be in use.
pub(crate) const UNREAD: [Account; 3] =
    [Account::HeapUnprobed, Account::Unexplained, Account::Unreadable];

/// Coverage: the share of anonymous memory, lazily freed left out and shared pages divided,
/// of which it is known what it is, 0 to 1.
pub(crate) fn coverage(charged: impl Fn(Account) -> i64) -> f64 {
    let sum = |accounts: &[Account]| {
        accounts.iter().fold(0i64, |sum, account| sum.saturating_add(charged(*account)))
    };
    let all = sum(ANONYMOUS).max(1);
    (all.saturating_sub(sum(&UNREAD)) as f64 / all as f64).clamp(0.0, 1.0)
}
