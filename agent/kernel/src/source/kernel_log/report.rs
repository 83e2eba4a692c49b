//! The lines of one kill after the other, from `dump_header` to `__oom_kill_process` of
//! mm/oom_kill.c, as Linux 4.19 to 6.18 print them.

use std::collections::VecDeque;
use std::time::Duration;

use memgap_ledger::oom::{OomKill, Report, Short};

use super::paths;
use super::shortage::{self, Shortage};
use crate::text;

/// Kills that are kept, the last ones.
const MAX_KILLS: usize = 256;
/// Bytes of a process's name that the kernel keeps.
const NAME: usize = 15;
/// A report is over, however it went on, when so much time has passed.
const LONG: Duration = Duration::from_mins(1);

const CHOSEN: &str = "Kill process ";
const KILLED: &str = "Killed process ";

/// What the lines so far told.
pub struct Reports {
    page: u64,
    kills: VecDeque<OomKill>,
    left_out: u64,
    draft: Option<Draft>,
    /// Up to 5.1 a line of its own says whose memory was short.
    short: Option<Short>,
}

/// A report that is under way.
struct Draft {
    at: Duration,
    asked_by: String,
    shortage: Shortage,
    paths: Option<(Option<String>, String)>,
    some_nodes: bool,
    /// The process that was chosen, where its pid was told already.
    chosen: Option<u32>,
    /// It has been killed: who else is belongs to the group.
    is_done: bool,
    group: Option<String>,
}

impl Reports {
    pub fn new(page: u64) -> Self {
        Self { page, kills: VecDeque::new(), left_out: 0, draft: None, short: None }
    }

    /// Forgets the report that is under way.
    pub fn forget(&mut self) {
        self.draft = None;
        self.short = None;
    }

    pub fn kills(self) -> (Vec<OomKill>, u64) {
        (self.kills.into(), self.left_out)
    }

    /// Takes one line of the kernel's.
    pub fn take(&mut self, at: Duration, line: &[u8]) {
        if self.draft.as_ref().is_some_and(|draft| at.saturating_sub(draft.at) > LONG) {
            self.forget();
        }
        let text = String::from_utf8_lossy(line);
        if let Some((asked_by, _)) = text.rsplit_once(" invoked oom-killer: gfp_mask=") {
            // A name is no longer: the line begins with it.
            if asked_by.len() <= NAME * char::REPLACEMENT_CHARACTER.len_utf8() {
                self.draft = Some(Draft::new(at, name(asked_by)));
                self.short = None;
            }
            return;
        }
        let (short, rest) = short(&text);
        if let Some(chosen) = rest.strip_prefix(CHOSEN) {
            self.short = short;
            let pid = chosen.split(' ').next().and_then(|pid| pid.parse().ok());
            if let Some(draft) = &mut self.draft {
                draft.chosen = draft.chosen.or(pid);
            }
        } else if let Some(killed) = rest.strip_prefix(KILLED) {
            let short = short.or(self.short);
            if let Some(kill) = short.and_then(|short| self.kill(at, short, killed)) {
                self.keep(kill);
            }
        } else if let Some(draft) = &mut self.draft {
            draft.take(&text, self.page);
        }
    }

    fn keep(&mut self, kill: OomKill) {
        if self.kills.len() == MAX_KILLS {
            self.kills.pop_front();
            self.left_out += 1;
        }
        self.kills.push_back(kill);
    }

    /// `PID (NAME) total-vm:..kB, anon-rss:..kB, file-rss:..kB, shmem-rss:..kB, UID:..
    /// pgtables:..kB oom_score_adj:..`; up to 5.2 a `, UID ..` may stand after the name.
    fn kill(&mut self, at: Duration, short: Short, text: &str) -> Option<OomKill> {
        let (who, sizes) = text.rsplit_once(" total-vm:")?;
        let (pid, named) = who.split_once(" (")?;
        let pid = pid.parse().ok()?;
        let (named, _) = named.rsplit_once(')')?;
        let size = |key: &str| kilobytes(sizes, key);
        let mut kill = OomKill {
            at,
            pid,
            name: name(named),
            short,
            anon: size("anon-rss:")?,
            file: size("file-rss:")?,
            shmem: size("shmem-rss:")?,
            page_tables: size("pgtables:"),
            score_adj: after(sizes, "oom_score_adj:").and_then(|word| word.parse().ok()),
            report: None,
            group: None,
        };
        self.attach(&mut kill);
        Some(kill)
    }

