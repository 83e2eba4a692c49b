//! Scopes: what is exported together under the same labels.
//!
//! A scope is a table of families and a map of members, one for each set of
//! labels. Two things with equal labels are one member, their figures summed,
//! so that no series can appear twice.

mod runtimes;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use memgap_ledger::account::KERNEL;
use memgap_ledger::{Account, Finding, Ledger, finding};

use crate::count::{COUNTERS, Counts};
use crate::encode::{Encoder, Kind, Value};
use crate::gc::Collections;

pub use runtimes::{OfRuntime, RuntimeGauge};

/// A family of gauges, or one labelled part of it.
#[derive(Debug)]
pub struct Gauge {
    /// What follows `memgap_<scope>_`. Parts of one family stand together.
    pub name: &'static str,
    /// The label pair of this part.
    pub part: &'static [(&'static str, &'static str)],
    /// One line on what it is.
    pub help: &'static str,
    /// How members with equal labels become one.
    pub sum: Sum,
}

/// How unknown figures enter a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// The sum is known only where each part is.
    All,
    /// Unknown parts add nothing.
    Known,
    /// Not the sum but the least, of those that are known.
    Least,
}

/// The families of a scope.
#[derive(Debug)]
pub struct Table {
    /// The word in the families' names and in the label `scope` of findings.
    pub name: &'static str,
    /// The accounts that sum to the first gauge; none where they are not
    /// exported.
    pub accounts: &'static [Account],
    /// Help of the ledger family.
    pub ledger_help: &'static str,
    /// The gauges. The first is the one that members are ranked by.
    pub gauges: &'static [Gauge],
    /// The gauges by runtime, beside what is in use and counters of garbage collection.
    pub runtime_gauges: &'static [RuntimeGauge],
    /// Label names and values of what stands for folded members.
    pub other: &'static [(&'static str, &'static str)],
}

/// The figures behind one set of labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Member {
    /// Points of the table's accounts, in its order.
    pub ledger: Vec<Option<i64>>,
    /// Values of the table's gauges, in its order.
    pub gauges: Vec<Option<i64>>,
    /// Share of the anonymous memory whose heap statistics were read, 0 to 1.
    pub coverage: Option<f64>,
    /// Label sets of the info family, rendered.
    pub infos: BTreeSet<String>,
    /// By runtime or allocator.
    pub runtimes: BTreeMap<String, OfRuntime>,
    /// Bytes of active findings by id and severity.
    pub findings: BTreeMap<(&'static str, &'static str), i64>,
    /// What the kernel counted at the limits of its cgroups, by their paths.
    pub counted: Vec<(String, Counts)>,
    /// The counters made of it.
    pub counters: Counts,
}

/// A table with its members by rendered labels.
#[derive(Debug)]
pub struct Scope {
    /// The families.
    pub table: &'static Table,
    /// The members, shared with who keeps them.
    pub members: BTreeMap<Arc<str>, Arc<Member>>,
}

/// The most finding series that one member can have: each with each severity.
const FINDINGS: usize = finding::ALL.len() * 3;

const COVERAGE_HELP: &str = "Share of the anonymous memory whose allocators' and runtimes' heap statistics were read: what in_use_bytes speaks for.";

impl Member {
    /// The points of a ledger's accounts.
    pub fn ledger_of(table: &Table, ledger: &Ledger) -> Vec<Option<i64>> {
        let point = |account: &Account| match account {
            // What has no series of its own is part of this one.
            Account::Kernel => KERNEL
                .iter()
                .filter(|part| **part == Account::Kernel || !table.accounts.contains(part))
                .filter_map(|part| ledger.figure(*part).point())
                .reduce(i64::saturating_add),
            account => ledger.figure(*account).point(),
        };
        table.accounts.iter().map(point).collect()
    }

    /// The bytes of findings; one without a point has no sample.
    pub fn findings_of(findings: &[Finding]) -> BTreeMap<(&'static str, &'static str), i64> {
        findings
            .iter()
            .filter_map(|f| Some(((f.id, f.severity.name()), f.bytes.point()?)))
            .collect()
    }

