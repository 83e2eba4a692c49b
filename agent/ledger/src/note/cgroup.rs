//! Of a cgroup: the limit that is met first, and what happened at its limits.

use crate::account::Account;
use crate::cgroup::CgroupLedger;
use crate::events::Events;
use crate::figure::signed;
use crate::finding::{Subject, is_found};
use crate::room::Room;
use crate::sample::CgroupVersion;
use crate::size::iec;

/// Kernel memory below this is not worth a sentence.
const MATTERS: i64 = 1 << 20;

/// The notes on a cgroup, the most urgent first.
pub fn notes(cgroup: &CgroupLedger) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(cgroup.room.as_ref().ok().map(|room| of_room(room, cgroup)));
    notes.extend(limits_met(&cgroup.events));
    notes.extend(waited(&cgroup.events));
    notes.extend(swapped(cgroup).filter(|_| !is_found("swapped", Subject::Cgroup(cgroup))));
    notes.extend(kernel_memory(cgroup));
    notes
}

fn of_room(room: &Room, cgroup: &CgroupLedger) -> String {
    let required = iec(room.limit.required.point().unwrap_or(0));
    let mut text =
        format!("room is up to {}, which has to hold {required}", room.limit.words(&cgroup.path));
    if let Some(swap) = room.limit.swap.bounds().map(|(_, high)| high).filter(|high| *high > 0) {
        text += &format!(", with {} more to be swapped out", iec(swap));
    }
    if let Some((bytes, what)) = room.limit.orphaned {
        let bytes = iec(bytes);
        text +=
            &format!(": {bytes} of it are charged to no cgroup that lives below, mostly {what}");
    }
    if let Some((path, bytes)) = &room.limit.sibling {
        text += &format!("; {path} holds {} of it", iec(*bytes));
    }
    if !room.is_whole {
        text += "; limits above what is mounted here are not known, and may be met before";
    }
    text
}

fn limits_met(events: &Events) -> Option<String> {
    let count = |fact: &crate::Fact<u64>| fact.as_ref().ok().copied().filter(|count| *count > 0);
    let mut words = Vec::new();
    words.extend(count(&events.oom_kills).map(|n| match n {
        1 => "the OOM killer ended 1 process".to_owned(),
        n => format!("the OOM killer ended {n} processes"),
    }));
    words.extend(count(&events.limit_hits).map(|n| format!("the limit was met {n} times")));
    words.extend(count(&events.swap_failures).map(|n| format!("swapping out failed {n} times")));
    (!words.is_empty()).then(|| format!("since it began, {}", words.join(", ")))
}

/// Throttling, and what the kernel knows of time that was lost.
fn waited(events: &Events) -> Option<String> {
    let throttled = events.throttled.as_ref().ok().copied().unwrap_or(0);
    let high = events.high.as_ref().ok().copied().flatten();
    let stall = events.stall.as_ref().ok().map(|stall| stall.some);
    let stall = stall.filter(|some| some.last_ten > 0 || throttled > 0);
    let mut words = Vec::new();
    if throttled > 0 {
        let at = high.map_or(String::new(), |high| format!(" {}", iec(signed(high))));
        words.push(format!("its processes were throttled {throttled} times at memory.high{at}"));
    }
    words.extend(stall.map(|some| {
        let (total, share) = (some.total.as_secs_f64(), f64::from(some.last_ten) / 100.0);
        format!(
            "some waited for memory for {total:.1} s since it began, {share:.1}% of the last 10 s"
        )
    }));
    (!words.is_empty()).then(|| words.join("; "))
}

fn swapped(cgroup: &CgroupLedger) -> Option<String> {
    let swapped = cgroup.headline.swap.point().filter(|bytes| *bytes > 0)?;
    let limit = cgroup.swap_limit.as_ref().ok().copied().flatten();
    let of = limit.map_or(String::new(), |limit| format!(" of {} that may be", iec(signed(limit))));
    Some(format!(
        "{}{of} are swapped out: in use, and part of neither usage nor required",
        iec(swapped)
    ))
}

/// v1 tells one sum, in which entries of directories that nobody uses stand beside stacks.
fn kernel_memory(cgroup: &CgroupLedger) -> Option<String> {
    let kernel = cgroup.ledger.figure(Account::Kernel).point().filter(|b| *b >= MATTERS)?;
    if cgroup.version != CgroupVersion::V1 {
        return None;
    }
    let known = cgroup.kernel_of_processes.map_or(String::new(), |of| {
        format!(
            " ({} page tables and {} stacks of {} threads, by its processes' counters)",
            iec(signed(of.page_tables)),
            iec(signed(of.stacks())),
            of.threads
        )
    });
    Some(format!(
        "cgroup v1 does not tell how much of {} of kernel memory can be dropped{known}: required counts all of it, its low bound only what is known to be needed",
        iec(kernel)
    ))
}
