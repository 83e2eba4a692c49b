//! Freed pieces between live ones: no page of theirs is free as a whole, so the
//! allocator can give none back.

use memgap_ledger::size::iec;
use memgap_ledger::{Account, Figure};

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

pub fn play(stage: &Stage<'_>) -> Result<Story, Stop> {
    let mut child = stage.child(Program::Sparse, "narenas:1")?;
    let word = child.step()?;
    let before = (word, stage.process(&child)?);
    let word = child.step()?;
    let after = (word, stage.process(&child)?);
    let both = [&before, &after];

    let heap = both.map(|(_, process)| Figure::Exact(process.ledger.sum(HEAP)));
    let allocated = both.map(|(word, _)| own(word, "allocated"));
    let idle = [0, 1].map(|time| less(heap[time], allocated[time]));
    let mut story = Story::of(["allocated", "freed"], None);
    story.row(Source::Kernel, "rss", both.map(|(_, process)| process.headline.rss));
    story.row(Source::Memgap, "heap", heap);
    story.row(Source::Truth, "allocated", allocated);
    story.row(Source::Truth, "not_in_use", idle);
    let kept = less(idle[1], idle[0]);
    story.check("kept", kept, bytes(SPARSE - SPARSE_KEPT), bytes(4 * MIB));
    story.conclude(format!(
        "no leak: {} were freed in pages that still hold something else, so none could go \
         back. Only the allocator's statistics tell it: here the program passed on its own word, and \
         memgap explain reads them from outside",
        iec(kept.point().unwrap_or_default()),
    ));
    Ok(story)
}
