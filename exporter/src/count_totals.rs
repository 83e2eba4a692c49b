//! Counters of what happened to cgroups at their limits. The kernel counts from a
//! cgroup's beginning and forgets with its end; these count from the exporter's start,
//! by labels, and do not decrease while cgroups of those labels come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::count::Counts;
use crate::scope::Scope;
use crate::select::Scopes;

/// The counters of every scope, and what the kernel said last.
#[derive(Debug, Default)]
pub struct Totals {
    /// By path; `None` before the first collection.
    last: Option<BTreeMap<String, Counts>>,
    /// By the name of a scope's table, then by labels.
    sums: BTreeMap<&'static str, BTreeMap<Arc<str>, Counts>>,
}

impl Totals {
    /// Turns what the kernel counted into counters. All that a new cgroup counted is
    /// added; of one that was there before, what it counted before it was read first is
    /// not. A member that is gone is forgotten.
    pub fn add_up(&mut self, scopes: &mut Scopes) {
        let is_first = self.last.is_none();
        let before = self.last.take().unwrap_or_default();
        let mut now = BTreeMap::new();
        for scope in scopes.all_mut() {
            let sums = self.sums.entry(scope.table.name).or_default();
            add_scope(scope, sums, |path, counts| {
                now.insert(path.to_owned(), counts);
                match before.get(path) {
                    Some(then) => since(counts, *then),
                    None if is_first => since(counts, counts),
                    None => counts,
                }
            });
        }
        self.last = Some(now);
    }
}

fn add_scope(
    scope: &mut Scope,
    sums: &mut BTreeMap<Arc<str>, Counts>,
    mut did: impl FnMut(&str, Counts) -> Counts,
) {
    let mut kept = BTreeMap::new();
    for (labels, member) in &mut scope.members {
        let mut sum = sums.remove(labels).unwrap_or_default();
        for (path, counts) in &member.counted {
            sum = plus(sum, did(path, *counts));
        }
        if sum != Counts::default() {
            Arc::make_mut(member).counters = sum;
            kept.insert(Arc::clone(labels), sum);
        }
    }
    *sums = kept;
}

/// What came to `then`; all of it where another cgroup took the path and began anew.
fn since(now: Counts, then: Counts) -> Counts {
    each(now, then, |now, then| {
        let now = now?;
        Some(now.checked_sub(then.unwrap_or(now)).unwrap_or(now))
    })
}

/// What one does not tell adds nothing.
fn plus(a: Counts, b: Counts) -> Counts {
    each(a, b, |a, b| match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (one, None) | (None, one) => one,
    })
}

fn each(a: Counts, b: Counts, both: impl Fn(Option<u64>, Option<u64>) -> Option<u64>) -> Counts {
    std::array::from_fn(|at| both(a[at], b[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_that_began_anew_counts_whole() {
        let of = |kills| [Some(kills), None, Some(1), None];
        assert_eq!(since(of(5), of(3)), [Some(2), None, Some(0), None]);
        assert_eq!(since(of(2), of(3)), [Some(2), None, Some(0), None]);
        assert_eq!(since(of(2), Counts::default()), [Some(0), None, Some(0), None]);
        assert_eq!(plus(of(2), Counts::default()), of(2));
    }
}
