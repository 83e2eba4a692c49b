//! `memgap replay FILE`: what a recording holds, and what it says of a target at a time.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{anyhow, bail};
use memgap_json as json;
use memgap_json::recording::{Contents, Grew, RecordingDocument};
use memgap_ledger::diff::{self, Between, Side};
use memgap_ledger::figure::difference;
use memgap_ledger::finding::Subject;
use memgap_ledger::headlines::cgroup_name;
use memgap_ledger::history::Point;
use memgap_ledger::sample::MachineSample;
use memgap_ledger::{Growth, History, Identity, Machine, reason};
use memgap_reader::{Recording, Target, find_in};

use super::seen::{Seen, of_machine};
use crate::args::{Replay, When};
use crate::output::{Answer, Output};
use crate::view;
use crate::view::page;

/// How many of those that grew are listed.
const GREW: usize = 10;

/// Explains what was recorded.
pub fn run(asked: &Replay, output: &Output) -> anyhow::Result<Answer> {
    let recording = Recording::open(&asked.file)?;
    match &asked.target {
        None => list(recording, &asked.file, output).map(Answer::whole),
        Some(target) => explain(recording, &target.parse()?, asked, output),
    }
}

/// What a recording holds.
pub fn list(mut recording: Recording, file: &Path, output: &Output) -> anyhow::Result<String> {
    let (from, first) = begin(&mut recording, file)?;
    let (mut to, mut samples) = (from, 1);
    let mut last = None;
    while let Some(at) = recording.advance() {
        (to, samples) = (at, samples + 1);
    }
    if samples > 1 {
        last = Some(recording.sample()?);
    }
    let last = last.as_ref().unwrap_or(&first);
    let contents = Contents {
        file: file.to_string_lossy().into_owned(),
        from,
        to,
        samples,
        processes: last.processes.len(),
        cgroups: last.cgroups.as_ref().map_or(0, Vec::len),
        grew: grew(&first, last),
        damage: recording.damage().map(str::to_owned),
    };
    let document = || RecordingDocument { recording: &contents };
    output.text(document, |style| view::recording::contents(&contents, style))
}

/// The first sample.
fn begin(recording: &mut Recording, file: &Path) -> anyhow::Result<(SystemTime, MachineSample)> {
    let Some(at) = recording.advance() else {
        match recording.damage() {
            Some(damage) => bail!("{damage}"),
            None => bail!("{}: nothing was recorded yet", file.display()),
        }
    };
    Ok((at, recording.sample()?))
}

fn grew(first: &MachineSample, last: &MachineSample) -> Vec<Grew> {
    let mut grew = Vec::new();
    for now in &last.processes {
        // Pids stand in order.
        let then = first.processes.binary_search_by_key(&now.pid, |process| process.pid);
        let then = then.ok().map(|at| &first.processes[at]).filter(|then| then.name == now.name);
        let rss = then.map(|then| (then.counters.as_ref(), now.counters.as_ref()));
        if let Some((Ok(then), Ok(now_counters))) = rss {
            let bytes = difference(now_counters.rss, then.rss);
            grew.push(Grew { target: now.pid.to_string(), name: now.name.clone(), bytes });
        }
    }
    let before = first.cgroups.iter().flatten();
    let before: std::collections::BTreeMap<&str, _> =
        before.map(|cgroup| (&*cgroup.path, &cgroup.usage)).collect();
    for now in last.cgroups.iter().flatten().filter(|cgroup| cgroup.leaf) {
        if let (Some(Ok(then)), Ok(usage)) = (before.get(&*now.path), &now.usage) {
            let name = cgroup_name(&now.path, &Identity::of_path(&now.path, now.names.clone()));
            let target = Target::Cgroup(now.path.clone()).to_string();
            grew.push(Grew { target, name, bytes: difference(*usage, *then) });
        }
    }
    grew.retain(|one| one.bytes > 0);
    grew.sort_by_key(|one| std::cmp::Reverse(one.bytes));
    grew.truncate(GREW);
    grew
}

