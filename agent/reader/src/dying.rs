//! Deleted cgroups that are still held, and what they hold.

use std::collections::BTreeMap;

use memgap_kernel::cgroups::Cgroups;
use memgap_kernel::file::{Buf, Dir};
use memgap_kernel::source::cgroups;
use memgap_ledger::host_detail::Dying;
use memgap_ledger::sample::{CgroupSample, CgroupVersion};
use memgap_ledger::{Fact, Missing};

/// Counts them: v2 tells how many there are, v1 how many cgroups there are in all. What
/// they hold is what a cgroup has and neither its own processes nor its children have.
pub fn read(
    proc: &Dir,
    hierarchy: &Fact<Cgroups>,
    all: &Fact<Vec<CgroupSample>>,
    buf: &mut Buf,
) -> Fact<Dying> {
    let hierarchy = hierarchy.as_ref().map_err(Missing::clone)?;
    let all = all.as_ref().map_err(Missing::clone)?;
    let root = all.iter().find(|cgroup| cgroup.path == "/" && cgroup.root);
    let part = || Missing::absent("not the whole hierarchy of cgroups is to be seen");
    let count = match root.ok_or_else(part)? {
        root if root.version == CgroupVersion::V2 => root.events.dying.clone()?,
        _ if hierarchy.counts().skipped > 0 => return Err(part()),
        _ => cgroups::read(proc, buf)?.saturating_sub(all.len() as u64),
    };
    if count == 0 {
        return Ok(Dying::default());
    }
    let Held { file, shmem } = held(hierarchy, all);
    Ok(Dying { count, file, shmem })
}

/// Page cache and shared memory of them all, at least: the root of v2 does not tell, nor does
/// a cgroup of which, or of a child of which, nothing was read.
fn held(hierarchy: &Cgroups, all: &[CgroupSample]) -> Held {
    let mut below: BTreeMap<&str, Option<Held>> = BTreeMap::new();
    for cgroup in all.iter().filter(|cgroup| cgroup.path != "/") {
        let sum = below.entry(parent(&cgroup.path)).or_insert(Some(Held::default()));
        *sum = sum.zip(Held::of(cgroup)).map(|(sum, child)| sum.plus(child));
    }
    all.iter().fold(Held::default(), |sum, cgroup| {
        let children = below.get(cgroup.path.as_str()).copied().unwrap_or(Some(Held::default()));
        let held = children.and_then(|children| orphaned(hierarchy, cgroup, children));
        held.map_or(sum, |held| sum.plus(held))
    })
}

/// What a cgroup has and neither its processes nor its children have.
fn orphaned(hierarchy: &Cgroups, cgroup: &CgroupSample, children: Held) -> Option<Held> {
    let all = Held::of(cgroup)?;
    match cgroup.version {
        CgroupVersion::V1 => {
            // Read again, as it is of another moment: what has grown meanwhile is no orphan's.
            let again = hierarchy.own_cache(&cgroup.path).ok()?;
            Some(all.least(Held::from(again.all)).less(Held::from(again.own)).less(children))
        }
        // A cgroup that gives its children memory has no process of its own, but the root.
        CgroupVersion::V2 if cgroup.path == "/" => None,
        CgroupVersion::V2 => {
            let is_empty = !cgroup.leaf || hierarchy.pids(&cgroup.path).is_ok_and(|p| p.is_empty());
            is_empty.then(|| all.less(children))
        }
    }
}

/// Memory that outlives the processes that made it.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    file: u64,
    shmem: u64,
}

impl Held {
    fn of(cgroup: &CgroupSample) -> Option<Self> {
        let stat = cgroup.stat.as_ref().ok()?;
        Some(Self::from((stat.file, stat.shmem)))
    }

    /// Of all page cache, and the shared memory in it.
    fn from((cache, shmem): (u64, u64)) -> Self {
        Self { file: cache.saturating_sub(shmem), shmem }
    }

    fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    fn less(self, other: Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn least(self, other: Self) -> Self {
        self.with(other, u64::min)
    }

    fn with(self, other: Self, of: fn(u64, u64) -> u64) -> Self {
        Self { file: of(self.file, other.file), shmem: of(self.shmem, other.shmem) }
    }
}

/// The path of the cgroup above.
fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((above, _)) => above,
    }
}
