//! jemalloc gives pages back with `MADV_FREE`: they are free for the kernel to
//! take, gone from jemalloc's heap statistics, and still in RSS.

use memgap_ledger::Account;

use super::{Stage, bytes, less, own};
use crate::demo::Stop;
use crate::demo::story::{Source, Story};
use crate::demo::target::{CHURN, MIB, Program};

/// Pages are given back when the program says so and not by the clock, and then
/// with `MADV_FREE` (jemalloc calls them muzzy) and not further.
const MALLOC: &str = "narenas:1,dirty_decay_ms:-1,muzzy_decay_ms:-1";

pub fn play(stage: &Stage<'_>) -> Result<Story, Stop> {
    let mut child = stage.child(Program::Churn, MALLOC)?;
    let word = child.step()?;
    let before = (word, stage.process(&child)?);
    let word = child.step()?;
    let after = (word, stage.process(&child)?);
    let both = [&before, &after];

    let rss = both.map(|(_, process)| process.headline.rss);
    let lazy = both.map(|(_, process)| process.ledger.figure(Account::LazyFree));
    let mut story = Story::of(["allocated", "freed"], None);
    story.row(Source::Kernel, "rss", rss);
    story.row(Source::Memgap, "lazy_free", lazy);
    story.row(Source::Memgap, "rss_less_lazy_free", [less(rss[0], lazy[0]), less(rss[1], lazy[1])]);
    story.row(Source::Truth, "allocated", both.map(|(word, _)| own(word, "allocated")));
    story.row(Source::Truth, "jemalloc_resident", both.map(|(word, _)| own(word, "resident")));
    // An allocation's first and last page may be shared with another.
    story.check("lazy_free", lazy[1], bytes(CHURN), bytes(4 * MIB));
    story.conclude(
        "no leak: the memory is freed (MADV_FREE), the kernel takes it back under pressure, \
         and lazy_free says how much that is"
            .to_owned(),
    );
    Ok(story)
}
