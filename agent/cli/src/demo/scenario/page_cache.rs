//! A file's contents are charged to the cgroup that read it first, and go as
//! soon as anybody needs the memory.

use std::path::{Path, PathBuf};

use rustix::fs::statfs;

use super::{Stage, bytes, less};
use crate::demo::Stop;
use crate::demo::child::Child;
use crate::demo::story::{Source, Story};
use crate::demo::target::{FILE, LIMIT, MIB, Program};

pub fn play(stage: &Stage<'_>) -> Result<Story, Stop> {
    let directory = on_disk().ok_or_else(|| {
        Stop::Skip("no writable directory whose files are in the page cache; set TMPDIR".into())
    })?;
    let child = Child::start(Program::File, "", &directory, &stage.signals)?;
    let mut subject = stage.enclose("file", child);
    let cgroup = subject.cgroup.as_ref().map_err(|why| Stop::Skip(why.clone()))?;
    let before = stage.cgroup(cgroup)?;
    subject.child.step()?;
    let both = [before, stage.cgroup(cgroup)?];

    let required = both.each_ref().map(|c| c.headline.required);
    let cache = both.each_ref().map(|c| c.ledger.figure(memgap_ledger::Account::PageCache));
    let mut story = Story::of(["before", "file_read"], Some(bytes(LIMIT)));
    story.row(Source::Kernel, "usage", both.each_ref().map(|c| c.headline.usage));
    story.row(Source::Kernel, "working_set", both.each_ref().map(|c| c.headline.working_set));
    story.row(Source::Memgap, "page_cache", cache);
    story.row(Source::Memgap, "required", required);
    let tolerance = bytes(8 * MIB);
    story.check("page_cache", less(cache[1], cache[0]), bytes(FILE), tolerance);
    story.check("more required", less(required[1], required[0]), 0, tolerance);
    story.conclude(
        "usage counts the file, and so does the working set as far as the kernel holds it for \
         active; required does not: a limit need not hold what the kernel can drop"
            .to_owned(),
    );
    Ok(story)
}

/// A directory for the file. tmpfs keeps files in shared memory, ZFS in a cache
/// of its own.
fn on_disk() -> Option<PathBuf> {
    const ELSEWHERE: [u32; 3] = [0x0102_1994, 0x8584_58f6, 0x2fc1_2fc1];
    let named = std::env::var_os("TMPDIR").map(PathBuf::from);
    named.into_iter().chain(["/var/tmp", "/tmp", "."].map(PathBuf::from)).find(|directory| {
        let disk = |d: &Path| {
            statfs(d).is_ok_and(|s| !ELSEWHERE.iter().any(|e| i64::from(*e) == s.f_type))
        };
        disk(directory) && rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok()
    })
}
