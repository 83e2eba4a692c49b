//! What a cgroup has in use: the sum of its processes', each page that several of them map
//! counted once.

use super::{Sum, Sums};
use crate::figure::{Figure, signed};
use crate::in_use::Charged;

/// What the members have in use. `anon` is what the cgroup is charged: members that were
/// not walked do not tell which of their pages they share, and hold no more than is left.
pub(crate) fn in_use(members: Sums<'_>, anon: Option<u64>) -> Option<Charged> {
    let members = members.ok()?;
    let share = Share::of(members, anon);
    let mut sum = members.in_use_walked.clone();
    if let Some(charged) = &members.in_use_unwalked {
        share.add(charged, sum.get_or_insert_with(Charged::none));
    }
    let mut sum = sum?;
    let (low, _) = sum.total.bounds().unwrap_or_default();
    let point = sum.total.point().unwrap_or(low);
    sum.total = Figure::interval(low, point, members.in_use_at_most);
    Some(sum)
}

/// How much of what members without a walk hold can be charged here.
#[derive(Debug, Clone, Copy)]
struct Share {
    part: i64,
    whole: i64,
}

impl Share {
    fn of(members: &Sum, anon: Option<u64>) -> Self {
        let whole = members.unwalked;
        let left = |anon| signed(anon).saturating_sub(members.walked).clamp(0, whole);
        Self { part: anon.map_or(whole, left), whole }
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
