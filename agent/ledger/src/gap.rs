//! The gaps between two headline figures, each in one sentence.

mod host;
mod part;
mod process;

pub use host::{of_host, parts as host_parts};
pub use part::Part;
pub use process::{of_process, of_resident as process_parts};

use crate::figure::Figure;
use crate::size::iec;
use crate::{Account, CgroupLedger};

/// Why two figures of the same thing differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The larger figure's name.
    pub from: &'static str,
    /// The smaller figure's name.
    pub to: &'static str,
    /// `from - to`.
    pub bytes: i64,
    /// The reason, as a sentence.
    pub why: String,
}

/// Locked page cache below this is noise.
const WORTH_A_WORD: i64 = 1 << 20;

/// The gaps of a cgroup.
pub fn of_cgroup(cgroup: &CgroupLedger) -> Vec<Gap> {
    let h = &cgroup.headline;
    let mut gaps = Vec::new();
    let lazy = cgroup.lru_lazy.point().unwrap_or(0);
    gaps.extend(gap("usage", h.usage, "working_set", h.working_set, |bytes| {
        let lazy = lazy.min(bytes);
        let parts = [(bytes - lazy, "of page cache"), (lazy, "that was lazily freed at some time")];
        let held: Vec<String> = parts
            .iter()
            .filter(|(bytes, _)| *bytes > 0)
            .map(|(bytes, what)| format!("{} {what}", iec(*bytes)))
            .collect();
        format!("inactive_file: {}", held.join(" and "))
    }));
    gaps.extend(gap("in_use", h.in_use, "usage", h.usage, |_| beyond(cgroup)));
    gaps.extend(gap("usage", h.usage, "required", h.required, |_| taken_back(cgroup)));
    gaps.extend(gap("required", h.required, "working_set", h.working_set, |_| {
        let hidden = h.working_set_hidden.point().unwrap_or(0);
        if hidden > 0 {
            format!("{} of live memory was lazily freed once and written again: the working set leaves it out", iec(hidden))
        } else {
            "the working set leaves out inactive pages that can not be taken back".to_owned()
        }
    }));
    gaps.extend(gap("working_set", h.working_set, "required", h.required, |_| {
        "the working set counts memory that can be taken back: what is not on inactive_file"
            .to_owned()
    }));
    gaps
}

/// Why more can be in use than the cgroup is charged for.
fn beyond(cgroup: &CgroupLedger) -> String {
    let moved = cgroup.ledger.booked(Account::MovedCharges).saturating_neg();
    let in_use = cgroup.in_use.as_ref();
    let parts = [
        (in_use.map_or(0, |in_use| in_use.untouched), "was never written"),
        (in_use.map_or(0, |in_use| in_use.swapped), "is swapped out"),
        (moved, "is charged to another cgroup"),
    ];
    let held: Vec<String> = parts
        .iter()
        .filter(|(bytes, _)| *bytes > 0)
        .map(|(bytes, what)| format!("{} {what}", iec(*bytes)))
        .collect();
    if held.is_empty() {
        return "its figures are of different times".to_owned();
    }
    format!("of what is in use {}", held.join(", "))
}

/// What the kernel can take back without swapping, as the points have it, and what of the
/// page cache it can not.
fn taken_back(cgroup: &CgroupLedger) -> String {
    let locked = cgroup.locked_cache.point().unwrap_or(0);
    let reclaimable = [
        (Account::PageCache, "page cache"),
        (Account::LazyFree, "lazily freed"),
        (Account::SlabReclaimable, "kernel caches"),
    ];
    let left = |account| match account {
        Account::PageCache => cgroup.ledger.booked(account).saturating_sub(locked),
        account => cgroup.ledger.booked(account),
    };
    let mut text = format!("the kernel can take back {}", parts(&reclaimable, left));
    if locked >= WORTH_A_WORD {
        text +=
            &format!("; {} of page cache are locked in memory, or of ramfs, and stay", iec(locked));
    }
    text
}

fn gap(
    from: &'static str,
    larger: Figure,
    to: &'static str,
    smaller: Figure,
    why: impl FnOnce(i64) -> String,
) -> Option<Gap> {
    let bytes = larger.point()?.saturating_sub(smaller.point()?);
    (bytes > 0).then(|| Gap { from, to, bytes, why: why(bytes) })
}

/// The three largest parts, largest first.
fn parts(names: &[(Account, &str)], booked: impl Fn(Account) -> i64) -> String {
    let mut found: Vec<(i64, &str)> =
        names.iter().map(|(account, name)| (booked(*account), *name)).collect();
    found.retain(|(bytes, _)| *bytes > 0);
    found.sort_by_key(|(bytes, _)| -bytes);
    let words: Vec<String> =
        found.iter().take(3).map(|(bytes, name)| format!("{} {name}", iec(*bytes))).collect();
    if words.is_empty() { "nothing of any size".to_owned() } else { words.join(", ") }
}
