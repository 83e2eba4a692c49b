//! The cgroup that this program is in itself, and those above it: what limits its memory.

use std::ffi::OsStr;
use std::path::Path;

use memgap_ledger::Fact;
use memgap_ledger::sample::CgroupVersion;

use super::{Cgroups, components, sample};
use crate::file::{Buf, Dir};
use crate::source::{amount, cgroup, memory_stat};

/// Our own procfs, whichever is read: only there do we have a name.
const PROCFS: &str = "/proc";

/// A cgroup that holds this program and much else is others' to fill: it counts where this
/// program has at least one part of so many in what is used of it.
const OURS: u64 = 2;

/// It and all above it, held open, the nearest first.
#[derive(Debug)]
pub struct OwnCgroup {
    version: CgroupVersion,
    levels: Vec<Dir>,
    buf: Buf,
}

/// How much of a limit is taken by what the kernel can not take back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// What is used.
    pub used: u64,
    /// The limit.
    pub limit: u64,
}

impl Pressure {
    /// Whether more than so many hundredths are used.
    pub fn is_over(&self, percent: u64) -> bool {
        u128::from(self.used) * 100 > u128::from(self.limit) * u128::from(percent)
    }
}

impl Cgroups {
    /// The cgroup that this program is in; none in a copy, where it has none.
    pub fn own(&self) -> Option<OwnCgroup> {
        if !self.hierarchy.dir.is_cgroupfs() {
            return None;
        }
        let mut buf = Buf::default();
        let proc = Dir::open(Path::new(PROCFS)).ok()?;
        let text = proc.read("self/cgroup", cgroup::LIMIT, &mut buf).ok()?;
        let memberships = cgroup::parse(text).ok()?;
        let lines = memberships.iter().map(|(names, path)| (names.as_str(), path.as_str()));
        let path = self.path_of(lines)?;
        let mut levels = vec![Dir::open(self.mount_point()).ok()?.keeping_files()];
        for name in components(&path) {
            let below = levels.last()?.dir(OsStr::new(name)).ok()?;
            levels.push(below.keeping_files());
        }
        levels.reverse();
        Some(OwnCgroup { version: self.version(), levels, buf })
    }
}

impl OwnCgroup {
    /// The least limit of all; none where none is limited, or none tells.
    pub fn limit(&mut self) -> Option<u64> {
        let Self { version, levels, buf } = self;
        levels.iter().filter_map(|dir| limit(dir, *version, buf)).min()
    }

    /// Of the limits that bind this program the one of which most is taken. `kernel` is what
    /// the kernel may hold for it and can not take back, where the kernel does not tell.
    pub fn pressure(&mut self, kernel: u64) -> Option<Pressure> {
        let Self { version, levels, buf } = self;
        let own = usage(levels.first()?, *version, buf).ok()?;
        let mut tightest: Option<Pressure> = None;
        for dir in levels {
            let Some(limit) = limit(dir, *version, buf) else { continue };
            let Ok(usage) = usage(dir, *version, buf) else { continue };
            if usage / OURS > own {
                continue;
            }
            let all = Pressure { used: usage, limit };
            // What is far from its limit with everything in it needs no closer look.
            let used = if all.is_over(50) {
                usage.saturating_sub(given_back(dir, *version, kernel, buf))
            } else {
                usage
            };
            let this = Pressure { used, limit };
            let is_tighter = |other: &Pressure| {
                u128::from(this.used) * u128::from(other.limit)
                    > u128::from(other.used) * u128::from(this.limit)
            };
            if tightest.as_ref().is_none_or(is_tighter) {
                tightest = Some(this);
            }
        }
        tightest
    }
}

fn limit(dir: &Dir, version: CgroupVersion, buf: &mut Buf) -> Option<u64> {
    sample::limit(dir, version, false, buf).ok().flatten()
}

fn usage(dir: &Dir, version: CgroupVersion, buf: &mut Buf) -> Fact<u64> {
    sample::usage(dir, version, false, buf)
}

/// What the kernel takes back when a limit is met: page cache, and memory of its own that
/// is there to be found again, as for each file of procfs that was looked at. v1 does not
/// tell that; there all is taken for such that `kernel` does not speak for.
fn given_back(dir: &Dir, version: CgroupVersion, kernel: u64, buf: &mut Buf) -> u64 {
    let Ok(stat) = memory_stat::read(dir, version, buf) else { return 0 };
    let lists = stat.inactive_file.saturating_add(stat.active_file);
    let slab = match version {
        CgroupVersion::V2 => stat.slab_reclaimable.unwrap_or(0),
        CgroupVersion::V1 => amount::read(dir, "memory.kmem.usage_in_bytes", buf)
            .map_or(0, |all| all.saturating_sub(kernel)),
    };
    lists.saturating_add(slab)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundredths_are_exact_at_any_size() {
        let pressure = |used, limit| Pressure { used, limit };
        assert!(!pressure(80, 100).is_over(80) && pressure(81, 100).is_over(80));
        assert!(pressure(u64::MAX, u64::MAX).is_over(99));
        assert!(!pressure(0, 0).is_over(0));
    }

    #[test]
    fn what_is_used_of_an_own_limit_is_less_than_all_and_more_than_nothing() {
        let proc = Dir::open(Path::new(PROCFS)).expect("procfs");
        let Ok(cgroups) = Cgroups::open(&proc, None, Path::new("/var/log/containers")) else {
            return;
        };
        let Some(mut own) = cgroups.own() else { panic!("this program is in no cgroup") };
        // A machine without limits has none to be near.
        let pressure = own.pressure(0);
        assert!(own.limit().is_some() || pressure.is_none());
        if let Some(Pressure { used, limit }) = pressure {
            assert!(used > 0 && limit > 0, "{used} of {limit}");
        }
    }
}
