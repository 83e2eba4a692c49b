//! A target as it was read: its sample, made a ledger.

use memgap_ledger::finding::Subject;
use memgap_ledger::host_detail::HostDetail;
use memgap_ledger::sample::ProcessSample;
use memgap_ledger::{
    CgroupLedger, HostLedger, Machine, Missing, MissingKind, ProcessLedger, cgroup, host, limits,
    machine, process,
};
use memgap_reader::{Depth, Found, Reader};

/// The ledger of what a user names.
pub enum Seen {
    /// A process, and others of its name.
    Process(Box<ProcessLedger>, Vec<u32>),
    /// A cgroup.
    Cgroup(Box<CgroupLedger>),
    /// The machine.
    Host(Box<HostLedger>),
}

impl Seen {
    /// What views show.
    pub fn subject(&self) -> Subject<'_> {
        match self {
            Self::Process(process, _) => Subject::Process(process),
            Self::Cgroup(cgroup) => Subject::Cgroup(cgroup),
            Self::Host(host) => Subject::Host(host),
        }
    }

    /// Other processes of the same name.
    pub fn others(&self) -> &[u32] {
        match self {
            Self::Process(_, others) => others,
            Self::Cgroup(_) | Self::Host(_) => &[],
        }
    }
}

/// What was found in ledgers that are there.
pub fn of_machine(machine: &Machine, found: Found) -> Option<Seen> {
    Some(match found {
        Found::Process { pid, others } => {
            let process = machine.processes.iter().find(|process| process.pid == pid)?;
            Seen::Process(Box::new(ProcessLedger::clone(process)), others)
        }
        Found::Cgroup { path } => {
            let cgroup = machine.cgroups.iter().flatten().find(|cgroup| cgroup.path == path)?;
            Seen::Cgroup(Box::new(CgroupLedger::clone(cgroup)))
        }
        Found::Host => Seen::Host(Box::new(machine.host.clone())),
    })
}

/// Reads what was found. `add` says what else is known of a process.
pub fn read(
    reader: &Reader,
    found: Found,
    depth: Depth,
    add: impl FnOnce(&mut ProcessSample) -> anyhow::Result<()>,
) -> anyhow::Result<Seen> {
    match found {
        Found::Process { pid, others } => {
            let mut sample = reader.process(pid, depth)?;
            add(&mut sample)?;
            let mut ledger = process::ledger(&sample);
            ledger.sockets = Some(reader.sockets(&[pid]));
            Ok(Seen::Process(Box::new(ledger), others))
        }
        Found::Cgroup { path } => {
            let mut cgroup = within_limits(reader, read_cgroup(reader, &path, depth)?);
            let pids = reader.member_pids(&path);
            let of_members = |pids: &Vec<u32>| (reader.sockets(pids), reader.shared_held(pids));
            let (sockets, held) = pids
                .as_ref()
                .map_or_else(|lack| (Err(lack.clone()), Err(lack.clone())), of_members);
            (cgroup.sockets, cgroup.held) = (Some(sockets), Some(held));
            Ok(Seen::Cgroup(Box::new(cgroup)))
        }
        Found::Host => {
            let sample = reader.host();
            // Nothing at all is known of a host without it.
            sample.meminfo.as_ref().map_err(Missing::clone)?;
            let mut ledger = host::ledger(&sample);
            ledger.detail = Some(host_detail(reader)?);
            Ok(Seen::Host(Box::new(ledger)))
        }
    }
}

/// A cgroup with the ledgers of its processes.
pub fn read_cgroup(reader: &Reader, path: &str, depth: Depth) -> Result<CgroupLedger, Missing> {
    let (sample, members) = reader.cgroup_and_members(path, depth)?;
    let ledgers: Result<Vec<ProcessLedger>, &Missing> =
        members.as_ref().map(|samples| samples.iter().map(process::ledger).collect());
    let refs: Result<Vec<&ProcessLedger>, &Missing> =
        ledgers.as_ref().map(|ledgers| ledgers.iter().collect()).map_err(|missing| *missing);
    Ok(cgroup::ledger(&sample, refs.as_deref().map_err(|missing| *missing)))
}

/// What is told of the host beside its ledger, from counters that cost no program anything.
fn host_detail(reader: &Reader) -> Result<HostDetail, Missing> {
    let cgroups = reader.cgroups();
    let mut detail = reader.host_detail(&cgroups);
    let processes: Vec<ProcessLedger> = reader
        .pids()?
        .into_iter()
        // What the question costs is no answer to it.
        .filter(|pid| *pid != std::process::id())
        .filter_map(|pid| reader.process(pid, Depth::Counters).ok())
        .map(|sample| process::ledger(&sample))
        .collect();
    let unasked = Missing::absent("its processes were not asked for");
    let cgroups: Vec<CgroupLedger> =
        cgroups.iter().flatten().map(|sample| cgroup::ledger(sample, Err(&unasked))).collect();
    detail.note_holders(&processes, &cgroups);
    Ok(detail)
}

/// Finds the room of a cgroup. Of the others, whose limits may be met first, no processes
/// are read.
pub fn within_limits(reader: &Reader, cgroup: CgroupLedger) -> CgroupLedger {
    let unread = Missing::new(MissingKind::Refused, "only its own processes are read");
    let others = reader.cgroups().unwrap_or_default();
    let mut all: Vec<CgroupLedger> = others
        .iter()
        .filter(|other| other.path != cgroup.path)
        .map(|other| cgroup::ledger(other, Err(&unread)))
        .collect();
    all.push(cgroup);
    limits::settle(&mut all, &machine::swap_free(&reader.host()));
    // The last one is the one that was just pushed.
    all.pop().expect("not empty")
}
