//! Little can still be allocated before somebody is OOM-killed.

use super::{Finding, Severity, Subject, ancestor_limit, confidence};
use crate::CgroupLedger;
use crate::account::{ANONYMOUS, Account, KERNEL};
use crate::figure::signed;
use crate::size::iec;

pub const ID: &str = "limit-near";

/// What may be left of a limit, in parts of it.
const NEAR: i64 = 10;
const VERY_NEAR: i64 = 20;

pub fn find(subject: Subject<'_>) -> Option<Finding> {
    let Subject::Cgroup(cgroup) = subject else { return None };
    let room = cgroup.room.as_ref().ok()?;
    let limit = signed(room.limit.bytes);
    let (left, (_, high)) = (room.bytes.point()?, room.bytes.bounds()?);
    // Where a limit further up leaves much less than its own, `ancestor-limit` speaks.
    if left > limit / NEAR || ancestor_limit::find(subject).is_some() {
        return None;
    }
    let required = room.limit.required;
    let words = room.limit.words(&cgroup.path);
    let mut evidence = vec![format!("{words}, required {}", required.words())];
    evidence.extend(kinds(cgroup));
    let enough = required.bounds()?.1.saturating_mul(NEAR) / (NEAR - 1);
    Some(Finding {
        id: ID,
        bytes: required,
        severity: if high <= limit / VERY_NEAR { Severity::Critical } else { Severity::Warning },
        confidence: confidence(room.bytes),
        brief: format!("only {} can still be allocated before an OOM kill", room.bytes.words()),
        summary: format!(
            "{} can still be allocated before somebody is OOM-killed: {words} has to hold {}",
            room.bytes.words(),
            required.words()
        ),
        evidence,
        is_not: "a matter of page cache: what the kernel can take back is not counted",
        remedy: format!(
            "bound what grew, or raise the limit: {} leaves a tenth of it free",
            iec(enough)
        )
        .into(),
    })
}

/// What holds the limit's memory, the largest first.
fn kinds(cgroup: &CgroupLedger) -> Option<String> {
    let of = |accounts: &[Account]| cgroup.ledger.sum(accounts);
    let locked = cgroup.locked_cache.point().unwrap_or(0);
    let mut parts = [
        (of(ANONYMOUS), "anonymous memory"),
        (of(&[Account::Shmem]), "shared memory and tmpfs"),
        (of(KERNEL), "kernel memory"),
        (of(&[Account::Sock]), "socket buffers"),
        (locked, "locked page cache"),
    ];
    parts.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let words: Vec<String> = parts
        .iter()
        .filter(|(bytes, _)| *bytes >= 1 << 20)
        .take(3)
        .map(|(bytes, what)| format!("{} {what}", iec(*bytes)))
        .collect();
    (!words.is_empty()).then(|| format!("this cgroup's is {}", words.join(", ")))
}
