//! The reader: roots in, samples out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use memgap_kernel::PodNames;
use memgap_kernel::cgroups::Cgroups;
use memgap_kernel::file::{Buf, Dir};
use memgap_kernel::process::Process;
use memgap_ledger::held::SharedHeld;
use memgap_ledger::host_detail::HostDetail;
use memgap_ledger::sample::{CgroupSample, HostSample, MachineSample, ProcessSample};
use memgap_ledger::sockets::SocketQueues;
use memgap_ledger::{Fact, Missing, MissingKind};
use memgap_probes::Probes;

use crate::error::Error;
use crate::held;
use crate::host;
use crate::locked::{self, Locked};
use crate::one_memory::Peers;
use crate::process::{self, Depth};
use crate::sockets;

/// Where the machine's interfaces are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// procfs: `/proc`, or the host's in a container, or a captured one.
    pub procfs: PathBuf,
    /// What stands for `/sys/fs/cgroup`; found in `mountinfo` where it is `None`.
    pub cgroupfs: Option<PathBuf>,
    /// The kubelet's links to container logs, whose names tell pod and container.
    pub container_logs: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            procfs: PathBuf::from("/proc"),
            cgroupfs: None,
            container_logs: PathBuf::from("/var/log/containers"),
        }
    }
}

/// Reads one machine, live or captured.
#[derive(Debug)]
pub struct Reader {
    roots: Roots,
    procfs: Dir,
    cgroups: Fact<Cgroups>,
    probes: Arc<Probes>,
    /// Why nothing is asked of processes that may keep their reader waiting.
    by_counters: Option<Missing>,
}

impl Reader {
    /// Opens the roots. Only procfs must be there.
    pub fn open(roots: Roots) -> Result<Self, Error> {
        let procfs = Dir::open(&roots.procfs).map_err(Error::Procfs)?;
        let cgroups = Cgroups::open(&procfs, roots.cgroupfs.as_deref(), &roots.container_logs);
        Ok(Self { roots, procfs, cgroups, probes: Arc::default(), by_counters: None })
    }

    /// Reads of processes what none of them can keep from being read: the kernel's counters.
    /// `why` is said of all else.
    #[must_use]
    pub fn by_counters(self, why: Missing) -> Self {
        Self { by_counters: Some(why), ..self }
    }

    /// Lets collections keep files of cgroups open, as many as that.
    pub(crate) fn keep_cgroups_open(&mut self, handles: usize) {
        if let Ok(cgroups) = &mut self.cgroups {
            cgroups.keep_open(handles);
        }
    }

    /// Everything at one time, without cap or budget. A process that ends while
    /// it is read is not in it.
    pub fn machine(&self, depth: Depth) -> Result<MachineSample, Missing> {
        let processes = self.processes(depth)?;
        let host = self.host();
        let mut cgroups = self.hierarchy().and_then(Cgroups::all);
        let locked = |sample: &ProcessSample| Locked::of_counters(sample.counters.as_ref().ok()?);
        let locked = Locked::sum(processes.iter().map(locked));
        locked::note(cgroups.as_deref_mut().unwrap_or_default(), locked, &host);
        Ok(MachineSample { host, cgroups, processes })
    }

    /// All processes, without cap or budget. One that ends while it is read is not among them.
    pub fn processes(&self, depth: Depth) -> Result<Vec<ProcessSample>, Missing> {
        let mut buf = Buf::default();
        let pids = self.pids()?;
        if pids.is_empty() {
            let why = format!("{} lists no process: it is no procfs", self.procfs().display());
            return Err(Missing::absent(why));
        }
        let peers = self.peers(&pids, depth, &mut buf);
        let present = |pid| self.present(pid, depth, &peers, &mut buf);
        Ok(pids.into_iter().filter_map(present).collect())
    }

    /// The host's figures.
    pub fn host(&self) -> HostSample {
        host::read(&self.procfs, &mut Buf::default())
    }

    /// What a person who asks about the host is told beside its figures.
    pub fn host_detail(&self, cgroups: &Fact<Vec<CgroupSample>>) -> HostDetail {
        host::detail(&self.procfs, &self.cgroups, cgroups, &mut Buf::default())
    }

    /// Every cgroup that has the memory controller, sorted by path.
    pub fn cgroups(&self) -> Fact<Vec<CgroupSample>> {
        let mut all = self.hierarchy()?.all()?;
        locked::note(&mut all, self.locked(), &self.host());
        Ok(all)
    }

    /// Namespace and name of pods by their unique ids, as the node told them when cgroups were
    /// read last; none where it tells no names.
    pub fn pod_names(&self) -> Option<Arc<PodNames>> {
        self.cgroups.as_ref().ok()?.pod_names()
    }

    /// The hierarchy that has the memory controller.
    pub fn hierarchy(&self) -> Fact<&Cgroups> {
        self.cgroups.as_ref().map_err(Clone::clone)
    }

    /// The cgroup at a path below the memory hierarchy's mount.
    pub fn cgroup(&self, path: &str) -> Result<CgroupSample, Missing> {
        let mut one = self.hierarchy()?.one(path)?;
        locked::note(std::slice::from_mut(&mut one), self.locked(), &self.host());
        Ok(one)
    }

    /// What all processes lock; `None` where it is not known.
    fn locked(&self) -> Option<Locked> {
        let mut buf = Buf::default();
        let mut of = |pid| Locked::of(self.open_living(pid).as_ref(), &mut buf);
        Locked::sum(self.pids().ok()?.into_iter().map(&mut of))
    }

