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
    labelled: BTreeMap<u32, Labelled>,
    groups: BTreeMap<Arc<str>, Group>,
}

/// A process, and the labels of its group.
#[derive(Debug)]
struct Labelled {
    ledger: Arc<ProcessLedger>,
    home: [String; 3],
    labels: Arc<str>,
}

/// What a group's figures were made of.
#[derive(Debug)]
struct Group {
    ledgers: Vec<Arc<ProcessLedger>>,
    member: Arc<Member>,
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
    /// Puts the processes of a collection together.
    pub fn of<'m>(
        &mut self,
        processes: impl Iterator<Item = Process<'m>>,
        grouping: Grouping,
    ) -> Members {
        let mut labelled = BTreeMap::new();
        let mut grouped: BTreeMap<Arc<str>, Vec<Process<'m>>> = BTreeMap::new();
        for process in processes {
            let pid = process.ledger.pid;
            let kept = self.labelled.remove(&pid).filter(|kept| kept.is_of(&process));
            let kept = kept.unwrap_or_else(|| Labelled::new(&process, grouping));
            grouped.entry(Arc::clone(&kept.labels)).or_default().push(process);
            labelled.insert(pid, kept);
        }
        let mut before = std::mem::take(&mut self.groups);
        let table = grouping.table();
        let mut members = Members::new();
        for (labels, processes) in grouped {
            let kept = before.remove(&labels).filter(|group| group.is_of(&processes));
            let group = kept.unwrap_or_else(|| Group::new(&processes, table));
            members.insert(Arc::clone(&labels), Arc::clone(&group.member));
            self.groups.insert(labels, group);
        }
        self.labelled = labelled;
        members
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
    fn new(process: &Process<'_>, grouping: Grouping) -> Self {
        let Process { ledger, home, .. } = process;
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
        let home = home.map(str::to_owned);
        Self { ledger: Arc::clone(ledger), home, labels: labels.into() }
    }

    fn is_of(&self, process: &Process<'_>) -> bool {
        Arc::ptr_eq(&self.ledger, process.ledger) && self.home == process.home
    }
}

impl Group {
    fn new(processes: &[Process<'_>], table: &'static Table) -> Self {
        let mut members = processes.iter().map(|process| member(process, table));
        let mut sum = members.next().unwrap_or_default();
        members.for_each(|member| sum.add(table, &member));
        let ledgers = processes.iter().map(|process| Arc::clone(process.ledger)).collect();
        Self { ledgers, member: Arc::new(sum) }
    }

    /// Whether its figures are those of these processes. What collectors did since the last
    /// time is no figure of a ledger.
    fn is_of(&self, processes: &[Process<'_>]) -> bool {
        let is_same = |(ledger, process): (&Arc<ProcessLedger>, &Process<'_>)| {
            Arc::ptr_eq(ledger, process.ledger)
                && process.did.iter().all(|did| *did == Collections::default())
        };
        self.ledgers.len() == processes.len() && self.ledgers.iter().zip(processes).all(is_same)
    }
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
