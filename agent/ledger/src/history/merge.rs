//! Points that are put together as they grow old.

use super::point::{Codes, amount, code};

/// Points of which several become one.
struct Group {
    since: u64,
    codes: Codes,
    /// Of free, lazy and cache: what was known by how long it was so, and how long that was.
    sums: [(u128, u128); MEANS.len()],
}

/// Where in the codes the figures are of which the least, the most and the mean is kept.
const LEAST: [usize; 2] = [0, 5];
const MOST: usize = 4;
const MEANS: [usize; 3] = [1, 2, 3];

/// Puts together points that follow each other, as long as what they stand for is no longer
/// than `span` tells for their age, and leaves out what had ended `whole` ago.
pub(super) fn merge(
    points: &[(u64, Codes)],
    now: u64,
    whole: u64,
    span: impl Fn(u64) -> u64,
) -> Vec<(u64, Codes)> {
    let mut merged = Vec::with_capacity(points.len());
    let mut group: Option<Group> = None;
    // One that begins long before stands for a time without samples.
    let is_gone =
        |pair: &&[(u64, Codes)]| now - pair[1].0 >= whole || now - pair[0].0 > whole + whole / 3;
    let gone = points.windows(2).take_while(is_gone).count();
    let points = &points[gone..];
    for (at, (time, codes)) in points.iter().enumerate() {
        let end = points.get(at + 1).map(|(next, _)| *next);
        let lasted = end.map_or(1, |end| end - time);
        match &mut group {
            // The last one stands for a time that is not known yet.
            Some(group) if end.is_some_and(|end| end - group.since <= span(now - end)) => {
                group.add(codes, lasted);
            }
            _ => {
                merged.extend(group.replace(Group::new(*time, *codes, lasted)).map(Group::point));
            }
        }
    }
    merged.extend(group.map(Group::point));
    merged
}

impl Group {
    fn new(since: u64, codes: Codes, lasted: u64) -> Self {
        let mut new = Self { since, codes, sums: [(0, 0); MEANS.len()] };
        new.add(&codes, lasted);
        new
    }

    fn add(&mut self, codes: &Codes, lasted: u64) {
        for at in LEAST {
            let (a, b) = (self.codes[at], codes[at]);
            self.codes[at] = if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
        }
        self.codes[MOST] = self.codes[MOST].max(codes[MOST]);
        for (sum, at) in self.sums.iter_mut().zip(MEANS) {
            if let Some(bytes) = amount(codes[at]) {
                let lasted = u128::from(lasted);
                *sum = (sum.0 + u128::from(bytes) * lasted, sum.1 + lasted);
            }
        }
    }

    fn point(mut self) -> (u64, Codes) {
        for ((sum, lasted), at) in self.sums.into_iter().zip(MEANS) {
            let mean = sum.checked_div(lasted);
            self.codes[at] = code(mean.and_then(|mean| u64::try_from(mean).ok()));
        }
        (self.since, self.codes)
    }
}
