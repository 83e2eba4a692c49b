//! Groups of processes. A group whose processes' ledgers are those of the last collection
//! keeps its figures, so that what does not change costs next to nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use memgap_ledger::ProcessLedger;
use memgap_ledger::figure::signed;
use memgap_ledger::finding::{Subject, findings};

use crate::encode::labels;
use crate::gc::Collections;
use crate::scope::{Member, OfRuntime, Table};
use crate::tables::{OTHER, PROCESS, PROCESS_GROUP};

/// How processes are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Those of one name in one container.
    Name,
    /// Each by itself.
    Pid,
}

/// Members by their labels.
pub type Members = BTreeMap<Arc<str>, Arc<Member>>;

/// A process of a collection.
#[derive(Debug, Clone, Copy)]
pub struct Process<'m> {
    /// Its ledger.
    pub ledger: &'m Arc<ProcessLedger>,
    /// Namespace, pod and container that it is in; empty where it is in none.
    pub home: [&'m str; 3],
    /// What its garbage collectors did since the last time, by runtime.
    pub did: &'m [Collections],
}

/// The groups of the last collection.
#[derive(Debug, Default)]
pub struct Groups {
    /// Counts collections.
    round: u64,
    /// By pid.
    labelled: BTreeMap<u32, Labelled>,
    /// Numbers of groups, by their labels.
    numbers: BTreeMap<Arc<str>, u64>,
    groups: BTreeMap<u64, Group>,
    /// The number that the next new group gets.
    next: u64,
    members: Members,
    are_left_out: bool,
}

/// What a process was that belongs to a group.
#[derive(Debug)]
struct Labelled {
    name: String,
    home: [String; 3],
    group: u64,
    /// The last collection that met it.
    seen: u64,
}

/// What a group's figures were made of.
#[derive(Debug)]
struct Group {
    labels: Arc<str>,
    ledgers: Vec<Arc<ProcessLedger>>,
    /// How many of its processes this collection has met.
    met: usize,
    /// Whether its figures are no longer those of its processes.
    is_changed: bool,
}

impl Grouping {
    /// The families of groups.
    pub fn table(self) -> &'static Table {
        match self {
            Self::Name => &PROCESS_GROUP,
            Self::Pid => &PROCESS,
        }
    }
}

impl Groups {
    /// Makes none from now on, and keeps none, or makes them again.
    pub fn leave_out(&mut self, are_left_out: bool) {
        if are_left_out {
            *self = Self { are_left_out, ..Self::default() };
        }
        self.are_left_out = are_left_out;
    }

    /// Puts the processes of a collection together.
    pub fn of<'m>(
        &mut self,
        processes: impl Iterator<Item = Process<'m>>,
        grouping: Grouping,
    ) -> Members {
        if self.are_left_out {
            return Members::new();
        }
        self.round += 1;
        let grouped: Vec<_> =
            processes.map(|process| (self.meet(&process, grouping), process)).collect();
        self.labelled.retain(|_, labelled| labelled.seen == self.round);
        let mut changed: BTreeMap<u64, Vec<&Process<'m>>> = BTreeMap::new();
        self.groups.retain(|number, group| {
            if group.has_changed() {
                changed.insert(*number, Vec::new());
            }
            let is_empty = group.ledgers.is_empty();
            if is_empty {
                self.numbers.remove(&group.labels);
                self.members.remove(&group.labels);
            }
            !is_empty
        });
        for (number, process) in &grouped {
            if let Some(processes) = changed.get_mut(number) {
                processes.push(process);
            }
        }
        for (number, processes) in changed {
            if let Some(group) = self.groups.get(&number) {
                let sum = Arc::new(sum(&processes, grouping.table()));
                self.members.insert(Arc::clone(&group.labels), sum);
            }
        }
        self.members.clone()
    }

    /// Notes a process in its group, whose number it returns.
    fn meet(&mut self, process: &Process<'_>, grouping: Grouping) -> u64 {
        let pid = process.ledger.pid;
        let kept = self.labelled.get_mut(&pid).filter(|kept| kept.is_of(process));
        let number = match kept {
            Some(kept) => {
                kept.seen = self.round;
                kept.group
            }
            None => self.label(process, grouping),
        };
        if let Some(group) = self.groups.get_mut(&number) {
            group.meet(process);
        }
        number
    }

    fn label(&mut self, process: &Process<'_>, grouping: Grouping) -> u64 {
        let labels = labels_of(process, grouping);
        let number = match self.numbers.get(labels.as_str()) {
            Some(number) => *number,
            None => {
                let labels: Arc<str> = labels.into();
                self.next += 1;
                self.numbers.insert(Arc::clone(&labels), self.next);
                self.groups.insert(self.next, Group::new(labels));
                self.next
            }
        };
        let Process { ledger, home, .. } = process;
        let (name, home) = (ledger.name.clone(), home.map(str::to_owned));
        let labelled = Labelled { name, home, group: number, seen: self.round };
        self.labelled.insert(ledger.pid, labelled);
        number
    }
}

