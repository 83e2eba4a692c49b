//! The rows of both lists, made of ledgers.

use std::collections::BTreeMap;
use std::sync::Arc;

use memgap_ledger::program::WHOLE;
use memgap_ledger::{Account, CgroupLedger, Figure, Machine, Program, headlines};

use super::Of;
use super::name::Name;
use super::past::Past;

/// A line of the table.
#[derive(Debug)]
pub struct Row {
    pub name: Name,
    /// What people call it.
    pub label: String,
    /// Of a program, what its cgroup is called.
    pub home: String,
    pub processes: Option<usize>,
    /// Of a program with one process.
    pub pid: Option<u32>,
    /// RSS of a program, usage of a cgroup.
    pub size: Figure,
    pub in_use: Figure,
    /// What could be had back, and whether that is a least: not all of it is read.
    pub back: Figure,
    pub is_least: bool,
    /// What its cgroup can still allocate: the low bound.
    pub room: Option<i64>,
    pub growth: Option<i64>,
}

impl Row {
    /// Whether its name or its place contains a text in small letters.
    pub fn has(&self, wanted: &str) -> bool {
        wanted.is_empty()
            || [&self.label, &self.home].iter().any(|text| text.to_lowercase().contains(wanted))
    }
}

/// One for each program; kernel threads and zombies hold no memory.
pub fn of_programs(machine: &Machine, programs: &[Program], past: &Past) -> Vec<Row> {
    let cgroups: BTreeMap<&str, &Arc<CgroupLedger>> =
        machine.cgroups.iter().flatten().map(|cgroup| (cgroup.path.as_str(), cgroup)).collect();
    let row = |program: &Program| {
        let name = Name::of_program(program);
        let cgroup = program.cgroup.as_deref().and_then(|path| cgroups.get(path));
        Row {
            label: program.name.clone(),
            home: cgroup.map_or_else(
                || program.cgroup.clone().unwrap_or_default(),
                |cgroup| headlines::cgroup_name(&cgroup.path, &cgroup.identity),
            ),
            processes: Some(program.pids.len()),
            pid: program.pids.first().copied().filter(|_| program.pids.len() == 1),
            size: program.rss,
            in_use: program.in_use,
            back: program.free.plus(program.lazy),
            is_least: program.is_partly_read(),
            room: cgroup.and_then(|cgroup| room(cgroup)),
            growth: past.growth(&name),
            name,
        }
    };
    let holds = |program: &&Program| program.rss.point() != Some(0);
    programs.iter().filter(holds).map(row).collect()
}

/// One for each cgroup that has none below it.
pub fn of_containers(machine: &Machine, past: &Past) -> Vec<Row> {
    let leaves = machine.cgroups.iter().flatten().filter(|cgroup| cgroup.leaf && !cgroup.root);
    let row = |cgroup: &Arc<CgroupLedger>| {
        let name = Name::Cgroup(cgroup.path.clone());
        Row {
            label: headlines::cgroup_name(&cgroup.path, &cgroup.identity),
            home: cgroup.path.clone(),
            processes: cgroup.processes,
            pid: None,
            size: cgroup.headline.usage,
            in_use: cgroup.headline.in_use,
            back: back(cgroup),
            is_least: cgroup.headline.in_use_coverage.is_none_or(|share| share < WHOLE),
            room: room(cgroup),
            growth: past.growth(&name),
            name,
        }
    };
    leaves.map(row).collect()
}

/// The one of that name: of a program the process that holds most.
pub fn find(machine: &Machine, wanted: &Name) -> Option<Of> {
    match wanted {
        Name::Cgroup(path) => {
            let mut cgroups = machine.cgroups.iter().flatten();
            cgroups.find(|cgroup| cgroup.path == *path).cloned().map(Of::Cgroup)
        }
        Name::Program { cgroup, name } => {
            let of_it = machine.processes.iter();
            let mut of_it: Vec<_> =
                of_it.filter(|p| p.name == *name && p.cgroup == *cgroup).collect();
            of_it.sort_by_key(|p| (std::cmp::Reverse(p.headline.rss.point()), p.pid));
            let (first, others) = of_it.split_first()?;
            let others = others.iter().map(|process| process.pid).collect();
            Some(Of::Process { ledger: Arc::clone(first), others })
        }
    }
}

/// What the kernel can take back of it, and what its allocators keep free.
fn back(cgroup: &CgroupLedger) -> Figure {
    let free = cgroup.ledger.figure(Account::AllocatorFree);
    let usage = cgroup.headline.usage.point();
    let taken = usage.zip(cgroup.headline.required.bounds()).zip(cgroup.headline.required.point());
    let Some(((usage, (low, high)), point)) = taken else { return free };
    let less = |required: i64| usage.saturating_sub(required).max(0);
    Figure::interval(less(high), less(point), less(low)).plus(free)
}

fn room(cgroup: &CgroupLedger) -> Option<i64> {
    cgroup.room.as_ref().ok().and_then(|room| room.bytes.bounds()).map(|(low, _)| low)
}