    /// Adds the figures of another member of that table.
    pub fn add(&mut self, table: &Table, other: &Self) {
        for (sum, part) in self.ledger.iter_mut().zip(&other.ledger) {
            *sum = plus(Sum::Known, *sum, *part);
        }
        for ((sum, part), gauge) in self.gauges.iter_mut().zip(&other.gauges).zip(table.gauges) {
            *sum = plus(gauge.sum, *sum, *part);
        }
        // A ratio can not be summed: the lesser promises nothing too much.
        self.coverage = match (self.coverage, other.coverage) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        };
        self.infos.extend(other.infos.iter().cloned());
        for (runtime, figures) in &other.runtimes {
            match self.runtimes.get_mut(runtime) {
                Some(sum) => sum.add(figures),
                None => {
                    self.runtimes.insert(runtime.clone(), figures.clone());
                }
            }
        }
        self.counted.extend(other.counted.iter().cloned());
        for (finding, bytes) in &other.findings {
            let sum = self.findings.entry(*finding).or_default();
            *sum = sum.saturating_add(*bytes);
        }
    }

    /// Leaves out who it is, and its counters.
    fn be_folded(&mut self) {
        self.infos.clear();
        self.counters = Counts::default();
        self.runtimes.values_mut().for_each(|figures| figures.gc = Collections::default());
    }

    /// How many series it makes.
    fn series(&self) -> usize {
        let known = self.ledger.iter().chain(&self.gauges).filter(|v| v.is_some()).count();
        let of_runtimes: usize = self.runtimes.values().map(OfRuntime::series).sum();
        let others = usize::from(self.coverage.is_some()) + self.infos.len() + self.findings.len();
        let counters = self.counters.iter().filter(|count| count.is_some()).count();
        known + of_runtimes + others + counters
    }
}

impl Scope {
    /// A scope without members.
    pub fn new(table: &'static Table) -> Self {
        Self { table, members: BTreeMap::new() }
    }

    /// Adds a member, or its figures to the member that has the same labels.
    pub fn add(&mut self, labels: String, member: Member) {
        match self.members.get_mut(labels.as_str()) {
            Some(there) => Arc::make_mut(there).add(self.table, &member),
            None => {
                self.members.insert(labels.into(), Arc::new(member));
            }
        }
    }

    /// The same of a member that is kept elsewhere.
    pub fn add_shared(&mut self, labels: &Arc<str>, member: &Arc<Member>) {
        match self.members.get_mut(labels) {
            Some(there) => Arc::make_mut(there).add(self.table, member),
            None => {
                self.members.insert(Arc::clone(labels), Arc::clone(member));
            }
        }
    }

    /// How many series its members make.
    pub fn series(&self) -> usize {
        self.members.values().map(|member| member.series()).sum()
    }