/// The runtimes of a process, each with what it did since the last time.
pub fn runtimes_of(
    table: &Table,
    process: &ProcessLedger,
    did: &[Collections],
) -> BTreeMap<String, OfRuntime> {
    let mut runtimes: BTreeMap<String, OfRuntime> = BTreeMap::new();
    for (index, runtime) in process.runtimes.iter().enumerate() {
        let gc = did.get(index).copied().unwrap_or_default();
        let figures = OfRuntime::new(table, runtime, gc);
        runtimes.entry(runtime.name.clone()).or_default().add(&figures);
    }
    runtimes
}

impl Labelled {
    fn is_of(&self, process: &Process<'_>) -> bool {
        self.name == process.ledger.name && self.home == process.home
    }
}

fn labels_of(Process { ledger, home, .. }: &Process<'_>, grouping: Grouping) -> String {
    // A group that is really called "other" is part of what is folded: it could
    // not be distinguished from it.
    let is_other = is_other(ledger);
    let [namespace, pod, name] = if is_other { [""; 3] } else { *home };
    let mut labels = labels(&[
        ("namespace", namespace),
        ("pod", pod),
        ("container", name),
        ("group", &ledger.name),
    ]);
    if grouping == Grouping::Pid && !is_other {
        labels += &format!(",pid=\"{}\"", ledger.pid);
    }
    labels
}

impl Group {
    fn new(labels: Arc<str>) -> Self {
        Self { labels, ledgers: Vec::new(), met: 0, is_changed: false }
    }

    /// Notes the next of its processes. What collectors did since the last time is no figure
    /// of a ledger.
    fn meet(&mut self, Process { ledger, did, .. }: &Process<'_>) {
        match self.ledgers.get_mut(self.met) {
            Some(kept) if Arc::ptr_eq(kept, ledger) => {
                self.is_changed |= did.iter().any(|did| *did != Collections::default());
            }
            Some(kept) => {
                *kept = Arc::clone(ledger);
                self.is_changed = true;
            }
            None => {
                self.ledgers.push(Arc::clone(ledger));
                self.is_changed = true;
            }
        }
        self.met += 1;
    }

    /// Forgets those of its processes that a collection has not met; tells whether its
    /// figures have to be made anew.
    fn has_changed(&mut self) -> bool {
        let is_changed = std::mem::take(&mut self.is_changed) || self.met < self.ledgers.len();
        self.ledgers.truncate(self.met);
        self.met = 0;
        is_changed
    }
}

