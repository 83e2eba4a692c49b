//! The cgroups of a machine, through whichever interface has its memory
//! controller.

mod events;
mod hierarchy;
mod kept;
mod kills;
mod last;
mod namespace;
mod own;
mod sample;
mod walk;

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use memgap_ledger::identity::Identity;
use memgap_ledger::sample::{CgroupSample, CgroupVersion};
use memgap_ledger::{Fact, Missing};

use crate::container_names::{ContainerLogs, PodNames};
use crate::file::{Buf, Dir, malformed};
use crate::source::{memory_stat, zoneinfo};
use crate::text;
pub use events::FILES as EVENT_FILES;
use events::Unoffered;
use hierarchy::Hierarchy;
use kept::KeptDirs;
use last::{Last, LastRead};
use namespace::View;
pub use own::{OwnCgroup, Pressure};
use walk::Walk;

/// Cgroups read in one collection: many times what a node may run.
const MAX_CGROUPS: usize = 16_384;

/// Levels below the mount point.
const MAX_DEPTH: usize = 64;

/// The file that lists processes.
const PROCS: &str = "cgroup.procs";

/// What it may take: more than 400,000 processes.
const PROCS_LIMIT: usize = 4 << 20;

/// What the word in `cgroup.type` may take.
const TYPE_LIMIT: usize = 64;

/// The memory hierarchy of a machine, held open.
#[derive(Debug)]
pub struct Cgroups {
    hierarchy: Hierarchy,
    view: View,
    cpus: u32,
    logs: RefCell<ContainerLogs>,
    counts: Cell<Counts>,
    unoffered: Option<Unoffered>,
    kept: RefCell<KeptDirs>,
    /// What collections go by, where one follows another.
    last: Option<RefCell<LastRead>>,
}

/// What collections left out, since the hierarchy was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Cgroups that ended while they were read.
    pub vanished: u64,
    /// Cgroups that were not looked at: too deep, too many or not to be opened.
    pub skipped: u64,
}

impl Cgroups {
    /// Finds where the memory controller is mounted and opens it.
    ///
    /// `proc` is the root of the machine's procfs, whose `mountinfo` tells.
    /// `cgroupfs` replaces `/sys/fs/cgroup`: a container's mount of the host's,
    /// or a captured tree. `container_logs` is the directory of the node's log
    /// links, which name the containers; it need not exist.
    pub fn open(proc: &Dir, cgroupfs: Option<&Path>, container_logs: &Path) -> Fact<Self> {
        let mut buf = Buf::default();
        let hierarchy = hierarchy::find(proc, cgroupfs, &mut buf)?;
        let unoffered = hierarchy.dir.is_cgroupfs().then(Unoffered::default);
        Ok(Self {
            view: View::of(proc, &hierarchy, &mut buf),
            hierarchy,
            cpus: zoneinfo::cpus(proc, &mut buf),
            logs: RefCell::new(ContainerLogs::new(container_logs)),
            counts: Cell::default(),
            unoffered,
            kept: RefCell::default(),
            last: None,
        })
    }

    /// Lets collections keep files of cgroups open from one to the next, as many as that,
    /// and what they tell of those that have not changed. In a copy others may stand in their
    /// places, unseen.
    pub fn keep_open(&mut self, handles: usize) {
        let is_live = self.hierarchy.dir.is_cgroupfs();
        self.kept = RefCell::new(KeptDirs::new(if is_live { handles } else { 0 }));
        self.last = is_live.then(RefCell::default);
    }

    /// Which interface the memory controller is mounted with.
    pub fn version(&self) -> CgroupVersion {
        self.hierarchy.version
    }

    /// Where it is mounted.
    pub fn mount_point(&self) -> &Path {
        self.hierarchy.dir.path()
    }

    /// What the node told of the names of pods, when they were looked for last; none where it
    /// tells no names.
    pub fn pod_names(&self) -> Option<Arc<PodNames>> {
        let logs = self.logs.borrow();
        logs.is_there().then(|| logs.pods())
    }

