//! Bounds on what is exported: the largest process groups, then the cap on
//! series. What goes past a bound is folded into `other`: the sums over the
//! machine stay whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::scope::Scope;
use crate::select::Scopes;

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Process groups shown by name; 0 leaves process groups out.
    pub process_groups: usize,
    /// Series of all scopes together; findings count, self-telemetry does not.
    pub max_series: usize,
}

/// Applies the bounds and remembers which process groups are shown.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    shown: BTreeSet<Arc<str>>,
}

/// Members of a scope that the cap on series folded away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shed {
    /// The scope's name.
    pub scope: &'static str,
    /// How many members.
    pub members: usize,
}

/// The part of the series that are shown where there is little memory.
const POOR_PART: usize = 4;

impl Limits {
    /// The bounds where there is little memory.
    #[must_use]
    pub fn of_the_poor(self) -> Self {
        Self { process_groups: 0, max_series: self.max_series / POOR_PART }
    }
}

impl Limiter {
    /// A limiter that has shown nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, shown: BTreeSet::new() }
    }

    /// Applies other bounds from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Folds what goes past the bounds; returns what the cap cost.
    pub fn apply(&mut self, scopes: &mut Scopes) -> Vec<Shed> {
        if self.limits.process_groups == 0 {
            scopes.groups.members.clear();
        } else {
            self.show(&mut scopes.groups);
        }
        self.cap(scopes)
    }

    /// Keeps the largest groups. One that is shown gives its place up only to one
    /// that is larger by a quarter, so that groups of like size do not take turns.
    fn show(&mut self, groups: &mut Scope) {
        let ranked = groups.ranked(|labels, bytes| {
            if self.shown.contains(labels) { bytes.saturating_add(bytes / 4) } else { bytes }
        });
        let (shown, rest) = ranked.split_at(ranked.len().min(self.limits.process_groups));
        groups.fold(rest);
        self.shown = shown.iter().cloned().collect();
    }

    /// Containers are what users look for: they go last.
    fn cap(&self, scopes: &mut Scopes) -> Vec<Shed> {
        let mut total = scopes.series();
        let Scopes { groups, cgroups, units, pods, containers, .. } = scopes;
        let mut sheds = Vec::new();
        for scope in [groups, cgroups, units, pods, containers] {
            if total <= self.limits.max_series {
                break;
            }
            let own = scope.series();
            let ranked = scope.ranked(|_, bytes| bytes);
            let budget = self.limits.max_series.saturating_sub(total - own);
            let rest = &ranked[scope.fitting(&ranked, budget)..];
            scope.fold(rest);
            total = total - own + scope.series();
            sheds.push(Shed { scope: scope.table.name, members: rest.len() });
        }
        sheds
    }
}