/// What is said of a target: at one time, at another one, and of all time.
struct Told {
    then: Option<(SystemTime, Seen)>,
    at: (SystemTime, Seen),
    history: History,
    samples: u64,
    first: SystemTime,
}

fn explain(
    recording: Recording,
    target: &Target,
    asked: &Replay,
    output: &Output,
) -> anyhow::Result<Answer> {
    let Told { then, at: (at, seen), history, samples, first } = read(recording, target, asked)?;
    let subject = seen.subject();
    if let Some((since, then)) = then {
        let between = Between::Times(at.duration_since(since).unwrap_or_default());
        let found = diff::diff(&Side::of(then.subject()), &Side::of(subject), between);
        let found = found.ok_or_else(|| anyhow!("it was something else at that time"))?;
        let text = output.text(|| json::diff(&found), |style| view::diff::page(&found, style))?;
        return Ok(Answer::of(text, reason::is_denied(subject)));
    }
    let output = &Output { style: output.style, json: output.json, time: at };
    let document = || json::explanation(subject, seen.others());
    let text = output.text(document, |style| {
        let shown = page::Shown { maps: asked.maps, findings: asked.all };
        let mut text = page::page(subject, seen.others(), shown, style);
        if !matches!(subject, Subject::Host(_)) {
            let growth = Growth::of(history.iter());
            text += &view::recording::past((first, at), samples, growth, style);
        }
        text
    })?;
    Ok(Answer::of(text, reason::is_denied(subject)))
}

/// Reads all samples up to the time that is asked for.
fn read(mut recording: Recording, target: &Target, asked: &Replay) -> anyhow::Result<Told> {
    let (begin, mut sample) = begin(&mut recording, &asked.file)?;
    let when = |when: When| match when {
        When::At(time) => time,
        When::After(time) => begin.checked_add(time).unwrap_or(begin),
    };
    let (until, since) = (asked.at.map(when), asked.since.map(when));
    let is_later = |time: SystemTime, than: Option<SystemTime>| than.is_some_and(|t| time > t);
    if [until, since].into_iter().any(|asked| is_later(begin, asked)) {
        bail!("{} begins at {}: ask for a later time", asked.file.display(), json::rfc3339(begin));
    }
    let (mut history, mut samples) = (History::default(), 0);
    let (mut then, mut last, mut first) = (None, None, begin);
    let mut lack = None;
    let mut time = begin;
    loop {
        match find_in(&sample, target) {
            Ok(found) => {
                if let Some(seen) = of_machine(&Machine::of(&sample), found) {
                    if samples == 0 {
                        first = time;
                    }
                    samples += 1;
                    let passed = time.duration_since(begin).unwrap_or(Duration::ZERO);
                    point(&seen).map(|point| history.push(passed, point));
                    let seen = (time, seen);
                    if since.is_some() && !is_later(time, since) {
                        then = Some(seen);
                    } else {
                        last = Some(seen);
                    }
                }
            }
            Err(error) => lack = Some(error),
        }
        match recording.advance() {
            Some(next) if !is_later(next, until) => time = next,
            _ => break,
        }
        sample = recording.sample()?;
    }
    match (then, last, lack) {
        (None, _, _) if since.is_some() => {
            bail!("{target} was not there at the first of the times")
        }
        (then, Some(at), _) => Ok(Told { then, at, history, samples, first }),
        (_, None, Some(error)) => Err(error.into()),
        (_, None, None) => bail!("{target} has no later sample"),
    }
}

fn point(seen: &Seen) -> Option<Point> {
    match seen.subject() {
        Subject::Process(process) => Some(Point::of_process(process)),
        Subject::Cgroup(cgroup) => Some(Point::of_cgroup(cgroup)),
        Subject::Host(_) => None,
    }
}
