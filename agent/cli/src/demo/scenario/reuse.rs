//! Pages that were freed lazily and then written again are live, and still stand
//! where the working set does not count them.

use std::os::unix::process::ExitStatusExt;

use memgap_ledger::size::iec;
use memgap_ledger::{Account, CgroupLedger, Figure, ProcessLedger};
use rustix::process::Signal;

use super::{Enclosed, Stage, bytes, less};
use crate::demo::Stop;
use crate::demo::cgroup::Cgroup;
use crate::demo::story::{Source, Story};
use crate::demo::target::{GROWTH, LAZY, LIMIT, MIB, Program, WHOLE};

pub fn play(stage: &Stage<'_>) -> Result<Story, Stop> {
    let mut both = [
        stage.enclose("rewritten", stage.child(Program::Rewritten, "")?),
        stage.enclose("left-alone", stage.child(Program::LeftAlone, "")?),
    ];
    for program in &mut both {
        program.child.step()?;
    }
    match both.each_ref().map(|program| program.cgroup.as_ref()) {
        [Ok(a), Ok(b)] => {
            let ledgers = [stage.cgroup(a)?, stage.cgroup(b)?];
            let [a, b] = &mut both;
            Ok(judged(&ledgers, [is_killed(a)?, is_killed(b)?]))
        }
        [Err(why), _] | [_, Err(why)] => {
            let why = format!("the limits and the kernel's own judgement: {why}");
            let ledgers = [stage.process(&both[0].child)?, stage.process(&both[1].child)?];
            Ok(unjudged(&ledgers, why))
        }
    }
}

const SUBJECTS: [&str; 2] = ["freed_then_rewritten", "freed_left_alone"];

/// With cgroups: what each needs, and then the kernel's judgement.
fn judged(ledgers: &[CgroupLedger; 2], killed: [bool; 2]) -> Story {
    let figures = |of: fn(&CgroupLedger) -> Figure| ledgers.each_ref().map(of);
    let required = figures(|c| c.headline.required);
    let needed = [bytes(WHOLE), bytes(WHOLE - LAZY)];

    let mut story = Story::of(SUBJECTS, Some(bytes(LIMIT)));
    story.row(Source::Kernel, "usage", figures(|c| c.headline.usage));
    story.row(Source::Kernel, "working_set", figures(|c| c.headline.working_set));
    story.row(Source::Memgap, "required", required);
    story.row(Source::Memgap, "working_set_hidden", figures(|c| c.headline.working_set_hidden));
    story.row(Source::Truth, "needed", needed.map(Figure::Exact));
    story.fate(format!("{} more", iec(bytes(GROWTH))), killed);
    for (subject, (required, needed)) in SUBJECTS.iter().zip(required.into_iter().zip(needed)) {
        // The page tables, the program's own heap, and the charges that
        // processors have in stock.
        story.check(&format!("required, {subject}"), required, needed, bytes(8 * MIB));
    }
    if killed != [true, false] {
        story.refute(format!(
            "the kernel must kill the one that rewrote its pages, and it alone; killed: {killed:?}"
        ));
    }
    story.conclude(
        "the same usage, the same working set, and the kernel kills the one whose pages were \
         written again: they are live, and stay on the inactive file list, which the working set \
         leaves out. required tells the two apart"
            .to_owned(),
    );
    story
}

/// Without cgroups: the processes alone.
fn unjudged(ledgers: &[ProcessLedger; 2], why: String) -> Story {
    let rss = ledgers.each_ref().map(|p| p.headline.rss);
    let lazy = ledgers.each_ref().map(|p| p.ledger.figure(Account::LazyFree));
    let truth = [0, bytes(LAZY)];

    let mut story = Story::of(SUBJECTS, None);
    story.row(Source::Kernel, "rss", rss);
    story.row(Source::Memgap, "lazy_free", lazy);
    story.row(Source::Memgap, "rss_less_lazy_free", [less(rss[0], lazy[0]), less(rss[1], lazy[1])]);
    story.row(Source::Truth, "free_to_take", truth.map(Figure::Exact));
    for (subject, (lazy, truth)) in SUBJECTS.iter().zip(lazy.into_iter().zip(truth)) {
        story.check(&format!("lazy_free, {subject}"), lazy, truth, bytes(MIB));
    }
    story.skipped = Some(why);
    story.conclude("the same RSS, and one of the two needs much less of it".to_owned());
    story
}

/// Lets the program grow: whether the kernel kills it for want of memory.
fn is_killed(program: &mut Enclosed<'_>) -> Result<bool, Stop> {
    let Some(status) = program.child.step_or_end()? else { return Ok(false) };
    let kills = program.cgroup.as_ref().map_err(Clone::clone).and_then(Cgroup::oom_kills);
    // Kernels before 4.13 do not count; there the signal must do.
    Ok(status.signal() == Some(Signal::KILL.as_raw()) && kills.map_or(true, |kills| kills > 0))
}
