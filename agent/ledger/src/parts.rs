//! A process's resident memory, part by part: what claims and mappings are booked to.

use std::collections::BTreeMap;

use crate::Account;
use crate::figure::{Figure, signed};
use crate::in_use::{Charged, InUse};
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
    /// The same as a cgroup is charged for it.
    pub charged_in_use: Option<Charged>,
    /// What amounts without addresses hold in memory, at least and at most.
    pub loose: (i64, i64),
    /// The most of its memory that a cgroup can be charged for it, lazily freed left out.
    pub charged_high: u64,
    /// What is swapped out of memory that no claim holds.
    pub swap_left: u64,
    /// Anonymous memory by which the counters exceed all that is booked.
    pub skew: i64,
    /// The kernel file behind the split.
    pub source: &'static str,
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

    /// The most that can be in use, read or not, where shared pages are divided: `above` is
    /// what heap statistics leave open. What is in memory, of whichever of the two, is
    /// charged once; what is not counts in full.
    pub(crate) fn in_use_at_most(&self, not_read: Figure, above: i64) -> i64 {
        let high = |figure: Figure| figure.bounds().map_or(0, |(_, high)| high);
        let Some(read) = &self.charged_in_use else { return high(not_read) };
        let away = self.in_use.map_or(0, |in_use| high(in_use.untouched));
        let here = signed(self.charged_high.saturating_add(self.swap_left));
        let both = here.saturating_add(away).saturating_add(above);
        both.min(high(read.total).saturating_add(high(not_read)))
    }

    /// Adds what one claim has in use.
    pub(crate) fn use_up(&mut self, in_use: InUse, charged: Charged) {
        self.in_use = Some(match self.in_use {
            Some(sum) => sum.plus(in_use),
            None => in_use,
        });
        match &mut self.charged_in_use {
            Some(sum) => sum.add(&charged),
            none => *none = Some(charged),
        }
    }
}
