//! From what a user names to a process or cgroup of the machine.

use std::collections::BTreeSet;

use memgap_kernel::file::Buf;
use memgap_kernel::process::Process;
use memgap_kernel::source::{stat, statm};
use memgap_ledger::sample::{CgroupSample, MachineSample, ProcessSample};
use memgap_ledger::{Identity, Missing, MissingKind};

use crate::error::Error;
use crate::reader::{Reader, is_within};
use crate::target::{Found, Target};

/// Bytes of a name that the kernel keeps: `TASK_COMM_LEN` less its end.
pub(crate) const COMM_LEN: usize = 15;

/// Bytes of a command line that are looked at for the program's name. Nothing of
/// it is kept.
const CMDLINE: usize = 2 << 20;

const PROCESSES: &str = "`memgap ps` lists the processes that run";
const PATH: &str = "a cgroup is named as cgroup:/path; `memgap ps --cgroups` lists them";
const CGROUPS: &str = "`memgap ps --cgroups` lists the cgroups";

/// Finds a target.
pub fn find(reader: &Reader, target: &Target) -> Result<Found, Error> {
    let cgroup = |found: Result<String, Error>| found.map(|path| Found::Cgroup { path });
    match target {
        Target::Host => Ok(Found::Host),
        Target::Own => own(reader, target),
        Target::Pid(pid) => match reader.open_process(*pid) {
            Ok(_) => Ok(Found::Process { pid: *pid, others: Vec::new() }),
            Err(lack) => Err(lacks(lack, target, PROCESSES)),
        },
        Target::Name(name) => by_name(reader, name, target),
        Target::Cgroup(path) => match reader.cgroup(path) {
            Ok(found) => Ok(Found::Cgroup { path: found.path }),
            Err(lack) => Err(lacks(lack, target, CGROUPS)),
        },
        Target::Unit(_) | Target::Container(_) | Target::Pod { .. } => {
            cgroup(named(&reader.cgroups()?, target))
        }
    }
}

/// Finds a target in a sample, as [`find`] does on a machine.
pub fn find_in(machine: &MachineSample, target: &Target) -> Result<Found, Error> {
    const REMEDY: &str = "it was not there at that time";
    let cgroups = || machine.cgroups.as_deref().map_err(|lack| Error::Missing(lack.clone()));
    let is_named = |process: &&ProcessSample| match target {
        Target::Pid(pid) => process.pid == *pid,
        // Of a longer name the kernel keeps the beginning.
        Target::Name(name) => process.name == name.get(..COMM_LEN).unwrap_or(name),
        _ => false,
    };
    match target {
        Target::Host => Ok(Found::Host),
        Target::Own => {
            let remedy = "a recording is of others: give a pid";
            Err(Error::Usage { word: target.to_string(), remedy })
        }
        Target::Pid(_) | Target::Name(_) => {
            let rss = |process: &ProcessSample| process.counters.as_ref().map_or(0, |c| c.rss);
            let found = machine.processes.iter().filter(is_named);
            let mut found: Vec<(u64, u32)> = found.map(|p| (rss(p), p.pid)).collect();
            largest_first(&mut found).ok_or_else(|| not_found(target, REMEDY))
        }
        Target::Cgroup(path) if cgroups()?.iter().any(|cgroup| cgroup.path == *path) => {
            Ok(Found::Cgroup { path: path.clone() })
        }
        Target::Cgroup(_) => Err(not_found(target, REMEDY)),
        Target::Unit(_) | Target::Container(_) | Target::Pod { .. } => {
            named(cgroups()?, target).map(|path| Found::Cgroup { path })
        }
    }
}

/// The pid of the process that a target names in a sample; of several the one with the
/// most resident memory. None for `self` and `host`, and where several cgroups are meant.
pub fn pick(target: &Target, machine: &MachineSample) -> Option<u32> {
    let place = match target {
        Target::Pid(pid) => return largest(machine, |process| process.pid == *pid),
        Target::Name(name) => {
            // Of a longer name the kernel keeps the beginning.
            let kept = name.get(..COMM_LEN).unwrap_or(name);
            return largest(machine, |process| process.name == kept);
        }
        Target::Own | Target::Host => return None,
        Target::Cgroup(path) => path.clone(),
        Target::Unit(name) => only(machine, |c| unit(c, name))?,
        Target::Container(id) => only(machine, |c| container(c, id))?,
        Target::Pod { namespace, name } => only(machine, |c| pod(c, namespace.as_deref(), name))?,
    };
    let is_there =
        |process: &ProcessSample| process.cgroup.as_ref().is_ok_and(|path| is_within(path, &place));
    largest(machine, is_there)
}

fn only(
    machine: &MachineSample,
    matches: impl Fn(&CgroupSample) -> Option<String>,
) -> Option<String> {
    let found: BTreeSet<String> =
        machine.cgroups.as_deref().ok()?.iter().filter_map(matches).collect();
    let mut paths = found.into_iter();
    paths.next().filter(|_| paths.next().is_none())
}

