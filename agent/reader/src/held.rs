//! Who holds shared memory that nobody maps, among the processes of a cgroup.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use memgap_kernel::file::{Buf, Dir};
use memgap_kernel::source::maps::{self, Device};
use memgap_kernel::source::memory_files::{self, MemoryFile};
use memgap_kernel::source::sysvipc;
use memgap_kernel::{Process, tmpfs};
use memgap_ledger::held::{Holder, HolderKind, SharedHeld, TmpfsHeld};
use memgap_ledger::{Fact, Missing, MissingKind};

/// Memory files of all processes together that are known apart.
const MAX_FILES: usize = 1 << 16;

/// What is known of the processes so far.
#[derive(Debug, Default)]
struct Seen {
    /// Each memory file once, with the first process that holds it.
    files: BTreeMap<(Device, u64), (u32, MemoryFile)>,
    /// Files that a process maps.
    mapped: BTreeSet<(Device, u64)>,
    /// Each tmpfs once, by the first process that sees it.
    tmpfs: BTreeMap<Device, TmpfsHeld>,
    pids: BTreeSet<u32>,
    is_whole: bool,
    other_ipc: bool,
}

/// Reads what the processes hold; those that have ended are left out.
pub fn read(
    procfs: &Dir,
    processes: impl Iterator<Item = Process>,
    buf: &mut Buf,
) -> Fact<SharedHeld> {
    let own_ipc = procfs.link("self/ns/ipc");
    let mut seen = Seen { is_whole: true, ..Seen::default() };
    let mut lack = None;
    for process in processes {
        match seen.add(&process, own_ipc.as_deref(), buf) {
            Err(other) if other.kind != MissingKind::Gone => lack = Some(other),
            _ => {}
        }
    }
    match lack {
        // Nothing at all could be looked at.
        Some(lack) if seen.pids.is_empty() => return Err(lack),
        Some(_) => seen.is_whole = false,
        None => {}
    }
    let segments = sysvipc::read(procfs, buf);
    Ok(seen.summed(&segments))
}

impl Seen {
    fn add(&mut self, process: &Process, own_ipc: Option<&[u8]>, buf: &mut Buf) -> Fact<()> {
        let pid = process.pid();
        let (files, is_whole) = memory_files::held(process)?;
        self.is_whole &= is_whole;
        for file in files {
            if self.files.len() == MAX_FILES && !self.files.contains_key(&file.file) {
                self.is_whole = false;
                break;
            }
            self.files.entry(file.file).or_insert((pid, file));
        }
        let most = self.mapped.len().saturating_add(MAX_FILES);
        maps::read(process, maps::LIMIT, buf, |m| {
            if m.name.starts_with(b"/memfd:") && self.mapped.len() < most {
                self.mapped.insert((m.device, m.inode));
            }
            ControlFlow::Continue(())
        })?;
        let dir = process.dir()?;
        for mount in tmpfs::mounts(&dir, buf)? {
            if let Some(bytes) = mount.bytes {
                let held = TmpfsHeld { pid, point: mount.point, bytes };
                self.tmpfs.entry(mount.device).or_insert(held);
            }
        }
        let ipc = dir.link("ns/ipc");
        self.other_ipc |= own_ipc.is_none() || ipc.as_deref() != own_ipc;
        self.pids.insert(pid);
        Ok(())
    }

    /// What is held and not mapped, one entry a process and name.
    fn summed(self, segments: &Result<Vec<sysvipc::Segment>, Missing>) -> SharedHeld {
        let mut sums: BTreeMap<(u32, HolderKind), (u64, u64)> = BTreeMap::new();
        let mut add = |pid, kind, bytes: u64| {
            let (count, sum) = sums.entry((pid, kind)).or_default();
            *count += 1;
            *sum = sum.saturating_add(bytes);
        };
        let mut mapped = 0u64;
        for (key, (pid, file)) in self.files {
            if self.mapped.contains(&key) {
                mapped = mapped.saturating_add(file.bytes);
            } else {
                add(pid, HolderKind::MemoryFile(file.name), file.bytes);
            }
        }
        for segment in segments.iter().flatten() {
            let bytes = segment.rss.saturating_add(segment.swap);
            if segment.attached > 0 {
                mapped = mapped.saturating_add(bytes);
            } else if self.pids.contains(&segment.creator) {
                add(segment.creator, HolderKind::Segment, bytes);
            }
        }
        let holder = |((pid, kind), (count, bytes))| Holder { pid, kind, count, bytes };
        let mut holders: Vec<Holder> = sums.into_iter().map(holder).collect();
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.bytes));
        let mut tmpfs: Vec<TmpfsHeld> = self.tmpfs.into_values().collect();
        tmpfs.sort_by_key(|tmpfs| std::cmp::Reverse(tmpfs.bytes));
        // A kernel without System V shared memory has no segments.
        let other_ipc =
            self.other_ipc || segments.as_ref().is_err_and(|lack| lack.kind != MissingKind::Absent);
        SharedHeld { holders, tmpfs, mapped, is_whole: self.is_whole, other_ipc }
    }
}
