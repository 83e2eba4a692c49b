//! Shared memory that no process of the cgroup maps: files on tmpfs, memory files that are kept
//! open, segments that outlived who made them.

use super::{Confidence, Finding, Severity, Subject, matters};
use crate::CgroupLedger;
use crate::Figure;
use crate::figure::signed;
use crate::held::HolderKind;
use crate::size::iec;
use crate::{Account, Fact};

pub const ID: &str = "tmpfs";

/// Holders that are named.
const NAMED: usize = 3;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let (usage, shmem) = (cgroup.headline.usage.point()?, cgroup.ledger.booked(Account::Shmem));
    let bytes = signed(cgroup.shmem_unmapped?).min(shmem);
    if !matters(bytes, usage) {
        return None;
    }
    let limit = cgroup.headline.limit.map(signed);
    let is_much = limit.is_some_and(|limit| bytes >= limit / 4);
    let mut evidence = vec![format!("shmem {}, mapped at most {}", iec(shmem), iec(shmem - bytes))];
    evidence.extend(limit.map(|limit| format!("limit {}", iec(limit))));
    evidence.extend(holders(cgroup));
    Some(Finding {
        id: ID,
        // Address space that is mapped may be of pages that another cgroup is charged for.
        bytes: Figure::interval(bytes, bytes, shmem),
        severity: if is_much { Severity::Warning } else { Severity::Info },
        confidence: Confidence::Certain,
        brief: format!("at least {} are shared memory that none of its processes maps", iec(bytes)),
        summary: format!(
            "at least {} of shared memory are mapped by none of its processes: files on tmpfs, memory files (memfd), System V segments and the like",
            iec(bytes)
        ),
        evidence,
        is_not: "page cache: without swap the kernel can not take it back, whoever has ended",
        remedy: "remove the files (df shows each tmpfs, its option size= bounds it), close the memory files, ipcrm -m the segments that ipcs -m shows without a process".into(),
    })
}

/// Who holds it, where that was asked for.
fn holders(cgroup: &CgroupLedger) -> Vec<String> {
    let Some(Fact::Ok(held)) = &cgroup.held else { return Vec::new() };
    let of_process = held.holders.iter().filter(|holder| holder.bytes >= 1 << 20).map(|holder| {
        let (pid, bytes) = (holder.pid, iec(signed(holder.bytes)));
        match &holder.kind {
            HolderKind::MemoryFile(name) => format!("pid {pid} holds memfd:{name}, {bytes}"),
            HolderKind::Segment => format!("System V segments made by pid {pid}, {bytes}"),
        }
    });
    let of_tmpfs = held.tmpfs.iter().filter(|tmpfs| tmpfs.bytes >= 1 << 20).map(|tmpfs| {
        format!("files on {}, {}, whoever wrote them", tmpfs.point, iec(signed(tmpfs.bytes)))
    });
    of_process.take(NAMED).chain(of_tmpfs.take(NAMED)).collect()
}
