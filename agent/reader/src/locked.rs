//! How much memory of files processes lock without the kernel counting it as locked: see
//! `unmarked_files` of `CgroupSample`. Whose page cache that is nobody tells, but what no
//! process of the machine locks no cgroup has to keep.

use memgap_kernel::file::Buf;
use memgap_kernel::process::Process;
use memgap_kernel::source::status;
use memgap_ledger::sample::{CgroupSample, Counters, HostSample};
use memgap_ledger::{Fact, Missing, MissingKind};

/// What processes lock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Locked {
    /// `VmLck`: of whatever kind, in memory or not.
    all: u64,
    /// Of that, memory of files at the most.
    files: u64,
}

impl Locked {
    /// Of one process; `None` where it is not known.
    pub fn of(process: Result<&Process, &Missing>, buf: &mut Buf) -> Option<Self> {
        Self::of_status(
            process.map_err(Missing::clone).and_then(|process| status::read(process, buf)),
        )
    }

    /// By the counters that `status` told, or why it did not.
    pub fn of_status(counters: Fact<Option<Counters>>) -> Option<Self> {
        match counters {
            Ok(Some(counters)) => Self::of_counters(&counters),
            // A thread of the kernel, or it has given its memory back.
            Ok(None) => Some(Self::default()),
            Err(lack) if lack.kind == MissingKind::Gone => Some(Self::default()),
            Err(_) => None,
        }
    }

    /// By counters of `status`.
    pub fn of_counters(counters: &Counters) -> Option<Self> {
        let all = counters.locked?;
        Some(Self { all, files: all.min(counters.file?) })
    }

    /// Of several processes; `None` where one is not known.
    pub fn sum(mut parts: impl Iterator<Item = Option<Self>>) -> Option<Self> {
        parts.try_fold(Self::default(), |sum, part| {
            let part = part?;
            Some(Self {
                all: sum.all.saturating_add(part.all),
                files: sum.files.saturating_add(part.files),
            })
        })
    }
}

/// Notes in samples of cgroups what all processes lock. Where the kernel counts more than
/// they lock, there are some that are not seen.
pub(crate) fn note(cgroups: &mut [CgroupSample], locked: Option<Locked>, host: &HostSample) {
    let counted = host.meminfo.as_ref().ok().map(|meminfo| meminfo.mlocked);
    let unmarked = locked.zip(counted).and_then(|(locked, counted)| {
        let most = locked.all.checked_sub(counted)?;
        Some(most.min(locked.files))
    });
    for cgroup in cgroups {
        cgroup.unmarked_files = unmarked;
    }
}