fn largest(machine: &MachineSample, matches: impl Fn(&ProcessSample) -> bool) -> Option<u32> {
    let rss = |process: &&ProcessSample| process.counters.as_ref().map_or(0, |c| c.rss);
    let found = machine.processes.iter().filter(|process| matches(process));
    found.max_by_key(rss).map(|process| process.pid)
}

/// `self` is a link to our pid in the namespace of that procfs.
fn own(reader: &Reader, target: &Target) -> Result<Found, Error> {
    let link = std::fs::read_link(reader.procfs().join("self"));
    let pid = link.ok().and_then(|link| link.to_str()?.parse().ok());
    pid.map(|pid| Found::Process { pid, others: Vec::new() }).ok_or_else(|| {
        not_found(target, "that procfs is of another pid namespace, or was captured: give a pid")
    })
}

fn by_name(reader: &Reader, name: &str, target: &Target) -> Result<Found, Error> {
    let mut buf = Buf::default();
    let mut found: Vec<(u64, u32)> = reader
        .pids()?
        .into_iter()
        .filter_map(|pid| {
            let process = reader.open_process(pid).ok()?;
            let rss = || statm::read(&process, 1, &mut Buf::default()).map_or(0, |c| c.rss);
            is_named(&process, name, &mut buf).then(|| (rss(), pid))
        })
        .collect();
    let remedy = if name.starts_with('/') { PATH } else { PROCESSES };
    largest_first(&mut found).ok_or_else(|| not_found(target, remedy))
}

/// Of processes with their RSS the one with the largest, and the others.
fn largest_first(found: &mut [(u64, u32)]) -> Option<Found> {
    found.sort_unstable_by_key(|(rss, pid)| (std::cmp::Reverse(*rss), *pid));
    let mut pids = found.iter().map(|(_, pid)| *pid);
    pids.next().map(|pid| Found::Process { pid, others: pids.collect() })
}

/// Whether its `comm` is the name; of a longer name `comm` holds the beginning
/// and the command line the rest.
fn is_named(process: &Process, name: &str, buf: &mut Buf) -> bool {
    let name = name.as_bytes();
    let Ok(stat) = stat::read(process, buf) else { return false };
    if stat.comm == name {
        return true;
    }
    if name.len() <= COMM_LEN || stat.comm != &name[..COMM_LEN] {
        return false;
    }
    let Ok(line) = process.read("cmdline", CMDLINE, buf) else { return false };
    let program = line.split(|b| *b == 0).next().unwrap_or_default();
    program.rsplit(|b| *b == b'/').next() == Some(name)
}

/// The path of the one cgroup that is named, or of several that agree. Otherwise the candidates
/// are named.
fn named(cgroups: &[CgroupSample], target: &Target) -> Result<String, Error> {
    let path = |cgroup| match target {
        Target::Unit(name) => unit(cgroup, name),
        Target::Container(id) => container(cgroup, id),
        Target::Pod { namespace, name } => pod(cgroup, namespace.as_deref(), name),
        _ => None,
    };
    let found: BTreeSet<String> = cgroups.iter().filter_map(path).collect();
    let mut paths = found.into_iter();
    match (paths.next(), paths.next()) {
        (Some(path), None) => Ok(path),
        (Some(first), Some(second)) => {
            let paths = [first, second].into_iter().chain(paths);
            let candidates = paths.map(|path| Target::Cgroup(path).to_string()).collect();
            Err(Error::Ambiguous { target: target.to_string(), candidates })
        }
        _ => Err(not_found(target, CGROUPS)),
    }
}

fn unit(cgroup: &CgroupSample, wanted: &str) -> Option<String> {
    let Identity::Unit { name } = Identity::of_path(&cgroup.path, None) else { return None };
    let is_it = name == wanted || name.strip_suffix(".service") == Some(wanted);
    is_it.then(|| cgroup.path.clone())
}

fn container(cgroup: &CgroupSample, prefix: &str) -> Option<String> {
    match Identity::of_path(&cgroup.path, None) {
        Identity::Container(c) if c.id.starts_with(prefix) => Some(cgroup.path.clone()),
        _ => None,
    }
}

/// A pod is named by its containers, and stands above them.
fn pod(cgroup: &CgroupSample, namespace: Option<&str>, name: &str) -> Option<String> {
    match Identity::of_path(&cgroup.path, cgroup.names.clone()) {
        Identity::Pod { uid } if namespace.is_none() && uid == name => Some(cgroup.path.clone()),
        Identity::Container(container) => {
            let names = container.names?;
            let is_it = names.pod == name && namespace.is_none_or(|n| names.namespace == n);
            let (above, _) = cgroup.path.rsplit_once('/')?;
            is_it.then(|| above.to_owned())
        }
        _ => None,
    }
}

/// What is not there was not found; what may not be read says so itself.
fn lacks(lack: Missing, target: &Target, remedy: &'static str) -> Error {
    match lack.kind {
        MissingKind::Absent | MissingKind::Gone => not_found(target, remedy),
        _ => Error::Missing(lack),
    }
}

fn not_found(target: &Target, remedy: &'static str) -> Error {
    Error::NotFound { target: target.to_string(), remedy }
}