    /// The processes in a cgroup and in those below it.
    pub fn members(&self, cgroup_path: &str, depth: Depth) -> Fact<Vec<ProcessSample>> {
        let mut buf = Buf::default();
        // Who has one memory with a member may be elsewhere.
        let peers = self.peers(&self.pids()?, depth, &mut buf);
        let pids = self.member_pids(cgroup_path)?.into_iter();
        Ok(pids.filter_map(|pid| self.present(pid, depth, &peers, &mut buf)).collect())
    }

    /// The pids of the processes in a cgroup and in those below it.
    pub fn member_pids(&self, cgroup_path: &str) -> Fact<Vec<u32>> {
        let mut buf = Buf::default();
        let mut pids = self.pids()?;
        pids.retain(|pid| {
            self.open_living(*pid)
                .and_then(|process| process::cgroup_of(&process, &self.cgroups, &mut buf))
                .is_ok_and(|path| is_within(&path, cgroup_path))
        });
        Ok(pids)
    }

    /// Reads one process; without cap or budget.
    pub fn process(&self, pid: u32, depth: Depth) -> Result<ProcessSample, Missing> {
        let mut buf = Buf::default();
        let process = self.open_process(pid)?;
        let peers = self.peers(&self.pids()?, depth, &mut buf);
        self.sample(&process, depth, &peers, &mut buf)
    }

    /// How much is read where so much was asked for.
    fn asked(&self, depth: Depth) -> Depth {
        if self.by_counters.is_some() { Depth::Counters } else { depth }
    }

    /// What is known of one memory that several processes have, where so much is read of them
    /// that it is worth to look at all of the machine.
    fn peers(&self, pids: &[u32], depth: Depth, buf: &mut Buf) -> Peers {
        match self.asked(depth) {
            Depth::Counters | Depth::Runtimes => Peers::default(),
            Depth::Walk | Depth::Full | Depth::Listed | Depth::Pages => {
                Peers::read(&self.procfs, pids, |pid| self.open_process(pid).ok(), buf)
            }
        }
    }

    fn sample(
        &self,
        process: &Process,
        depth: Depth,
        peers: &Peers,
        buf: &mut Buf,
    ) -> Fact<ProcessSample> {
        // Afterwards one of them may have begun to run a program of its own.
        let one_memory = peers.of(process, |pid| self.open_process(pid).ok(), buf);
        let asked = self.asked(depth);
        let mut sample = process::sample(process, asked, &self.cgroups, &self.probes, buf)?;
        if let Some(why) = self.by_counters.as_ref().filter(|_| asked != depth) {
            process::leave_out(&mut sample, why);
        }
        Ok(ProcessSample { one_memory, ..sample })
    }

    /// What waits in the sockets of processes; those that have ended are left out.
    pub fn sockets(&self, pids: &[u32]) -> Fact<SocketQueues> {
        let open = pids.iter().filter_map(|pid| self.open_living(*pid).ok());
        sockets::read(open, &mut Buf::default())
    }

    /// Who of the processes holds shared memory that none of them maps.
    pub fn shared_held(&self, pids: &[u32]) -> Fact<SharedHeld> {
        if let Some(why) = &self.by_counters {
            return Err(why.clone());
        }
        let open = pids.iter().filter_map(|pid| self.open_living(*pid).ok());
        held::read(&self.procfs, open, &mut Buf::default())
    }

    /// Opens one process.
    pub fn open_process(&self, pid: u32) -> Fact<Process> {
        Process::open(&self.roots.procfs, pid)
    }

    /// As [`Self::open_process`], a thread of it where the first one has ended.
    pub(crate) fn open_living(&self, pid: u32) -> Fact<Process> {
        process::living(self.open_process(pid)?, &mut Buf::default())
    }

    pub(crate) fn cgroup_of(&self, process: &Process, buf: &mut Buf) -> Fact<String> {
        process::cgroup_of(process, &self.cgroups, buf)
    }

    /// The probes, and what they know of files.
    pub(crate) fn probes(&self) -> &Arc<Probes> {
        &self.probes
    }

    /// Where the memory hierarchy is mounted, if it is.
    pub(crate) fn cgroup_mount(&self) -> Option<&Path> {
        self.cgroups.as_ref().ok().map(Cgroups::mount_point)
    }

    /// What stands for `/sys/fs/cgroup`.
    pub(crate) fn cgroupfs(&self) -> &Path {
        self.roots.cgroupfs.as_deref().unwrap_or(Path::new("/sys/fs/cgroup"))
    }

    pub(crate) fn procfs(&self) -> &Path {
        &self.roots.procfs
    }

    /// A process, unless it has ended; what else is wrong with it is in the sample.
    fn present(
        &self,
        pid: u32,
        depth: Depth,
        peers: &Peers,
        buf: &mut Buf,
    ) -> Option<ProcessSample> {
        let read =
            self.open_process(pid).and_then(|process| self.sample(&process, depth, peers, buf));
        match read {
            Ok(sample) => Some(sample),
            Err(lack) if lack.kind == MissingKind::Gone => None,
            Err(lack) => Some(ProcessSample::missing(pid, &lack)),
        }
    }

    /// The pids of all processes, in order.
    pub fn pids(&self) -> Fact<Vec<u32>> {
        let mut pids = self.procfs.numbers()?;
        pids.sort_unstable();
        Ok(pids)
    }
}

/// Whether a cgroup's path is another's or below it.
pub(crate) fn is_within(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
