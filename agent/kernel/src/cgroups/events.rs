//! What the files of one cgroup tell of events at its limits, and of its swap.

use std::cell::RefCell;

use memgap_ledger::events::Events;
use memgap_ledger::sample::{CgroupVersion, MemoryStat};
use memgap_ledger::{Fact, Missing, MissingKind};

use crate::file::{Buf, Dir};
use crate::source::{amount, cgroup_stat, memory_events, oom_control, pressure, swap_events};

const HIGH: &str = "memory.high";
const PEAK: &str = "memory.peak";
const SWAP: &str = "memory.swap.current";
const FAILCNT: &str = "memory.failcnt";
const MAX_USAGE: &str = "memory.max_usage_in_bytes";

/// All files that are read here, of either version.
pub const FILES: [&str; 10] = [
    memory_events::NAME,
    swap_events::NAME,
    oom_control::NAME,
    pressure::NAME,
    cgroup_stat::NAME,
    HIGH,
    PEAK,
    SWAP,
    FAILCNT,
    MAX_USAGE,
];

/// Files that the kernel's cgroups turned out not to have: they are not asked for
/// again. The root has its own set of files and is no witness.
#[derive(Debug, Default)]
pub struct Unoffered(RefCell<Vec<&'static str>>);

/// Reads them all.
pub fn read(
    files: &Files<'_>,
    version: CgroupVersion,
    stat: &Fact<MemoryStat>,
    buf: &mut Buf,
) -> Events {
    match version {
        CgroupVersion::V1 => v1(files, stat, buf),
        CgroupVersion::V2 => v2(files, buf),
    }
}

/// The files of one cgroup.
#[derive(Debug)]
pub struct Files<'c> {
    /// Its directory.
    pub dir: &'c Dir,
    /// Whether it is the root.
    pub root: bool,
    /// What this kernel does not have; `None` in a copy, which may lack any file.
    pub unoffered: Option<&'c Unoffered>,
}

impl Files<'_> {
    fn ask<T>(&self, name: &'static str, read: impl FnOnce(&Dir) -> Fact<T>) -> Fact<T> {
        let none = || Missing::absent(format!("the cgroups of this kernel have no {name}"));
        let Some(unoffered) = self.unoffered.filter(|_| !self.root) else { return read(self.dir) };
        if unoffered.0.borrow().contains(&name) {
            return Err(none());
        }
        read(self.dir).map_err(|missing| {
            // A file is also not there once its cgroup has ended.
            if missing.kind != MissingKind::Absent || !self.dir.holds("cgroup.procs") {
                return missing;
            }
            unoffered.0.borrow_mut().push(name);
            none()
        })
    }
}

/// `memory.high`, a limit that operators set.
pub fn high(files: &Files<'_>, version: CgroupVersion, buf: &mut Buf) -> Fact<Option<u64>> {
    match version {
        CgroupVersion::V1 => Err(silent()),
        CgroupVersion::V2 if files.root => Err(unlimited()),
        CgroupVersion::V2 => files.ask(HIGH, |dir| amount::read_limit(dir, HIGH, buf)),
    }
}

fn silent() -> Missing {
    Missing::absent("cgroup v1 does not report it")
}

fn unlimited() -> Missing {
    Missing::absent("the root of cgroup v2 has no limits: look at the host's ledger")
}

fn v1(files: &Files<'_>, stat: &Fact<MemoryStat>, buf: &mut Buf) -> Events {
    Events {
        oom_kills: files.ask(oom_control::NAME, |dir| oom_control::read(dir, buf)),
        limit_hits: files.ask(FAILCNT, |dir| amount::read(dir, FAILCNT, buf)),
        peak: files.ask(MAX_USAGE, |dir| amount::read(dir, MAX_USAGE, buf)),
        swap: stat.as_ref().map_err(Missing::clone).and_then(|stat| {
            stat.swap.ok_or_else(|| Missing::absent("swap is not accounted for (swapaccount=0)"))
        }),
        ..Events::missing(&silent())
    }
}

fn v2(files: &Files<'_>, buf: &mut Buf) -> Events {
    let dying = files.ask(cgroup_stat::NAME, |dir| cgroup_stat::read(dir, buf));
    if files.root {
        return Events { dying, ..Events::missing(&unlimited()) };
    }
    let events = files.ask(memory_events::NAME, |dir| memory_events::read(dir, buf));
    let swap = files.ask(SWAP, |dir| amount::read(dir, SWAP, buf));
    Events {
        oom_kills: events.clone().and_then(|events| {
            let none = || Missing::absent("memory.events counts no OOM kills before Linux 4.13");
            events.oom_kill.ok_or_else(none)
        }),
        limit_hits: events.as_ref().map(|events| events.max).map_err(Missing::clone),
        throttled: events.map(|events| events.high),
        high: high(files, CgroupVersion::V2, buf),
        peak: files.ask(PEAK, |dir| amount::read(dir, PEAK, buf)),
        swap_failures: files.ask(swap_events::NAME, |dir| swap_events::read(dir, buf)),
        swap,
        // One that is switched off for a cgroup alone (`cgroup.pressure`) is no word
        // about others.
        stall: pressure::read(files.dir, buf),
        dying,
    }
}