    /// What collections left out so far.
    pub fn counts(&self) -> Counts {
        self.counts.get()
    }

    /// Every cgroup that has the memory controller, parents too, sorted by path.
    /// One that ends while it is read is not in the list.
    ///
    /// A limit is the cgroup's own; for a container without one it is its pod's,
    /// where that has one. Higher limits, such as a node's for all its pods, are
    /// shared by so many that they say nothing about one of them.
    pub fn all(&self) -> Fact<Vec<CgroupSample>> {
        self.all_but_at_rest(&|_| false)
    }

    /// The same, where it is known of some paths that no process has run in the cgroup, or
    /// below it, come or gone since the last collection: as long as usage is as it was, what
    /// their statistics said is said again, up to half a minute.
    pub fn all_but_at_rest(&self, is_at_rest: &dyn Fn(&str) -> bool) -> Fact<Vec<CgroupSample>> {
        self.logs.borrow_mut().refresh();
        let mut walk = Walk::new(self, is_at_rest);
        walk.visit(&self.hierarchy.dir, "/", 0, None)?;
        self.counts.set(walk.counts);
        self.kept.borrow_mut().forget_ended();
        if let Some(last) = &self.last {
            last.borrow_mut().forget_ended();
        }
        walk.samples.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(walk.samples)
    }

    /// The cgroup at a path below the mount point.
    pub fn one(&self, path: &str) -> Fact<CgroupSample> {
        self.logs.borrow_mut().refresh();
        let mut buf = Buf::default();
        let (dir, parent) = self.locate(path)?;
        let pod_limit = parent.and_then(|(parent, path)| {
            let is_pod = matches!(Identity::of_path(&path, None), Identity::Pod { .. });
            is_pod.then(|| sample::limit(&parent, self.version(), false, &mut buf).ok()?).flatten()
        });
        let path = format!("/{}", components(path).collect::<Vec<_>>().join("/"));
        self.flush(&dir, &mut buf);
        let mut found = self.read(&dir, &path, &mut buf)?;
        self.identify(&mut found, pod_limit);
        let (below, _) = dir.directories(MAX_CGROUPS)?;
        found.leaf = !below.iter().any(|n| dir.dir(n).is_ok_and(|d| d.holds(memory_stat::NAME)));
        Ok(found)
    }

    /// Reads again what a cgroup holds, which was read before.
    pub fn read_again(&self, sample: &mut CgroupSample) -> Fact<()> {
        let mut buf = Buf::default();
        let (dir, _) = self.locate(&sample.path)?;
        self.flush(&dir, &mut buf);
        let CgroupSample { usage, stat, kmem, events, .. } =
            self.read(&dir, &sample.path, &mut buf)?;
        *sample = CgroupSample { usage, stat, kmem, events, ..sample.clone() };
        Ok(())
    }

    /// The processes of the cgroup at a path, not of those below it, in the
    /// numbers of our own pid namespace.
    pub fn pids(&self, path: &str) -> Fact<Vec<u32>> {
        let (dir, _) = self.locate(path)?;
        let mut buf = Buf::default();
        let shown = dir.path().join(PROCS);
        if dir.read("cgroup.type", TYPE_LIMIT, &mut buf).is_ok_and(|t| t == b"threaded\n") {
            return Err(Missing::absent(format!(
                "{path} is threaded: its processes are listed by the cgroup above it"
            )));
        }
        let text = dir.read(PROCS, PROCS_LIMIT, &mut buf)?;
        let pids: Option<Vec<u32>> =
            text::lines(text).map(|line| text::decimal(line)?.try_into().ok()).collect();
        let mut pids = pids.ok_or_else(|| malformed(&shown, "a line is not a pid"))?;
        if pids.contains(&0) {
            return Err(Missing::absent(format!(
                "{} names processes that our pid namespace has no numbers for",
                shown.display()
            )));
        }
        // v1 lists them unsorted, and one that moves in between may stand twice.
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// v1: page cache of the cgroup alone, and with all below it.
    pub fn own_cache(&self, path: &str) -> Fact<memory_stat::OwnCache> {
        let (dir, _) = self.locate(path)?;
        memory_stat::read_own_cache(&dir, &mut Buf::default())
    }

    /// Which of the `(controllers, path)` lines of a `/proc/PID/cgroup` is the
    /// memory controller's, as a path below the mount point, whichever cgroup
    /// namespace we are in. `None` for a process outside of what is mounted.
    pub fn path_of<'l>(
        &self,
        lines: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) -> Option<String> {
        self.view.resolve(&self.hierarchy, memory_path(self.version(), lines)?)
    }

