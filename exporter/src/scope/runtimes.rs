//! What is exported by runtime: gauges from their heap statistics, counters of their collectors.

use memgap_ledger::Runtime;
use memgap_ledger::figure::signed;

use super::{Scope, Sum, Table, plus};
use crate::encode::{Encoder, Family, Kind, Value};
use crate::gc::Collections;

/// A family of gauges by runtime or allocator.
#[derive(Debug)]
pub struct RuntimeGauge {
    /// What follows `memgap_<scope>_runtime_`.
    pub name: &'static str,
    /// One line on what it is.
    pub help: &'static str,
    /// Takes it from what a runtime's heap statistics say.
    pub of: fn(&Runtime) -> Option<i64>,
}

/// What runtimes or allocators of one name say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OfRuntime {
    /// What is in use by their heap statistics.
    pub in_use: Option<i64>,
    /// Values of the table's runtime gauges, in its order; unknown parts add nothing.
    pub gauges: Vec<Option<i64>>,
    /// What their garbage collectors did.
    pub gc: Collections,
}

const IN_USE_HELP: &str = "In use by the heap statistics of runtimes or allocators of one name; they sum to in_use_bytes.";

const CYCLES_HELP: &str = "Garbage collections since the exporter started.";

const PAUSE_HELP: &str =
    "Time that garbage collections stopped the programs for since the exporter started.";

impl OfRuntime {
    /// What a runtime's heap statistics say, and what it did since the last time.
    pub fn new(table: &Table, runtime: &Runtime, gc: Collections) -> Self {
        let gauges = table.runtime_gauges.iter().map(|gauge| (gauge.of)(runtime)).collect();
        Self { in_use: None, gauges, gc }
    }

    /// What is in use by the claims of a runtime.
    pub fn of_claims(in_use: i64) -> Self {
        Self { in_use: Some(in_use), ..Self::default() }
    }

    /// Adds those of another runtime of that name.
    pub fn add(&mut self, other: &Self) {
        self.gc = self.gc.plus(other.gc);
        self.in_use = plus(Sum::Known, self.in_use, other.in_use);
        self.gauges.resize(self.gauges.len().max(other.gauges.len()), None);
        for (sum, part) in self.gauges.iter_mut().zip(&other.gauges) {
            *sum = plus(Sum::Known, *sum, *part);
        }
    }

    pub(super) fn series(&self) -> usize {
        let others = [self.in_use.is_some(), self.gc.cycles.is_some(), self.gc.paused.is_some()];
        let reported = self.gauges.iter().map(Option::is_some).chain(others);
        reported.filter(|is_reported| *is_reported).count()
    }
}

impl Scope {
    /// Writes the families by runtime.
    pub(super) fn write_runtimes(&self, out: &mut Encoder) {
        let name = format!("memgap_{}_runtime_in_use_bytes", self.table.name);
        self.write_by_runtime(out.family(Kind::Gauge, &name, IN_USE_HELP), |figures| {
            figures.in_use.map(Value::Int)
        });
        for (index, gauge) in self.table.runtime_gauges.iter().enumerate() {
            let name = format!("memgap_{}_runtime_{}", self.table.name, gauge.name);
            self.write_by_runtime(out.family(Kind::Gauge, &name, gauge.help), |figures| {
                figures.gauges.get(index).copied().flatten().map(Value::Int)
            });
        }
    }

    /// Writes the counters of garbage collection.
    pub(super) fn write_gc(&self, out: &mut Encoder) {
        let name = format!("memgap_{}_gc_cycles_total", self.table.name);
        self.write_by_runtime(out.family(Kind::Counter, &name, CYCLES_HELP), |figures| {
            figures.gc.cycles.map(|cycles| Value::Int(signed(cycles)))
        });
        let name = format!("memgap_{}_gc_pause_seconds_total", self.table.name);
        self.write_by_runtime(out.family(Kind::Counter, &name, PAUSE_HELP), |figures| {
            figures.gc.paused.map(|paused| Value::Float(paused.as_secs_f64()))
        });
    }

    fn write_by_runtime(
        &self,
        mut family: Family<'_>,
        value: impl Fn(&OfRuntime) -> Option<Value>,
    ) {
        for (labels, member) in &self.members {
            for (runtime, figures) in &member.runtimes {
                if let Some(value) = value(figures) {
                    family.sample(labels, &[("runtime", runtime)], value);
                }
            }
        }
    }
}
