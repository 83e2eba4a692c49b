//! Freed pieces between live ones: no page of theirs is free as a whole, so the
//! allocator can give none back.

use memgap_ledger::size::iec;
use memgap_ledger::{Account, Figure, ProcessLedger};

use super::{Stage, bytes, less, own};
use crate::demo::Stop;
use crate::demo::story::{Source, Story};
use crate::demo::target::{MIB, Program, SPARSE, SPARSE_KEPT};

/// Where a heap's pages can stand: on the last two as long as nobody reads the
/// allocator's heap statistics.
const HEAP: &[Account] = &[
    Account::HeapInUse,
    Account::AllocatorFree,
    Account::AllocatorMetadata,
    Account::HeapUnprobed,
    Account::Unexplained,
];

/// What an allocation's rounding and what is kept for threads may make of it.
const CLOSE: usize = 4 * MIB;

pub fn play(stage: &Stage<'_>) -> Result<Story, Stop> {
    let mut child = stage.child(Program::Sparse, "narenas:1")?;
    let word = child.step()?;
    let before = (word, stage.process(&child)?);
    let word = child.step()?;
    let after = (word, stage.process(&child)?);
    let both = [&before, &after];

    let heap = both.map(|(_, process)| Figure::Exact(process.ledger.sum(HEAP)));
    let in_use = both.map(|(_, process)| process.headline.in_use);
    let allocated = both.map(|(word, _)| own(word, "allocated"));
    let mut story = Story::of(["allocated", "freed"], None);
    story.row(Source::Kernel, "rss", both.map(|(_, process)| process.headline.rss));
    story.row(Source::Memgap, "heap", heap);
    story.row(Source::Memgap, "in_use", in_use);
    let idle = [0, 1].map(|time| less(heap[time], in_use[time]));
    story.row(Source::Memgap, "not_in_use", idle);
    story.row(Source::Truth, "allocated", allocated);
    if in_use.contains(&Figure::Absent) {
        story.skipped = Some(unread(&after.1));
        let kept = less(less(heap[1], allocated[1]), less(heap[0], allocated[0]));
        story.check("kept", kept, bytes(SPARSE - SPARSE_KEPT), bytes(CLOSE));
        story.conclude(conclusion(kept, "the program passed on its own word"));
        return Ok(story);
    }
    for (figure, allocated) in in_use.into_iter().zip(allocated) {
        if let Some(allocated) = allocated.point() {
            story.check("in use", figure, allocated, bytes(CLOSE));
        }
    }
    let kept = less(idle[1], idle[0]);
    story.check("kept", kept, bytes(SPARSE - SPARSE_KEPT), bytes(CLOSE));
    story.conclude(conclusion(kept, "memgap read them from outside"));
    Ok(story)
}

fn conclusion(kept: Figure, how: &str) -> String {
    format!(
        "no leak: {} were freed in pages that still hold something else, so none could go \
         back. Only the allocator's statistics tell it: {how}",
        iec(kept.point().unwrap_or_default()),
    )
}

/// Why what is in use is not known.
fn unread(process: &ProcessLedger) -> String {
    let why = process.unread.first().map(|unread| &unread.why);
    let why = why.or_else(|| process.absent.first().map(|absence| &absence.missing));
    why.map_or_else(
        || "memgap found no heap statistics in the program".to_owned(),
        |why| format!("memgap did not read the program's heap statistics: {why}"),
    )
}
