//! Of a cgroup: who holds shared memory that none of its processes maps.

use crate::Fact;
use crate::held::{Holder, HolderKind, SharedHeld};
use crate::size::iec;

/// Less is not worth a sentence.
const MATTERS: u64 = 1 << 20;
/// Holders that are named.
const NAMED: usize = 5;

/// The sentences; none where nothing of any size is held so. `charged` is shared memory that
/// none of the processes maps.
pub(super) fn notes(held: Option<&Fact<SharedHeld>>, charged: Option<u64>) -> Vec<String> {
    let Some(Ok(held)) = held else { return Vec::new() };
    let mut notes = Vec::new();
    notes.extend(unmapped(held));
    notes.extend(tmpfs(held));
    notes.extend(charged.and_then(|charged| not_found(held, charged)));
    notes
}

/// What a socket keeps of files that are on their way to a receiver, the kernel shows nobody.
fn not_found(held: &SharedHeld, charged: u64) -> Option<String> {
    let holders = held.holders.iter().map(|holder| holder.bytes);
    let tmpfs = held.tmpfs.iter().map(|tmpfs| tmpfs.bytes);
    let found = holders.chain(tmpfs).fold(held.mapped, u64::saturating_add);
    let rest = charged.checked_sub(found).filter(|rest| *rest >= MATTERS)?;
    (held.is_whole && !held.other_ipc).then(|| {
        format!(
            "at least {} of shared memory were not found with its processes, neither mapped nor \
             held: files that are sent over a socket and not yet received (SCM_RIGHTS), which the \
             kernel shows nobody, or what processes elsewhere hold, or a tmpfs that they do not see",
            size(rest)
        )
    })
}

fn unmapped(held: &SharedHeld) -> Option<String> {
    let matter: Vec<&Holder> = held.holders.iter().filter(|h| h.bytes >= MATTERS).collect();
    let sum = matter.iter().fold(0u64, |sum, holder| sum.saturating_add(holder.bytes));
    let words: Vec<String> = matter.iter().take(NAMED).map(|holder| of_holder(holder)).collect();
    let more = match matter.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let least = if held.is_whole && !held.other_ipc { "" } else { "at least " };
    (!matter.is_empty()).then(|| {
        let words = words.join("; ");
        format!(
            "{least}{} of shared memory are held and mapped by none of its processes: {words}{more}",
            size(sum)
        )
    })
}

fn of_holder(holder: &Holder) -> String {
    let (pid, count, bytes) = (holder.pid, holder.count, size(holder.bytes));
    match &holder.kind {
        HolderKind::MemoryFile(name) => format!("pid {pid} holds {count} memfd:{name}, {bytes}"),
        HolderKind::Segment => {
            let segments = if count == 1 { "segment" } else { "segments" };
            format!("{count} System V {segments} made by pid {pid}, {bytes}: ipcs -m lists them")
        }
    }
}

fn tmpfs(held: &SharedHeld) -> Option<String> {
    let matter = held.tmpfs.iter().filter(|tmpfs| tmpfs.bytes >= MATTERS).take(NAMED);
    let words: Vec<String> = matter
        .map(|tmpfs| {
            format!("{} {} (as pid {} sees it)", tmpfs.point, size(tmpfs.bytes), tmpfs.pid)
        })
        .collect();
    (!words.is_empty()).then(|| {
        format!("files on tmpfs that its processes see, whoever wrote them: {}", words.join(", "))
    })
}

fn size(bytes: u64) -> String {
    iec(i64::try_from(bytes).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held::TmpfsHeld;

    const MIB: u64 = 1 << 20;

    fn held() -> SharedHeld {
        let pool = HolderKind::MemoryFile("buffer-pool".to_owned());
        let tmpfs = |point: &str, bytes| TmpfsHeld { pid: 7, point: point.to_owned(), bytes };
        SharedHeld {
            holders: vec![
                Holder { pid: 7, kind: pool, count: 40, bytes: 200 * MIB },
                Holder { pid: 8, kind: HolderKind::Segment, count: 1, bytes: 2 * MIB },
                Holder { pid: 9, kind: HolderKind::Segment, count: 1, bytes: 4096 },
            ],
            tmpfs: vec![tmpfs("/dev/shm", 64 * MIB), tmpfs("/run", 4096)],
            mapped: 8 * MIB,
            is_whole: true,
            other_ipc: false,
        }
    }

    #[test]
    fn who_holds_what_is_said_by_pid_and_name() {
        assert_eq!(
            notes(Some(&Ok(held())), None),
            [
                "202 MiB of shared memory are held and mapped by none of its processes: pid 7 holds \
                 40 memfd:buffer-pool, 200 MiB; 1 System V segment made by pid 8, 2.0 MiB: ipcs -m \
                 lists them",
                "files on tmpfs that its processes see, whoever wrote them: /dev/shm 64.0 MiB (as \
                 pid 7 sees it)",
            ]
        );
    }

    #[test]
    fn what_nobody_holds_is_not_found() {
        // 202 MiB held, 8 mapped, 64 on tmpfs, and some pages.
        let said = notes(Some(&Ok(held())), Some(374 * MIB)).pop().expect("said");
        assert!(said.starts_with("at least 100 MiB of shared memory were not found"), "{said}");
        let none = notes(Some(&Ok(held())), Some(274 * MIB));
        assert_eq!(none, notes(Some(&Ok(held())), None));
        // What was not looked at may be it.
        let part = SharedHeld { is_whole: false, ..held() };
        assert_eq!(notes(Some(&Ok(part)), Some(374 * MIB)).len(), 2);
    }

    #[test]
    fn what_was_not_looked_at_makes_it_the_least() {
        let part = SharedHeld { other_ipc: true, ..held() };
        assert!(notes(Some(&Ok(part)), None)[0].starts_with("at least 202 MiB"));
        let lack = crate::Missing::absent("a test");
        assert!(notes(Some(&Err(lack)), None).is_empty() && notes(None, None).is_empty());
    }
}
