//! Why something was killed: by whose limit, what held the memory, what it was not, what to
//! do. Made of what the kernel's log and the counters of cgroups tell, after the fact.

mod advice;
mod words;

use std::time::Duration;

use crate::fact::Fact;
use crate::figure::signed;
use crate::oom::{Counted, KernelLog, OomKill, Short};
use crate::size::iec;
pub use words::span;

/// Less than this is not worth a word.
const MATTERS: u64 = 4 << 20;

/// What is known of kills of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostMortem {
    /// What was asked about, as it was asked.
    pub target: String,
    /// Whether it is there now.
    pub is_there: bool,
    /// Kills of it, the last one first.
    pub kills: Vec<OomKill>,
    /// Kills for the limit of some cgroup, of which the log does not tell the cgroup.
    pub unplaced: usize,
    /// What its cgroup counted, and those above it.
    pub counted: Vec<Counted>,
    /// The log, without kills; or why it was not read.
    pub log: Fact<KernelLog>,
}

impl PostMortem {
    /// What is known, in one sentence.
    pub fn verdict(&self) -> String {
        let target = &self.target;
        let Some(last) = self.kills.first() else { return self.nothing() };
        let when = format!("{} ago", span(self.ago(last)));
        let (name, pid) = (&last.name, last.pid);
        let others = match self.kills.len() {
            1 => String::new(),
            n => format!("; {} in the kernel's log", words::kills(n as u64)),
        };
        let of = if self.is_of(last) { String::new() } else { format!(" of {target}") };
        format!("{name} (pid {pid}){of} was killed {when}: {}{others}", last.whose())
    }

    /// Whether the process that was killed is what was asked about.
    fn is_of(&self, kill: &OomKill) -> bool {
        self.target == "host" || self.target == kill.name || self.target == kill.pid.to_string()
    }

    fn nothing(&self) -> String {
        let target = &self.target;
        match (&self.log, self.most_counted()) {
            (Ok(_), 0) => format!("no OOM kill of {target} is known {}", self.since()),
            (Err(_), 0) => format!(
                "no OOM kill of {target} is known; the kernel's log, which would tell, was not read"
            ),
            (Ok(_), n) => format!(
                "{target} counts {}, and the kernel's log, {}, tells of none",
                words::kills(n),
                self.begins()
            ),
            (Err(_), n) => format!(
                "{target} counts {}; the kernel's log, which tells which and why, was not read",
                words::kills(n)
            ),
        }
    }

    /// Kills that its cgroup has counted, those below it included where it counts them.
    pub fn most_counted(&self) -> u64 {
        let Some(own) = self.counted.first() else { return 0 };
        let count = |fact: &Fact<u64>| fact.as_ref().ok().copied().unwrap_or(0);
        count(&own.own).max(count(&own.with_below))
    }

    /// For how long nothing can have happened unseen.
    fn since(&self) -> String {
        match &self.log {
            Ok(log) if !log.overwritten && log.left_out == 0 => "since boot".to_owned(),
            Ok(_) => format!("since the kernel's log began, {}", self.begins()),
            Err(_) => String::new(),
        }
    }

    fn begins(&self) -> String {
        match &self.log {
            Ok(log) if log.overwritten => {
                let since = log.now.saturating_sub(log.begins);
                format!("whose first line is {} old", span(since))
            }
            _ => "which is whole".to_owned(),
        }
    }

    /// How long ago it was, by the log's clock.
    pub fn ago(&self, kill: &OomKill) -> Duration {
        self.log.as_ref().map_or(Duration::ZERO, |log| log.now.saturating_sub(kill.at))
    }

    /// What else is to be said of what is known and what is not.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Err(lack) = &self.log {
            notes.push(lack.why.to_string());
        }
        if let Ok(log) = &self.log {
            if log.overwritten {
                notes.push(format!(
                    "the kernel's log is overwritten as it goes: older kills than {} are not in it",
                    span(log.now.saturating_sub(log.begins))
                ));
            }
            if log.slept > Duration::from_secs(1) && !self.kills.is_empty() {
                notes.push(format!(
                    "the machine slept for {} since boot, for which the log's clock stood still: a kill may be \
                     longer ago by as much",
                    span(log.slept)
                ));
            }
        }
        if self.unplaced > 0 {
            notes.push(format!(
                "{} for a cgroup's limit {} in the log without the cgroup's name, for the kernel leaves \
                 reports out where they follow each other quickly",
                words::kills(self.unplaced as u64),
                if self.unplaced == 1 { "stands" } else { "stand" }
            ));
        }
        let seen = self.kills.len() as u64;
        if seen > 0 && self.most_counted() > seen {
            notes.push(format!(
                "its cgroup counts {}: the log tells of {seen}",
                words::kills(self.most_counted())
            ));
        }
        notes.extend(self.met_above());
        notes
    }

    /// Limits above that were met, by the counters alone.
    fn met_above(&self) -> Option<String> {
        if !self.kills.is_empty() || self.most_counted() == 0 {
            return None;
        }
        let met = |counted: &&Counted| counted.limit_met.as_ref().is_ok_and(|n| *n > 0);
        let met: Vec<String> = self
            .counted
            .iter()
            .filter(met)
            .map(|counted| {
                let n = counted.limit_met.as_ref().map_or(0, |n| *n);
                format!("that of {} {}", counted.path, words::times(n))
            })
            .collect();
        let (last, before) = met.split_last()?;
        let limits = if before.is_empty() {
            last.clone()
        } else {
            format!("{} and {last}", before.join(", "))
        };
        Some(format!("limits that were met with nothing left to reclaim: {limits}"))
    }
}