    /// Has the kernel bring the statistics of a cgroup and of all below it up to date.
    fn flush(&self, dir: &Dir, buf: &mut Buf) {
        if self.version() == CgroupVersion::V2 {
            memory_stat::flush(dir, buf);
        }
    }

    fn read(&self, dir: &Dir, path: &str, buf: &mut Buf) -> Fact<CgroupSample> {
        self.read_since(dir, path, (&mut Last::default(), false), buf)
    }

    /// What one collection after another reads of a cgroup.
    fn read_changed(
        &self,
        dir: &Dir,
        path: &str,
        is_at_rest: bool,
        buf: &mut Buf,
    ) -> Fact<CgroupSample> {
        let Some(kept) = &self.last else { return self.read(dir, path, buf) };
        let mut last = kept.borrow_mut().take(path);
        let read = self.read_since(dir, path, (&mut last, is_at_rest), buf)?;
        kept.borrow_mut().put(path, last);
        Ok(read)
    }

    fn read_since(
        &self,
        dir: &Dir,
        path: &str,
        last: (&mut Last, bool),
        buf: &mut Buf,
    ) -> Fact<CgroupSample> {
        let unoffered = self.unoffered.as_ref();
        sample::read((dir, path), self.version(), self.cpus, unoffered, last, buf)
    }

    /// Opens the cgroup at a path component by component, so that neither `..`
    /// nor a link leads out of the hierarchy. Its parent comes with it.
    fn locate(&self, path: &str) -> Fact<(Dir, Option<(Dir, String)>)> {
        if components(path).count() > MAX_DEPTH || components(path).any(|c| c == "." || c == "..") {
            return Err(Missing::absent(format!(
                "{path} is no cgroup's path: name one below {}, without `..`",
                self.mount_point().display()
            )));
        }
        let mut dir = Dir::open(self.mount_point())?;
        let mut parent = None;
        let mut walked = String::new();
        for name in components(path) {
            let child = dir.dir(OsStr::new(name))?;
            parent = Some((dir, walked.clone()));
            walked = format!("{walked}/{name}");
            dir = child;
        }
        Ok((dir, parent))
    }

    /// Adds what the cgroup's place tells: a container's names, and its pod's
    /// limit where it has none itself. Whether it is a pod, for those below.
    fn identify(&self, sample: &mut CgroupSample, pod_limit: Option<u64>) -> bool {
        match Identity::of_path(&sample.path, None) {
            Identity::Container(container) => {
                sample.names = self.logs.borrow().of(&container.id).cloned();
                if sample.limit == Ok(None) {
                    sample.limit = Ok(pod_limit);
                    sample.limit_is_pods = pod_limit.is_some();
                }
                false
            }
            Identity::Pod { .. } => true,
            _ => false,
        }
    }
}

/// The path of the hierarchy that has the memory controller: v2 names none.
fn memory_path<'l>(
    version: CgroupVersion,
    lines: impl IntoIterator<Item = (&'l str, &'l str)>,
) -> Option<&'l str> {
    let (_, path) = lines.into_iter().find(|(controllers, _)| match version {
        CgroupVersion::V1 => controllers.split(',').any(|c| c == "memory"),
        CgroupVersion::V2 => controllers.is_empty(),
    })?;
    Some(path)
}

/// The names in a path.
fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}
