//! Programs: the processes of one name in one cgroup, taken together.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::Account;
use crate::figure::Figure;
use crate::in_use::UNREAD;
use crate::process::ProcessLedger;

/// The processes of one name in one cgroup. Pages that several of them map count once,
/// but in `rss`.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Their name.
    pub name: String,
    /// Path of their cgroup, where it could be read.
    pub cgroup: Option<String>,
    /// Their ids, in order.
    pub pids: Vec<u32>,
    /// The sum of their RSS: pages that they share count in each.
    pub rss: Figure,
    /// The sum of their PSS.
    pub pss: Figure,
    /// What they have in use; the high bound includes what none were read of.
    pub in_use: Figure,
    /// The share of their anonymous memory of which it is known what it is, 0 to 1.
    pub coverage: Option<f64>,
    /// What their allocators keep free in memory.
    pub free: Figure,
    /// What is lazily freed.
    pub lazy: Figure,
    /// Anonymous memory of which no heap statistics were read.
    pub not_read: Figure,
    /// Names of the runtimes and allocators that were not read.
    pub unread: BTreeSet<String>,
}

/// Below this share what is in use is said to be a least.
pub const WHOLE: f64 = 0.9;

/// Programs by what could be had back, the most first; then those that are not read, by
/// how much of them is not. With `each` every process is one of its own.
pub fn programs<P: Borrow<ProcessLedger>>(processes: &[P], each: bool) -> Vec<Program> {
    let mut groups: BTreeMap<_, Vec<&ProcessLedger>> = BTreeMap::new();
    for process in processes {
        let process: &ProcessLedger = process.borrow();
        let pid = each.then_some(process.pid);
        groups.entry((&process.cgroup, &process.name, pid)).or_default().push(process);
    }
    let mut programs: Vec<Program> = groups.into_values().filter_map(|p| Program::of(&p)).collect();
    programs.sort_by_key(|program| {
        let is_last = program.is_partly_read();
        let bytes = if is_last { program.not_read.point() } else { Some(program.returnable()) };
        (is_last, Reverse(bytes), Reverse(program.rss.point()), program.pids.first().copied())
    });
    programs
}

impl Program {
    fn of(processes: &[&ProcessLedger]) -> Option<Self> {
        let first = processes.first()?;
        let mut pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
        pids.sort_unstable();
        let rss = processes.iter().fold(Figure::Absent, |sum, p| sum.plus(p.headline.rss));
        // The memory of the others counts for processes that may be of another name.
        let counted = processes.iter().copied().filter(|process| !process.is_counted_elsewhere());
        let processes: Vec<&ProcessLedger> = counted.collect();
        let none = if processes.is_empty() { Figure::Exact(0) } else { Figure::Absent };
        let sum = |figure: fn(&ProcessLedger) -> Figure| {
            processes.iter().fold(none, |sum, process| sum.plus(figure(process)))
        };
        let charged = |accounts: &[Account]| {
            let all = processes.iter().flat_map(|process| &process.charged);
            let held = all.filter(|(account, _)| accounts.contains(account));
            held.map(|(_, bytes)| Figure::Exact(*bytes)).fold(none, Figure::plus)
        };
        let unread = processes.iter().flat_map(|process| &process.unread);
        Some(Self {
            name: first.name.clone(),
            cgroup: first.cgroup.clone(),
            pids,
            rss,
            pss: sum(|p| p.headline.pss),
            in_use: none.plus(in_use(&processes)),
            coverage: if processes.is_empty() { Some(1.0) } else { coverage(&processes) },
            free: charged(&[Account::AllocatorFree]),
            lazy: charged(&[Account::LazyFree]),
            not_read: charged(&UNREAD),
            unread: unread.map(|unread| unread.name.clone()).filter(|n| !n.is_empty()).collect(),
        })
    }

    /// What could be had back: by its allocators and by the kernel.
    pub fn returnable(&self) -> i64 {
        let points = [self.free.point(), self.lazy.point()];
        points.into_iter().flatten().fold(0, i64::saturating_add)
    }

    /// Whether what is in use is a least.
    pub fn is_partly_read(&self) -> bool {
        self.coverage.is_none_or(|coverage| coverage < WHOLE)
    }
}

/// What they have in use, those without heap statistics as a part that is not read.
fn in_use(processes: &[&ProcessLedger]) -> Figure {
    let read = processes.iter().filter_map(|p| p.charged_in_use.as_ref());
    let Some(sum) = read.map(|in_use| in_use.total).reduce(Figure::plus) else {
        return Figure::Absent;
    };
    let (low, _) = sum.bounds().unwrap_or_default();
    let high = processes.iter().fold(0i64, |sum, p| sum.saturating_add(p.in_use_at_most));
    Figure::interval(low, sum.point().unwrap_or(low), high)
}

/// Of all their anonymous memory together; none where no heap statistics of any were read.
fn coverage(processes: &[&ProcessLedger]) -> Option<f64> {
    processes.iter().any(|process| process.in_use.is_some()).then(|| {
        let all = processes.iter().flat_map(|process| &process.charged);
        crate::in_use::coverage(|account| {
            let of_account = all.clone().filter(|(a, _)| *a == account);
            of_account.fold(0i64, |sum, (_, bytes)| sum.saturating_add(*bytes))
        })
    })
}
