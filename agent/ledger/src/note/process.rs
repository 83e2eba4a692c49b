//! Of a process: what ending it frees, huge pages, pinned pages.

use crate::ProcessLedger;
use crate::figure::signed;
use crate::finding::{Subject, is_found};
use crate::size::iec;

/// Less is not worth a sentence.
const MATTERS: u64 = 16 << 20;

pub(super) fn notes(process: &ProcessLedger) -> Vec<String> {
    let freed = one_memory(process).or_else(|| freed(process));
    let huge = huge(process).filter(|_| !is_found("huge-pages", Subject::Process(process)));
    [freed, huge, pinned(process)].into_iter().flatten().collect()
}

/// Pids that are named.
const NAMED: usize = 5;

/// The kernel shows the memory for each of them as its own.
fn one_memory(process: &ProcessLedger) -> Option<String> {
    let one = process.one_memory.as_ref()?;
    let pids: Vec<String> = one.others.iter().take(NAMED).map(u32::to_string).collect();
    let (noun, verb) = match one.others.len() {
        1 => ("process", "has"),
        _ => ("processes", "have"),
    };
    let more = match one.others.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let counted_at = if process.is_counted_elsewhere() {
        format!("for process {}", one.counted_at)
    } else {
        "here".to_owned()
    };
    Some(format!(
        "{noun} {}{more} {verb} the same memory (vfork, or clone with CLONE_VM): it counts once, \
         {counted_at}, and is freed when the last of them ends",
        pids.join(", ")
    ))
}

/// Where it shares much, or maps much, neither RSS nor PSS is what its end gives back.
fn freed(process: &ProcessLedger) -> Option<String> {
    let (own, pss) = (signed(process.mapped?.own), process.headline.pss.point()?);
    let matters = pss.saturating_sub(own) >= signed(MATTERS) / 4 && own < pss - pss / 10;
    matters.then(|| {
        format!(
            "ending it frees at least {}: anonymous memory that nothing else maps. Pages of files and shared memory stay as long as these do, others with those who map them too",
            iec(own)
        )
    })
}

fn huge(process: &ProcessLedger) -> Option<String> {
    let huge = process.huge.filter(|huge| *huge >= MATTERS)?;
    let rss = process.headline.rss.point().and_then(|rss| u64::try_from(rss).ok())?;
    (huge >= rss / 4).then(|| {
        format!(
            "{} of it lies in huge pages, each resident whole once a byte of it is written: smaps does not say how much of them is used",
            iec(signed(huge))
        )
    })
}

fn pinned(process: &ProcessLedger) -> Option<String> {
    let pinned = process.pinned.filter(|pinned| *pinned >= 1 << 20)?;
    Some(format!(
        "{} is pinned for input and output (VmPin), mapped or not: the kernel can neither move nor take it back",
        iec(signed(pinned))
    ))
}
