//! `memgap advise TARGET`: the memory limit that a cgroup needs.

use std::time::{Duration, Instant};

use anyhow::Context;
use memgap_json as json;
use memgap_ledger::advice::Need;
use memgap_ledger::advice::setting::settings;
use memgap_ledger::{Advice, CgroupLedger, Missing, ProcessLedger, process};
use memgap_reader::{Depth, Error, Found, Reader, Target, find};

use super::seen::read_cgroup;
use crate::args::Advise;
use crate::output::{Answer, Output};
use crate::patience;
use crate::view::advice;

/// Readings that are kept at the most: of a day, one each second.
const MOST_READINGS: usize = 24 * 60 * 60;

/// Watches what a user names, and says which limit it needs.
pub fn run(reader: &Reader, asked: &Advise, output: &Output) -> anyhow::Result<Answer> {
    let path = cgroup_of(reader, &asked.target)?;
    let (needs, over) = watch(reader, &path, asked)?;
    let made = Advice::of(&needs, over);
    let mut made = made.with_context(|| format!("what {path} requires is not known"))?;
    let processes = read_processes(reader, &path);
    let required = made.required.point().unwrap_or(0);
    made.settings = settings(&processes, made.limit, required);
    let document = || json::advice::document(&path, &made);
    let text = output.text(document, |style| advice::page(&path, &made, style))?;
    Ok(Answer::of(text, processes.iter().any(ProcessLedger::is_denied)))
}

/// The cgroup that is named, or that of the process that is.
fn cgroup_of(reader: &Reader, word: &str) -> anyhow::Result<String> {
    let target: Target = word.parse()?;
    let path = match find(reader, &target)? {
        Found::Cgroup { path } => path,
        Found::Process { pid, .. } => {
            let ledger = process::ledger(&reader.process(pid, Depth::Counters)?);
            ledger.cgroup.with_context(|| format!("the cgroup of process {pid} is not known"))?
        }
        Found::Host => "/".to_owned(),
    };
    if path == "/" {
        let remedy = "its memory has no limit; name a cgroup below the root, or a process in one";
        return Err(Error::Usage { word: word.to_owned(), remedy }.into());
    }
    Ok(path)
}

/// Memory on the file lists beyond the page cache that is worth a walk: only that tells what
/// of it was written again, and is required.
const SHOWS: i64 = 4 << 20;

/// Readings of a cgroup until the time is over or it is gone.
fn watch(reader: &Reader, path: &str, asked: &Advise) -> anyhow::Result<(Vec<Need>, Duration)> {
    let begin = Instant::now();
    let mut needs = Vec::new();
    let mut over = Duration::ZERO;
    loop {
        let made = match read(reader, path) {
            Ok(made) => made,
            Err(missing) if needs.is_empty() => return Err(missing.into()),
            Err(_) => break,
        };
        over = begin.elapsed();
        needs.extend(Need::of(&made));
        let next = over.saturating_add(asked.interval);
        if next > asked.time || needs.len() == MOST_READINGS {
            break;
        }
        patience::pause(next.saturating_sub(begin.elapsed()));
    }
    Ok((needs, over))
}

/// By counters alone, where they tell enough.
fn read(reader: &Reader, path: &str) -> Result<CgroupLedger, Missing> {
    let made = read_cgroup(reader, path, Depth::Counters)?;
    if made.lru_lazy.point().is_none_or(|bytes| bytes < SHOWS) {
        return Ok(made);
    }
    Ok(read_cgroup(reader, path, Depth::Walk).unwrap_or(made))
}

fn read_processes(reader: &Reader, path: &str) -> Vec<ProcessLedger> {
    let members = reader.cgroup_and_members(path, Depth::Runtimes).and_then(|(_, members)| members);
    members.iter().flatten().map(process::ledger).collect()
}