    /// Gives a kill the report that is its own: a kill may have none.
    fn attach(&mut self, kill: &mut OomKill) {
        let page = self.page;
        let Some(draft) = &mut self.draft else { return };
        let is_chosens = !draft.is_done && draft.chosen == Some(kill.pid);
        // Up to 5.1 a child of the one that was chosen may be killed for it.
        let is_childs = !draft.is_done && self.short.is_some();
        let is_groups = draft.is_done && draft.group.is_some() && draft.shortage.has(kill.pid);
        if is_chosens || is_childs {
            draft.is_done = true;
        } else if is_groups {
            kill.group.clone_from(&draft.group);
        } else {
            return;
        }
        kill.report = Some(draft.report(kill.short, page));
    }
}

impl Draft {
    fn new(at: Duration, asked_by: String) -> Self {
        Self {
            at,
            asked_by,
            shortage: Shortage::default(),
            paths: None,
            some_nodes: false,
            chosen: None,
            is_done: false,
            group: None,
        }
    }

    fn take(&mut self, text: &str, page: u64) {
        if let Some(summary) = text.strip_prefix("oom-kill:constraint=") {
            self.summary(summary);
        } else if let Some(paths) = text.strip_prefix("Task in ") {
            let between = " killed as a result of limit of ";
            let found = paths::nested_last(paths, between);
            self.paths = found.map(|(task, limit)| (Some(limit.to_owned()), task.to_owned()));
        } else if let Some(group) = text.strip_prefix("Tasks in ") {
            let end = " are going to be killed due to memory.oom.group set";
            self.group = group.strip_suffix(end).map(str::to_owned);
        } else if !self.is_done {
            self.shortage.take(text, page);
        }
    }

    /// `CONSTRAINT,nodemask=..,cpuset=..,mems_allowed=..[,global_oom][,oom_memcg=PATH]
    /// [,task_memcg=PATH],task=NAME,pid=PID,uid=UID`; from 5.0.
    fn summary(&mut self, text: &str) {
        let Some((rest, uid)) = text.rsplit_once(",uid=") else { return };
        let Some((rest, pid)) = rest.rsplit_once(",pid=") else { return };
        let (Ok(_), Ok(pid)) = (uid.parse::<u64>(), pid.parse()) else { return };
        self.chosen = Some(pid);
        self.some_nodes = ["CONSTRAINT_CPUSET,", "CONSTRAINT_MEMORY_POLICY,"]
            .iter()
            .any(|constraint| text.starts_with(constraint));
        // The name of the cpuset comes first, and may hold any of these words.
        let limit = rest.split_once(",oom_memcg=").map(|(_, rest)| rest);
        let mut wholes = rest.split(",global_oom,task_memcg=").skip(1);
        let whole = wholes.next().filter(|_| wholes.next().is_none());
        self.paths = match (limit, whole) {
            (Some(rest), None) => unnamed(rest).and_then(|rest| {
                let (limit, task) = paths::nested(rest, ",task_memcg=")?;
                Some((Some(limit.to_owned()), task.to_owned()))
            }),
            (None, Some(rest)) => unnamed(rest).map(|task| (None, task.to_owned())),
            _ => None,
        };
    }

    fn report(&self, short: Short, page: u64) -> Report {
        let mut report = self.shortage.report(short, page);
        report.asked_by.clone_from(&self.asked_by);
        report.some_nodes = self.some_nodes;
        // A cgroup whose limit was met is none where it was the machine's memory.
        if let Some((limit, task)) = &self.paths
            && limit.is_some() == (short == Short::Cgroup)
        {
            report.limit_of.clone_from(limit);
            report.task_cgroup = Some(task.clone());
        }
        report
    }
}

/// Without `,task=NAME` at its end. `None` where the end of the path can not be told.
fn unnamed(text: &str) -> Option<&str> {
    let (path, name) = text.split_once(",task=")?;
    (!name.contains(",task=")).then_some(path)
}

/// What was short, and the rest of a line that says so.
fn short(text: &str) -> (Option<Short>, &str) {
    if let Some(rest) = text.strip_prefix("Memory cgroup out of memory: ") {
        return (Some(Short::Cgroup), rest);
    }
    let machine = ["Out of memory: ", "Out of memory (oom_kill_allocating_task): "];
    let rest = machine.iter().find_map(|start| text.strip_prefix(start));
    rest.map_or((None, text), |rest| (Some(Short::Machine), rest))
}

/// The word behind a key.
fn after<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(key)?;
    rest.split([' ', ',']).next()
}

fn kilobytes(text: &str, key: &str) -> Option<u64> {
    shortage::kilobytes(after(text, key)?)
}

fn name(text: &str) -> String {
    text::printable(text.as_bytes(), NAME)
}
