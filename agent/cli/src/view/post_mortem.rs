//! Why something was killed, to a person.

use std::time::{Duration, SystemTime};

use memgap_json::rfc3339;
use memgap_ledger::figure::signed;
use memgap_ledger::oom::{OomKill, Report};
use memgap_ledger::post_mortem::{PostMortem, span};
use memgap_ledger::size::iec;

use super::terminal::{Ink, Style, pad};

/// Kills that are listed behind the last one.
const EARLIER: usize = 8;
/// Processes that are listed.
const TASKS: usize = 4;
/// Where what belongs to a label begins.
const COLUMN: usize = 19;

/// The page.
pub fn page(found: &PostMortem, now: SystemTime, style: &Style) -> String {
    let verdict = style.paint(Ink::Strong, &style.wrap(&found.verdict(), 0, 0)) + "\n";
    let mut sections = vec![verdict];
    if let Some((last, earlier)) = found.kills.split_first() {
        sections.push(kill(last, &at(found, last, now), style));
        sections.push(list(found, earlier, now, style));
    }
    sections.push(notes(&found.notes(), style));
    sections.retain(|section| !section.is_empty());
    sections.join("\n")
}

fn at(found: &PostMortem, kill: &OomKill, now: SystemTime) -> String {
    rfc3339(before(now, found.ago(kill)))
}

fn before(now: SystemTime, ago: Duration) -> SystemTime {
    now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn kill(kill: &OomKill, time: &str, style: &Style) -> String {
    let mut text = labelled("when", time, style);
    let group = if kill.group.is_some() { ", killed as a whole (memory.oom.group)" } else { "" };
    if let Some(cgroup) = kill.cgroup() {
        text += &labelled("cgroup", &format!("{cgroup}{group}"), style);
    }
    text += &labelled("by whose limit", &limit(kill), style);
    text += &held(kill, style);
    if let Some(report) = &kill.report {
        text += &tasks(kill, report, style);
    }
    text += &several("what it was not", &kill.was_not(), style);
    text += &several("what to do", &kill.advice(), style);
    text
}

fn limit(kill: &OomKill) -> String {
    let used = kill.report.as_ref().and_then(|report| report.usage);
    let used = used.map_or(String::new(), |used| format!(", with {} used", iec(signed(used))));
    kill.whose() + &used
}

fn held(kill: &OomKill, style: &Style) -> String {
    let used = kill.used().unwrap_or(0);
    let mut text = String::new();
    for (kind, bytes) in kill.held().into_iter().filter(|(_, bytes)| *bytes > 0) {
        let share = bytes as f64 / used.max(1) as f64 * 100.0;
        let label = if text.is_empty() { "what held it" } else { "" };
        let line = format!("{:>9}  {share:>3.0} %  {kind}", iec(signed(bytes)));
        text += &row(label, &line, style);
    }
    text
}

fn tasks(kill: &OomKill, report: &Report, style: &Style) -> String {
    let mut text = String::new();
    let rank = |pid: u32| report.tasks.iter().position(|task| task.pid == pid);
    let is_far = rank(kill.pid).is_some_and(|at| at >= TASKS);
    let shown = report.tasks.iter().take(TASKS);
    let victim = report.tasks.iter().filter(|task| is_far && task.pid == kill.pid);
    for task in shown.chain(victim) {
        let label = if text.is_empty() { "processes" } else { "" };
        let fate = if task.pid == kill.pid { ", killed" } else { "" };
        let line =
            format!("{:>9}  {} (pid {}){fate}", iec(signed(task.bytes)), task.name, task.pid);
        text += &row(label, &line, style);
    }
    let more = report.task_count.saturating_sub(TASKS);
    if more > 0 {
        let sum = iec(signed(report.task_bytes));
        text += &row("", &format!("and {more} more, {sum} in all"), style);
    }
    text
}

fn list(found: &PostMortem, earlier: &[OomKill], now: SystemTime, style: &Style) -> String {
    let mut text = String::new();
    for kill in earlier.iter().take(EARLIER) {
        let limit = kill.report.as_ref().and_then(|report| report.limit_of.as_deref());
        let limit = limit.map_or(String::new(), |path| format!(", limit of {path}"));
        let line = format!(
            "{}  {} (pid {}), {}{limit}",
            at(found, kill, now),
            kill.name,
            kill.pid,
            iec(signed(kill.bytes()))
        );
        text += &labelled(if text.is_empty() { "before" } else { "" }, &line, style);
    }
    if earlier.len() > EARLIER {
        let oldest = earlier.last().map_or(Duration::ZERO, |kill| found.ago(kill));
        let more = earlier.len() - EARLIER;
        text += &labelled("", &format!("and {more} more, the first {} ago", span(oldest)), style);
    }
    text
}

fn notes(notes: &[String], style: &Style) -> String {
    let line = |note: &String| style.paint(Ink::Faint, &style.wrap(note, 2, 4));
    let lines: Vec<String> = notes.iter().map(|note| format!("  {}\n", line(note))).collect();
    lines.concat()
}

/// Sentences, the first one behind the label.
fn several(label: &str, sentences: &[String], style: &Style) -> String {
    let mut text = String::new();
    for sentence in sentences {
        text += &labelled(if text.is_empty() { label } else { "" }, sentence, style);
    }
    text
}

fn labelled(label: &str, sentence: &str, style: &Style) -> String {
    let body = style.wrap(sentence, COLUMN, COLUMN);
    format!("  {}{body}\n", style.paint(Ink::Faint, &pad(label, COLUMN - 2)))
}

/// A line that is laid out already.
fn row(label: &str, line: &str, style: &Style) -> String {
    let line = style.fit(line, style.width.saturating_sub(COLUMN));
    format!("  {}{line}\n", style.paint(Ink::Faint, &pad(label, COLUMN - 2)))
}
