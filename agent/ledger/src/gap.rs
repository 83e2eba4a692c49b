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

/// What no other part tells.
const UNKNOWN: &str = "that estimates and counters leave open";

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
    gaps.extend(gap("in_use", h.in_use, "usage", h.usage, |bytes| {
        part::sentence(&beyond(cgroup, bytes))
    }));
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

/// Why more is in use than the cgroup is charged for: `bytes` more; the parts sum to it.
pub fn beyond(cgroup: &CgroupLedger, bytes: i64) -> Vec<Part> {
    let in_use = cgroup.in_use.as_ref();
    // What is surely elsewhere: memory.stat may lack what a program has just written.
    let moved = cgroup.ledger.figure(Account::MovedCharges).bounds();
    let moved = moved.map_or(0, |(_, high)| high.saturating_neg().max(0));
    let away = [
        (in_use.map_or(0, |in_use| in_use.untouched), "in use and not in memory"),
        (in_use.map_or(0, |in_use| in_use.swapped), "swapped out"),
        (moved, "not charged to it"),
    ];
    let sum = away.iter().fold(0i64, |sum, (bytes, _)| sum.saturating_add(*bytes));
    let rest = bytes.saturating_sub(sum);
    // Negative where it is charged for what nobody has in use, page cache among it.
    let rest = if rest < 0 { (rest, "charged and not in use") } else { (rest, UNKNOWN) };
    part::in_order(
        away.into_iter().chain([rest]).map(|(bytes, what)| Part { what, bytes }).collect(),
    )
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
