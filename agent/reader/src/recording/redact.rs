//! A sample without its names.

use memgap_ledger::events::Events;
use memgap_ledger::runtime::Found;
use memgap_ledger::sample::{CgroupSample, MachineSample, ProcessSample};
use memgap_ledger::{Fact, Missing};

use crate::capture::Names;

/// Replaces the names of programs, files, cgroups and pods, as a capture does, and paths in
/// reasons and evidence.
pub(super) fn sample(machine: &mut MachineSample, names: &mut Names) {
    fact(&mut machine.cgroups, names);
    for cgroup in machine.cgroups.iter_mut().flatten() {
        lacks(cgroup, names);
        cgroup.path = names.path(&cgroup.path);
        if let Some(of) = &mut cgroup.names {
            for name in [&mut of.namespace, &mut of.pod, &mut of.container] {
                *name = names.pod(name);
            }
        }
    }
    for one in &mut machine.processes {
        process(one, names);
    }
}

/// Reasons name files of the cgroup.
fn lacks(cgroup: &mut CgroupSample, names: &mut Names) {
    let CgroupSample { usage, limit, swap_limit, stat, kmem, events, .. } = cgroup;
    let Events { oom_kills, limit_hits, throttled, high, peak, swap, .. } = events;
    let Events { swap_failures, stall, dying, .. } = events;
    for figure in [usage, kmem, oom_kills, limit_hits, throttled, peak, swap, swap_failures, dying]
    {
        fact(figure, names);
    }
    for figure in [limit, swap_limit, high] {
        fact(figure, names);
    }
    fact(stat, names);
    fact(stall, names);
}

fn process(process: &mut ProcessSample, names: &mut Names) {
    process.name = names.program(process.name.as_bytes());
    match &mut process.cgroup {
        Ok(path) => *path = names.path(path),
        Err(missing) => reason(missing, names),
    }
    fact(&mut process.counters, names);
    match &mut process.walk {
        Err(missing) => reason(missing, names),
        Ok(walk) => {
            if let Some(resident) = &mut walk.resident {
                fact(resident, names);
            }
            if let Some(stacks) = &mut walk.stacks {
                fact(stacks, names);
            }
            let mut mappings = walk.named.to_vec();
            for mapping in &mut mappings {
                let name = names.mapping(mapping.name.as_bytes());
                mapping.name = String::from_utf8_lossy(&name).into();
            }
            walk.named = mappings.into();
        }
    }
    if let Some(lazily_freed) = &mut process.lazily_freed {
        fact(lazily_freed, names);
    }
    for found in &mut process.runtimes {
        runtime(found, names);
    }
}

fn runtime(found: &mut Found, names: &mut Names) {
    let file = match found {
        Ok(runtime) => {
            for evidence in &mut runtime.evidence {
                *evidence = names.words(evidence);
            }
            if let Some(second) = &mut runtime.second_source {
                second.name = names.words(&second.name);
            }
            &mut runtime.file
        }
        Err(unread) => {
            reason(&mut unread.why, names);
            &mut unread.file
        }
    };
    *file = String::from_utf8_lossy(&names.mapping(file.as_bytes())).into_owned();
}

fn fact<T>(fact: &mut Fact<T>, names: &mut Names) {
    if let Err(missing) = fact {
        reason(missing, names);
    }
}

fn reason(missing: &mut Missing, names: &mut Names) {
    if missing.why.contains('/') {
        missing.why = names.words(&missing.why).into();
    }
}