    /// The labels of the members from the largest to the smallest, by what
    /// `weigh` makes of their first gauge.
    pub fn ranked(&self, weigh: impl Fn(&str, i64) -> i64) -> Vec<Arc<str>> {
        let size = |member: &Member| member.gauges.first().copied().flatten().unwrap_or(0);
        let weighed = self.members.iter().map(|(l, m)| (Reverse(weigh(l, size(m))), l));
        let mut ranked: Vec<_> = weighed.collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, labels)| Arc::clone(labels)).collect()
    }

    /// How many of the members `ranked` fit into `budget` series, when the rest
    /// takes one member more.
    pub fn fitting(&self, ranked: &[Arc<str>], budget: usize) -> usize {
        let runtimes: BTreeSet<_> = self.members.values().flat_map(|m| m.runtimes.keys()).collect();
        let of_runtimes = runtimes.len() * (self.table.runtime_gauges.len() + 1);
        let other =
            self.table.accounts.len() + self.table.gauges.len() + of_runtimes + 1 + FINDINGS;
        let mut left = budget.saturating_sub(other);
        let fits = |labels: &&Arc<str>| {
            let series = self.members.get(*labels).map_or(0, |member| member.series());
            let fits = series <= left;
            left = left.saturating_sub(series);
            fits
        };
        ranked.iter().take_while(fits).count()
    }

    /// Folds members into the one that the table calls other. Their sums are
    /// conserved; who they were is not, and counters are not: what comes and goes
    /// would make them decrease.
    pub fn fold(&mut self, labels: &[Arc<str>]) {
        let other: Arc<str> = crate::encode::labels(self.table.other).into();
        let mut sum: Option<Member> = None;
        for label in labels {
            let Some(member) = self.members.remove(label) else { continue };
            match &mut sum {
                Some(sum) => sum.add(self.table, &member),
                None => sum = Some(Arc::unwrap_or_clone(member)),
            }
        }
        let Some(mut sum) = sum else { return };
        sum.be_folded();
        if let Some(there) = self.members.get_mut(&other) {
            Arc::make_mut(there).add(self.table, &sum);
        } else {
            self.members.insert(other, Arc::new(sum));
        }
    }

    /// Writes every family but the findings.
    pub fn write(&self, out: &mut Encoder) {
        let table = self.table;
        let name = format!("memgap_{}_ledger_bytes", table.name);
        let mut family = out.family(Kind::Gauge, &name, table.ledger_help);
        for (labels, member) in &self.members {
            for (account, bytes) in table.accounts.iter().zip(&member.ledger) {
                let Some(bytes) = bytes else { continue };
                let account = [("class", account.class().name()), ("account", account.name())];
                family.sample(labels, &account, Value::Int(*bytes));
            }
        }
        let mut index = 0;
        for parts in table.gauges.chunk_by(|a, b| a.name == b.name) {
            let name = format!("memgap_{}_{}", table.name, parts[0].name);
            let mut family = out.family(Kind::Gauge, &name, parts[0].help);
            for (labels, member) in &self.members {
                for (gauge, value) in parts.iter().zip(member.gauges.iter().skip(index)) {
                    if let Some(value) = value {
                        family.sample(labels, gauge.part, Value::Int(*value));
                    }
                }
            }
            index += parts.len();
        }
        self.write_counters(out);
        self.write_runtimes(out);
        self.write_gc(out);
        self.write_coverage(out);
        self.write_info(out);
    }

    fn write_counters(&self, out: &mut Encoder) {
        for (at, counter) in COUNTERS.iter().enumerate() {
            let name = format!("memgap_{}_{}", self.table.name, counter.name);
            let mut family = out.family(Kind::Counter, &name, counter.help);
            for (labels, member) in &self.members {
                if let Some(count) = member.counters[at] {
                    family.sample(labels, &[], (counter.value)(count));
                }
            }
        }
    }

    fn write_coverage(&self, out: &mut Encoder) {
        let name = format!("memgap_{}_in_use_coverage_ratio", self.table.name);
        let mut family = out.family(Kind::Gauge, &name, COVERAGE_HELP);
        for (labels, member) in &self.members {
            if let Some(ratio) = member.coverage {
                family.sample(labels, &[], Value::Float(ratio));
            }
        }
    }

    fn write_info(&self, out: &mut Encoder) {
        let name = format!("memgap_{}_info", self.table.name);
        let mut family = out.family(Kind::Info, &name, "How runtimes know it: for joins.");
        for info in self.members.values().flat_map(|m| &m.infos) {
            family.sample(info, &[], Value::Int(1));
        }
    }
}

fn plus(sum: Sum, a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b, sum) {
        (Some(a), Some(b), Sum::Least) => Some(a.min(b)),
        (Some(a), Some(b), _) => Some(a.saturating_add(b)),
        (one, None, Sum::Known | Sum::Least) | (None, one, Sum::Known | Sum::Least) => one,
        (_, None, Sum::All) | (None, _, Sum::All) => None,
    }
}
