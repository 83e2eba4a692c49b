//! What a cgroup has in use: the sum of its processes', each page that several of them map
//! counted once.

use std::collections::BTreeMap;

use super::{Members, users};
use crate::figure::{Figure, signed};
use crate::in_use::Charged;
use crate::process::ProcessLedger;

/// What the members have in use. `anon` is what the cgroup is charged: members that were
/// not walked do not tell which of their pages they share, and hold no more than is left.
pub(crate) fn in_use(members: Members<'_>, anon: Option<u64>) -> Option<Charged> {
    let members = members.ok()?;
    let share = Share::of(members, anon);
    let parts = users(members).filter_map(|member| {
        let charged = member.charged_in_use.clone()?;
        Some(if member.is_walked() { charged } else { share.take(charged) })
    });
    let mut sum = parts.reduce(Charged::plus)?;
    let high = users(members).fold(0i64, |sum, m| sum.saturating_add(m.in_use_at_most));
    let (low, _) = sum.total.bounds().unwrap_or_default();
    sum.total = Figure::interval(low, sum.total.point().unwrap_or(low), high);
    Some(sum)
}

/// How much of what members without a walk hold can be charged here.
#[derive(Debug, Clone, Copy)]
struct Share {
    part: i64,
    whole: i64,
}

impl Share {
    fn of(members: &[&ProcessLedger], anon: Option<u64>) -> Self {
        let (mut walked, mut whole) = (0i64, 0i64);
        for member in users(members) {
            let held = member.charged.iter().fold(0i64, |sum, (_, b)| sum.saturating_add(*b));
            let sum = if member.is_walked() { &mut walked } else { &mut whole };
            *sum = sum.saturating_add(held);
        }
        let part = anon.map_or(whole, |anon| signed(anon).saturating_sub(walked).clamp(0, whole));
        Self { part, whole }
    }

    fn take(self, charged: Charged) -> Charged {
        if self.part == self.whole {
            return charged;
        }
        let scale = |bytes: i64| {
            let scaled = i128::from(bytes) * i128::from(self.part) / i128::from(self.whole);
            i64::try_from(scaled).unwrap_or(i64::MAX)
        };
        let by: BTreeMap<_, _> = charged.by.into_iter().map(|(k, b)| (k, scale(b))).collect();
        let point = by.values().fold(0i64, |sum, bytes| sum.saturating_add(*bytes));
        let high = charged.total.bounds().map_or(point, |(_, high)| high);
        Charged {
            total: Figure::interval(0, point, high),
            untouched: scale(charged.untouched),
            swapped: scale(charged.swapped),
            by,
        }
    }
}
