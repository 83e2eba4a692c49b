//! What a cgroup has in use: the sum of its processes', each page that several of them map
//! counted once.

use super::{Members, users};
use crate::figure::{Figure, signed};
use crate::in_use::Charged;
use crate::process::ProcessLedger;

/// What the members have in use. `anon` is what the cgroup is charged: members that were
/// not walked do not tell which of their pages they share, and hold no more than is left.
pub(crate) fn in_use(members: Members<'_>, anon: Option<u64>) -> Option<Charged> {
    let members = members.ok()?;
    let share = Share::of(members, anon);
    let mut sum = None;
    for member in users(members) {
        let Some(charged) = &member.charged_in_use else { continue };
        let sum = sum.get_or_insert_with(Charged::none);
        if member.is_walked() { sum.add(charged) } else { share.add(charged, sum) }
    }
    let mut sum = sum?;
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

    /// Adds the share of what a member has in use.
    fn add(self, charged: &Charged, sum: &mut Charged) {
        if self.part == self.whole {
            return sum.add(charged);
        }
        let scale = |bytes: i64| {
            let scaled = i128::from(bytes) * i128::from(self.part) / i128::from(self.whole);
            i64::try_from(scaled).unwrap_or(i64::MAX)
        };
        let mut point = 0i64;
        for (owner, bytes) in &charged.by {
            let bytes = scale(*bytes);
            point = point.saturating_add(bytes);
            sum.add_point(owner, bytes);
        }
        let high = charged.total.bounds().map_or(point, |(_, high)| high);
        sum.total = sum.total.plus(Figure::interval(0, point, high));
        sum.untouched = sum.untouched.saturating_add(scale(charged.untouched));
        sum.swapped = sum.swapped.saturating_add(scale(charged.swapped));
    }
}
