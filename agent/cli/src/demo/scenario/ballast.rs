//! A reservation that is never touched: VSZ grows, nothing else does.

use memgap_ledger::{Account, Figure};

use super::{Stage, bytes, less};
use crate::demo::Stop;
use crate::demo::story::{Source, Story};
use crate::demo::target::{BALLAST, MIB, Program};

pub fn play(stage: &Stage<'_>) -> Result<Story, Stop> {
    let mut child = stage.child(Program::Ballast, "")?;
    let before = stage.process(&child)?;
    child.step()?;
    let both = [before, stage.process(&child)?];

    let untouched = both.each_ref().map(|p| p.ledger.figure(Account::Untouched));
    let mut story = Story::of(["before", "reserved"], None);
    story.row(Source::Kernel, "vsz", both.each_ref().map(|p| p.headline.vsz));
    story.row(Source::Kernel, "rss", both.each_ref().map(|p| p.headline.rss));
    story.row(Source::Memgap, "untouched", untouched);
    story.row(Source::Truth, "reserved", [Figure::Exact(0), Figure::Exact(bytes(BALLAST))]);
    let more = less(untouched[1], untouched[0]);
    story.check("untouched", more, bytes(BALLAST), bytes(MIB));
    story.conclude(
        "address space is not memory: nobody pays for pages before they are written, and \
         untouched says how many those are"
            .to_owned(),
    );
    Ok(story)
}
