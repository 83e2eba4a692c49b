//! What garbage collectors did, as counters of the scopes that their processes are
//! in: they count from the exporter's start and never decrease while a member of a
//! scope lives, whatever processes come and go in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::gc::Collections;
use crate::scope::{Member, OfRuntime};
use crate::select::Scopes;

/// By labels, then by runtime.
type OfScope = BTreeMap<Arc<str>, BTreeMap<String, Collections>>;

/// The counters, by the name of a scope's table.
#[derive(Debug, Default)]
pub struct Totals(BTreeMap<&'static str, OfScope>);

impl Totals {
    /// Makes totals of the increments that stand in the scopes' members. A member
    /// that is gone is forgotten.
    pub fn add_up(&mut self, scopes: &mut Scopes) {
        for scope in scopes.all_mut() {
            let mut before = self.0.remove(scope.table.name).unwrap_or_default();
            let totals = self.0.entry(scope.table.name).or_default();
            for (labels, member) in &mut scope.members {
                let mut sums = before.remove(labels).unwrap_or_default();
                let counts = |(runtime, figures): (&String, &OfRuntime)| {
                    figures.gc != Collections::default() || sums.contains_key(runtime)
                };
                // Most members are shared with who keeps them, and have no counters.
                if member.runtimes.iter().any(counts) {
                    add_member(Arc::make_mut(member), &mut sums);
                }
                if !sums.is_empty() {
                    totals.insert(Arc::clone(labels), sums);
                }
            }
        }
    }
}

fn add_member(member: &mut Member, sums: &mut BTreeMap<String, Collections>) {
    for (runtime, figures) in &mut member.runtimes {
        if figures.gc != Collections::default() || sums.contains_key(runtime) {
            let sum = sums.entry(runtime.clone()).or_default();
            *sum = sum.plus(figures.gc);
            figures.gc = *sum;
        }
    }
}
