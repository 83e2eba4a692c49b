//! `memgap why TARGET`.

use std::time::{Duration, SystemTime};

use memgap_ledger::Fact;
use memgap_ledger::oom::{Counted, OomKill, Short};
use memgap_ledger::post_mortem::PostMortem;
use serde::Serialize;

use crate::absent::{AbsentJson, because};
use crate::time::rfc3339;

/// What is known of kills of a target.
#[derive(Debug, Serialize)]
pub struct PostMortemJson<'p> {
    target: &'p str,
    is_there: bool,
    verdict: String,
    kills: Vec<KillJson<'p>>,
    /// Kills for some cgroup's limit whose cgroup the log does not tell.
    unplaced: usize,
    counted: Vec<CountedJson<'p>>,
    log: Option<LogJson>,
    notes: Vec<String>,
    absent: Vec<AbsentJson>,
}

#[derive(Debug, Serialize)]
struct LogJson {
    begins: String,
    overwritten: bool,
}

/// One kill.
#[derive(Debug, Serialize)]
pub struct KillJson<'p> {
    time: String,
    pid: u32,
    name: &'p str,
    short: &'static str,
    cgroup: Option<&'p str>,
    group_kill: bool,
    limit_of: Option<&'p str>,
    limit: Option<u64>,
    usage: Option<u64>,
    anon: u64,
    file: u64,
    shmem: u64,
    held: Vec<HeldJson>,
    processes: Vec<TaskJson<'p>>,
    process_count: Option<usize>,
    whose: String,
    was_not: Vec<String>,
    advice: Vec<String>,
}

#[derive(Debug, Serialize)]
struct HeldJson {
    name: &'static str,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct TaskJson<'p> {
    pid: u32,
    name: &'p str,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct CountedJson<'p> {
    path: &'p str,
    own: Option<u64>,
    with_below: Option<u64>,
    limit_met: Option<u64>,
}

/// What is known at `now`, which is when it was read.
pub fn post_mortem(found: &PostMortem, now: SystemTime) -> PostMortemJson<'_> {
    let log = found.log.as_ref();
    PostMortemJson {
        target: &found.target,
        is_there: found.is_there,
        verdict: found.verdict(),
        kills: found.kills.iter().map(|kill| of_kill(kill, before(now, found.ago(kill)))).collect(),
        unplaced: found.unplaced,
        counted: found.counted.iter().map(counted).collect(),
        log: log.ok().map(|log| LogJson {
            begins: before(now, log.now.saturating_sub(log.begins)),
            overwritten: log.overwritten,
        }),
        notes: found.notes(),
        absent: log.err().map(|lack| because("kernel_log", lack)).into_iter().collect(),
    }
}

fn of_kill(kill: &OomKill, time: String) -> KillJson<'_> {
    let report = kill.report.as_ref();
    let tasks = report.map_or(&[][..], |report| &report.tasks);
    KillJson {
        time,
        pid: kill.pid,
        name: &kill.name,
        short: match kill.short {
            Short::Cgroup => "cgroup",
            Short::Machine => "machine",
        },
        cgroup: kill.cgroup(),
        group_kill: kill.group.is_some(),
        limit_of: report.and_then(|report| report.limit_of.as_deref()),
        limit: report.and_then(|report| report.limit),
        usage: report.and_then(|report| report.usage),
        anon: kill.anon,
        file: kill.file,
        shmem: kill.shmem,
        held: kill.held().into_iter().map(|(name, bytes)| HeldJson { name, bytes }).collect(),
        processes: tasks
            .iter()
            .map(|task| TaskJson { pid: task.pid, name: &task.name, bytes: task.bytes })
            .collect(),
        process_count: report.map(|report| report.task_count),
        whose: kill.whose(),
        was_not: kill.was_not(),
        advice: kill.advice(),
    }
}

fn counted(counted: &Counted) -> CountedJson<'_> {
    let number = |fact: &Fact<u64>| fact.as_ref().ok().copied();
    CountedJson {
        path: &counted.path,
        own: number(&counted.own),
        with_below: number(&counted.with_below),
        limit_met: number(&counted.limit_met),
    }
}

fn before(now: SystemTime, ago: Duration) -> String {
    rfc3339(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH))
}