fn sum(processes: &[&Process<'_>], table: &'static Table) -> Member {
    let mut members = processes.iter().map(|process| member(process, table));
    let mut sum = members.next().unwrap_or_default();
    members.for_each(|member| sum.add(table, &member));
    sum
}

fn is_other(process: &ProcessLedger) -> bool {
    process.name == OTHER
}

fn member(process: &Process<'_>, table: &Table) -> Member {
    let Process { ledger, did, .. } = process;
    // No counter lives in what is folded.
    let did = if is_other(ledger) { &[][..] } else { did };
    let h = &ledger.headline;
    let mut runtimes = runtimes_of(table, ledger, did);
    for (owner, bytes) in &ledger.in_use_by {
        let in_use = OfRuntime::of_claims(signed(*bytes));
        runtimes.entry(owner.clone()).or_default().add(&in_use);
    }
    Member {
        ledger: Member::ledger_of(table, &ledger.ledger),
        gauges: vec![h.rss.point(), h.vsz.point(), h.in_use.point(), Some(1)],
        runtimes,
        findings: Member::findings_of(&findings(Subject::Process(ledger))),
        ..Member::default()
    }
}

#[cfg(test)]
mod tests {
    use memgap_ledger::sample::{Counters, ProcessSample};
    use memgap_ledger::{Missing, process};

    use super::*;

    const NOWHERE: [&str; 3] = [""; 3];

    fn ledger(pid: u32, name: &str, rss: u64) -> Arc<ProcessLedger> {
        let none = ProcessSample::missing(pid, &Missing::absent("not asked for"));
        let counters = Ok(Counters { vsz: rss, rss, anon: rss, ..Counters::default() });
        Arc::new(process::ledger(&ProcessSample { name: name.to_owned(), counters, ..none }))
    }

    fn of(groups: &mut Groups, processes: &[(&Arc<ProcessLedger>, [&str; 3])]) -> Members {
        let processes = processes.iter().map(|&(ledger, home)| Process { ledger, home, did: &[] });
        groups.of(processes, Grouping::Name)
    }

    /// Resident memory and the count of processes, by name and container.
    fn sums(members: &Members) -> BTreeMap<String, (i64, i64)> {
        let value = |labels: &str, name: &str| {
            let (_, rest) = labels.split_once(name).expect("it is labelled");
            rest.split('"').nth(1).expect("a value").to_owned()
        };
        let known = |member: &Member, at: usize| member.gauges[at].expect("it is known");
        let sum = |(labels, member): (&Arc<str>, &Arc<Member>)| {
            let name = value(labels, "group=") + &value(labels, "container=");
            (name, (known(member, 0), known(member, 3)))
        };
        members.iter().map(sum).collect()
    }

    #[test]
    fn a_group_is_kept_until_one_of_its_processes_changes_comes_or_goes() {
        let mut groups = Groups::default();
        let [a1, a2, b3] = [ledger(1, "a", 10), ledger(2, "a", 20), ledger(3, "b", 30)];
        let all = [(&a1, NOWHERE), (&a2, NOWHERE), (&b3, NOWHERE)];
        let first = of(&mut groups, &all);
        assert_eq!(sums(&first), [("a".to_owned(), (30, 2)), ("b".to_owned(), (30, 1))].into());
        let same = of(&mut groups, &all);
        assert!(same.values().zip(first.values()).all(|(same, first)| Arc::ptr_eq(same, first)));

        let grown = ledger(1, "a", 15);
        let changed = of(&mut groups, &[(&grown, NOWHERE), (&a2, NOWHERE), (&b3, NOWHERE)]);
        assert_eq!(sums(&changed), [("a".to_owned(), (35, 2)), ("b".to_owned(), (30, 1))].into());
        let [kept, was] = [&changed, &first].map(|members| members.values().last().expect("b"));
        assert!(Arc::ptr_eq(kept, was));

        let gone = of(&mut groups, &[(&grown, NOWHERE), (&b3, NOWHERE)]);
        assert_eq!(sums(&gone), [("a".to_owned(), (15, 1)), ("b".to_owned(), (30, 1))].into());
        let renamed = ledger(3, "a", 30);
        let joined = of(&mut groups, &[(&grown, NOWHERE), (&renamed, NOWHERE)]);
        assert_eq!(sums(&joined), [("a".to_owned(), (45, 2))].into());
        let moved = of(&mut groups, &[(&grown, NOWHERE), (&renamed, ["n", "p", "c"])]);
        assert_eq!(sums(&moved), [("a".to_owned(), (15, 1)), ("ac".to_owned(), (30, 1))].into());
        assert_eq!(of(&mut groups, &[]).len(), 0);
        assert!(groups.labelled.is_empty() && groups.numbers.is_empty());
    }
}
