//! What is kept of a machine from one time to the next is what would be made anew.

#[expect(dead_code, reason = "the laws of one sample need the rest")]
mod any;

use std::sync::Arc;

use memgap_ledger::sample::{CgroupSample, MachineSample, ProcessSample};
use memgap_ledger::{CgroupLedger, Machine, Machines, Missing, ProcessLedger, cgroup, process};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;

use crate::any::Scale;

/// Cgroups in the order in which they are read; processes may be in others, too.
const PATHS: [&str; 7] = ["/", "/a", "/a/b", "/a/b/c", "/a/d", "/ab", "/e"];
const OTHERS: [&str; 3] = ["/a/b/x/y", "/z", "/"];

/// A machine with some of the cgroups; those of `gone` are not there.
fn machine() -> impl Strategy<Value = (MachineSample, [bool; PATHS.len()])> {
    let cgroups = prop::collection::vec(any::cgroup(Scale::Real), PATHS.len());
    let path = select([PATHS.as_slice(), OTHERS.as_slice()].concat()).prop_map(str::to_owned);
    let process = (any::process(Scale::Real), path).prop_map(|(mut process, path)| {
        process.cgroup = process.cgroup.map(|_| path);
        process
    });
    let processes = prop::collection::vec(process, 0..12);
    let parts = (any::host(Scale::Real), cgroups, processes, any::<[bool; PATHS.len()]>());
    parts.prop_map(|(host, mut cgroups, mut processes, gone)| {
        for (cgroup, path) in cgroups.iter_mut().zip(PATHS) {
            (cgroup.path, cgroup.root) = (path.to_owned(), path == "/");
        }
        for (pid, process) in (1..).zip(&mut processes) {
            process.pid = pid;
        }
        (any::machine(host, cgroups, processes), gone)
    })
}

/// The second machine, of which some is as it was on the first.
fn then(
    first: &MachineSample,
    (mut second, gone): (MachineSample, [bool; PATHS.len()]),
    stays: &[bool],
) -> MachineSample {
    let mut stays = stays.iter().copied().cycle();
    let mut stay = || stays.next().unwrap_or_default();
    if let (Ok(before), Ok(cgroups)) = (&first.cgroups, &mut second.cgroups) {
        for (before, cgroup) in before.iter().zip(cgroups.iter_mut()).filter(|_| stay()) {
            *cgroup = before.clone();
        }
        let mut gone = gone.into_iter();
        cgroups.retain(|_| !gone.next().unwrap_or_default());
    }
    for (before, process) in first.processes.iter().zip(&mut second.processes).filter(|_| stay()) {
        *process = before.clone();
    }
    second
}

/// The ledgers of processes, those that are as before shared.
fn ledgers(of: &[ProcessSample], before: &[Arc<ProcessLedger>]) -> Vec<Arc<ProcessLedger>> {
    let made = of.iter().map(process::ledger);
    let same = |made: &ProcessLedger| before.iter().find(|one| ***one == *made).cloned();
    made.map(|made| same(&made).unwrap_or_else(|| Arc::new(made))).collect()
}

fn is_within(path: &str, cgroup: &str) -> bool {
    let prefix = if cgroup == "/" { "/".to_owned() } else { format!("{cgroup}/") };
    path == cgroup || path.starts_with(&prefix)
}

/// Room is made of other cgroups, too.
fn without_room(ledger: &CgroupLedger) -> CgroupLedger {
    let mut ledger = ledger.clone();
    ledger.absent.retain(|absence| absence.what != "room");
    CgroupLedger { room: Err(Missing::absent("left out")), ..ledger }
}

/// By every process in it and below it, looked at one by one.
fn by_itself(sample: &CgroupSample, processes: &[Arc<ProcessLedger>]) -> CgroupLedger {
    let inside = |process: &&Arc<ProcessLedger>| {
        process.cgroup.as_deref().is_some_and(|path| is_within(path, &sample.path))
    };
    let members: Vec<&ProcessLedger> = processes.iter().filter(inside).map(|p| &**p).collect();
    cgroup::ledger(sample, Ok(&members))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_kept_is_what_would_be_made(
        (first, _) in machine(),
        second in machine(),
        stays in prop::collection::vec(any::<bool>(), 19),
    ) {
        let second = then(&first, second, &stays);
        let mut machines = Machines::default();
        let mut before = Vec::new();
        for sample in [&first, &second, &second, &first] {
            let processes = ledgers(&sample.processes, &before);
            let kept = machines.next(None, &sample.host, &sample.cgroups, processes);
            prop_assert_eq!(&kept, &Machine::of(sample));
            before = kept.processes;
        }
    }

    #[test]
    fn what_a_cgroup_holds_is_that_of_its_own_and_of_those_below((sample, _) in machine()) {
        let machine = Machine::of(&sample);
        let is_listed = machine.processes.iter().any(|process| process.cgroup.is_some());
        prop_assume!(is_listed);
        for (sample, made) in sample.cgroups.iter().flatten().zip(machine.cgroups.iter().flatten()) {
            let by_itself = by_itself(sample, &machine.processes);
            prop_assert_eq!(without_room(made), without_room(&by_itself));
        }
    }
}

/// The second time nothing is made.
#[test]
fn what_has_not_changed_is_the_same_ledger() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..32 {
        let (sample, _) = machine().new_tree(&mut runner).expect("a machine").current();
        let mut machines = Machines::default();
        let processes = ledgers(&sample.processes, &[]);
        let mut next = || machines.next(None, &sample.host, &sample.cgroups, processes.clone());
        let [first, second] = [next(), next()].map(|machine| machine.cgroups.expect("cgroups"));
        assert!(first.iter().zip(&second).all(|(first, second)| Arc::ptr_eq(first, second)));
    }
}
