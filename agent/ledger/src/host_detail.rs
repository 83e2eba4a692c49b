//! What a person who asks about the machine is told beside its ledger: too dear, or too
//! long, for every collection.

use crate::account::Account;
use crate::fact::Fact;
use crate::figure::Figure;
use crate::sample::ProcessKind;
use crate::{CgroupLedger, ProcessLedger};

/// Details of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDetail {
    /// The kernel's object caches: `/proc/slabinfo`, for root.
    pub slabs: Fact<Vec<Slab>>,
    /// `/proc/sys/fs/dentry-state`.
    pub dentries: Fact<Dentries>,
    /// Inodes in memory: `/proc/sys/fs/inode-nr`.
    pub inodes: Fact<u64>,
    /// Deleted cgroups that still hold memory, in the whole machine.
    pub dying: Fact<Dying>,
    /// The process with the most anonymous memory.
    pub process: Option<Holder>,
    /// The process with the most shared memory in its mappings.
    pub sharer: Option<Holder>,
    /// The cgroup without children that needs the most.
    pub cgroup: Option<CgroupHolder>,
}

/// Deleted cgroups that are still held by what was charged to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dying {
    /// How many there are.
    pub count: u64,
    /// Page cache that is charged to them, as far as it is told.
    pub file: u64,
    /// Shared memory that is charged to them, as far as it is told.
    pub shmem: u64,
}

/// One cache of kernel objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slab {
    /// Its name, made printable.
    pub name: String,
    /// The pages of its slabs, in bytes.
    pub bytes: u64,
}

/// Directory entries that the kernel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dentries {
    /// All of them.
    pub total: u64,
    /// Those that nobody uses: they can be dropped.
    pub unused: u64,
    /// Of the unused, those of names that do not exist (5.0).
    pub negative: u64,
}

/// A process that holds much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// How much it holds.
    pub bytes: i64,
}

/// A cgroup that holds much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupHolder {
    /// Its path.
    pub path: String,
    /// What can not be taken back from it.
    pub required: Figure,
    /// Its usage.
    pub usage: Figure,
}

impl HostDetail {
    /// Notes who holds most. Of processes counters suffice.
    pub fn note_holders(&mut self, processes: &[ProcessLedger], cgroups: &[CgroupLedger]) {
        let mapped = [Account::FileMapped, Account::Device, Account::Shmem, Account::Skew];
        self.process = largest(processes, |process| {
            let rss = process.headline.rss.point().unwrap_or(0);
            rss.saturating_sub(process.ledger.sum(&mapped))
        });
        self.sharer = largest(processes, |process| process.ledger.booked(Account::Shmem));
        let needs = |cgroup: &CgroupLedger| cgroup.headline.required.point().unwrap_or(0);
        // The root's figures are the machine's.
        let leaves = cgroups.iter().filter(|c| c.leaf && c.path != "/" && needs(c) > 0);
        self.cgroup = leaves.max_by_key(|cgroup| needs(cgroup)).map(|cgroup| CgroupHolder {
            path: cgroup.path.clone(),
            required: cgroup.headline.required,
            usage: cgroup.headline.usage,
        });
    }
}

fn largest(processes: &[ProcessLedger], of: impl Fn(&ProcessLedger) -> i64) -> Option<Holder> {
    processes
        .iter()
        .filter(|process| process.kind == ProcessKind::User)
        .map(|process| (of(process), process))
        .filter(|(bytes, _)| *bytes > 0)
        .max_by_key(|(bytes, process)| (*bytes, std::cmp::Reverse(process.pid)))
        .map(|(bytes, process)| Holder { pid: process.pid, name: process.name.clone(), bytes })
}
