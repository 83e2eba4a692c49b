//! The files of one cgroup.

use memgap_ledger::events::Events;
use memgap_ledger::sample::{CgroupSample, CgroupVersion};
use memgap_ledger::{Fact, Missing, MissingKind};

use super::events::{self, Files, Unoffered};
use super::last::{Last, Rest};
use crate::file::{Buf, Dir};
use crate::source::{amount, memory_stat};

/// Reads the cgroup behind a handle. What stands below it (`leaf`) and its names
/// are the caller's to fill in. Gone when it vanished in between, absent when it
/// has no memory controller. What is known of it by `last` is not read again.
pub fn read(
    (dir, path): (&Dir, &str),
    version: CgroupVersion,
    cpus: u32,
    unoffered: Option<&Unoffered>,
    last: &mut Last,
    buf: &mut Buf,
) -> Fact<CgroupSample> {
    let root = path == "/" && is_root(dir, version);
    let (stat, mark) = memory_stat::read_marked(dir, version, buf)
        .map_or_else(|lack| (Err(lack), None), |(stat, mark)| (Ok(stat), Some(mark)));
    // The figures that must add up are read without anything in between.
    let usage = usage(dir, version, root, buf);
    let now = mark.zip(usage.as_ref().ok().copied());
    let known = last.known(now).cloned();
    let kmem = match (&known, version) {
        (Some(known), _) => known.kmem.clone(),
        (None, CgroupVersion::V1) => amount::read(dir, "memory.kmem.usage_in_bytes", buf),
        (None, CgroupVersion::V2) => Err(Missing::absent("cgroup v2 has it in memory.stat")),
    };
    if lacks(&stat) || (lacks(&usage) && !root) {
        if !dir.holds("cgroup.procs") {
            let why = format!("the cgroup {path} ended while it was read");
            return Err(Missing::new(MissingKind::Gone, why));
        }
        if lacks(&stat) && lacks(&usage) {
            return Err(Missing::absent(format!("the cgroup {path} has no memory controller")));
        }
    }
    // Nothing but its own file tells of a limit that was changed.
    let limit = limit(dir, version, root, buf);
    let files = Files { dir, root, unoffered };
    let events = match known {
        Some(known) => Events { high: events::high(&files, version, buf), ..known.events },
        None => {
            let events = events::read(&files, version, &stat, buf);
            last.note(path, now, &Rest { kmem: kmem.clone(), events: events.clone() });
            events
        }
    };
    Ok(CgroupSample {
        path: path.to_owned(),
        version,
        root,
        usage,
        swap_limit: swap_limit(dir, version, root, &limit, buf),
        limit,
        limit_is_pods: false,
        stat,
        kmem,
        events,
        cpus,
        unmarked_files: None,
        churned: 0,
        leaf: true,
        names: None,
    })
}

/// The limit of a cgroup itself; `None` is unlimited, as the root always is.
pub fn limit(dir: &Dir, version: CgroupVersion, root: bool, buf: &mut Buf) -> Fact<Option<u64>> {
    match version {
        _ if root => Ok(None),
        CgroupVersion::V1 => amount::read_limit(dir, "memory.limit_in_bytes", buf),
        CgroupVersion::V2 => amount::read_limit(dir, "memory.max", buf),
    }
}

/// The root of the hierarchy, not of a container's part of it: there alone v1
/// has `release_agent`, and there alone v2 has no `memory.current`.
fn is_root(dir: &Dir, version: CgroupVersion) -> bool {
    match version {
        CgroupVersion::V1 => dir.holds("release_agent"),
        CgroupVersion::V2 => !dir.holds("memory.current"),
    }
}

pub fn usage(dir: &Dir, version: CgroupVersion, root: bool, buf: &mut Buf) -> Fact<u64> {
    match version {
        CgroupVersion::V1 => amount::read(dir, "memory.usage_in_bytes", buf),
        CgroupVersion::V2 if root => {
            Err(Missing::absent("the root of cgroup v2 has no usage: look at the host's ledger"))
        }
        CgroupVersion::V2 => amount::read(dir, "memory.current", buf),
    }
}

/// v1 limits memory and swap together; the rest behind the memory limit is swap.
fn swap_limit(
    dir: &Dir,
    version: CgroupVersion,
    root: bool,
    limit: &Fact<Option<u64>>,
    buf: &mut Buf,
) -> Fact<Option<u64>> {
    if root {
        return Ok(None);
    }
    if version == CgroupVersion::V2 {
        return amount::read_limit(dir, "memory.swap.max", buf);
    }
    let both = amount::read_limit(dir, "memory.memsw.limit_in_bytes", buf)?;
    let memory = limit.clone()?;
    Ok(both.map(|both| both.saturating_sub(memory.unwrap_or(0))))
}

/// Whether a file was not there: it never was, or its cgroup has ended.
fn lacks<T>(fact: &Fact<T>) -> bool {
    matches!(fact, Err(m) if matches!(m.kind, MissingKind::Absent | MissingKind::Gone))
}