impl OomKill {
    /// By whose limit.
    pub fn whose(&self) -> String {
        let report = self.report.as_ref();
        let limit = report.and_then(|report| report.limit);
        let size = limit.map_or(String::new(), |limit| format!(" of {}", iec(signed(limit))));
        let what = match report {
            Some(report) if report.is_with_swap() => {
                let limit = report.with_swap.map_or(0, |(_, limit)| limit);
                format!("the limit of {} on memory and swap", iec(signed(limit)))
            }
            _ => format!("the limit{size}"),
        };
        match (self.short, report) {
            (Short::Machine, Some(report)) if report.some_nodes => {
                "the memory nodes that the asking process may use had none left".to_owned()
            }
            (Short::Machine, _) => "the machine had no memory left".to_owned(),
            (Short::Cgroup, Some(report)) => match &report.limit_of {
                Some(path) if path == "/" => format!("{what} of the topmost cgroup was met"),
                Some(path) if report.is_ancestors() => {
                    format!("{what} of {path}, above its own cgroup, was met")
                }
                Some(_) => format!("{what} of its own cgroup was met"),
                None => format!("{what} of a cgroup was met, its own or one above it"),
            },
            (Short::Cgroup, None) => {
                "the limit of a cgroup was met, its own or one above it; the kernel left its report out"
                    .to_owned()
            }
        }
    }

    /// What held the memory, the most first: kinds that add up to what was used.
    pub fn held(&self) -> Vec<(&'static str, u64)> {
        let Some(report) = &self.report else { return Vec::new() };
        let stat = &report.stat;
        let cache = stat.file.map(|file| file.saturating_sub(stat.shmem.unwrap_or(0)));
        let kinds = [
            (advice::ANON, stat.anon),
            (advice::SHMEM, stat.shmem),
            (advice::CACHE, cache),
            (advice::KERNEL, stat.kernel),
            (advice::SOCK, stat.sock),
        ];
        let mut held: Vec<_> =
            kinds.into_iter().filter_map(|(kind, bytes)| Some((kind, bytes?))).collect();
        let known = held.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let rest = report.usage.map_or(0, |usage| usage.saturating_sub(known));
        held.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        if rest >= MATTERS && !held.is_empty() {
            held.push((advice::OTHER, rest));
        }
        held
    }

    /// What was used in all; of a machine, what is known of it.
    pub fn used(&self) -> Option<u64> {
        let usage = self.report.as_ref().and_then(|report| report.usage);
        let sum = || self.held().iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        usage.or_else(|| Some(sum())).filter(|used| *used > 0)
    }

    /// What it was not, each as the end of such a sentence.
    pub fn was_not(&self) -> Vec<String> {
        let mut not = Vec::new();
        if self.short == Short::Cgroup {
            not.push("the machine: a cgroup's limit was met, whatever else was free".to_owned());
        }
        if self.report.as_ref().is_some_and(super::oom::Report::is_ancestors) {
            not.push("the limit of its own cgroup: one above it was met first".to_owned());
        }
        let Some(used) = self.used() else { return not };
        if self.bytes() < used / 4 {
            not.push(format!(
                "the process that was killed: it had {} of {}",
                iec(signed(self.bytes())),
                iec(signed(used))
            ));
        }
        let small: Vec<String> = self
            .held()
            .into_iter()
            .filter(|(kind, bytes)| *kind != advice::OTHER && *bytes < used / 10)
            .map(|(kind, bytes)| format!("{kind} ({})", iec(signed(bytes))))
            .collect();
        if !small.is_empty() {
            not.push(small.join(", "));
        }
        not
    }
}

#[cfg(test)]
mod tests;
