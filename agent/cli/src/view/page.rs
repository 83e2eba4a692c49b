//! The page that explains a process, a cgroup or the host to a person.

use memgap_ledger::account::{RSS, VSZ};
use memgap_ledger::finding::{self, Finding, Severity, Subject};
use memgap_ledger::headlines::{self, Headline, label};
use memgap_ledger::sample::{CgroupVersion, ProcessKind};
use memgap_ledger::size::iec;
use memgap_ledger::{
    Account, CgroupLedger, Entry, Figure, HostLedger, ProcessLedger, gap, note, reason, verdict,
};

use super::table::{runtime_line, unread_line};
use super::terminal::{Ink, Style, pad};
use super::waterfall::{self, Chart, between};
use super::{mappings, second};

/// What is shown in full.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown {
    /// All mappings that hold much, not the largest alone.
    pub maps: bool,
    /// All findings, not the first alone.
    pub findings: bool,
}

/// Findings that are shown where not all are asked for.
const FINDINGS: usize = 3;

/// The whole page. `others` are processes of the same name.
pub fn page(subject: Subject<'_>, others: &[u32], shown: Shown, style: &Style) -> String {
    let found = finding::findings(subject);
    let sections = [
        title(subject, &found, others, style),
        findings(&found, shown.findings, style),
        figures(subject, style),
        runtimes(subject, style),
        chart(subject, style),
        mappings::section(subject, shown.maps, style),
        second::sources(subject, style),
        gaps(subject, style),
        notes(subject, style),
        unknown(subject, style),
        quality(subject, style),
    ];
    let filled: Vec<String> = sections.into_iter().filter(|s| !s.is_empty()).collect();
    filled.join("\n")
}

/// Says that `--deep` would tell more, where heap statistics leave open what is in use.
pub fn deeper(subject: Subject<'_>, style: &Style) -> String {
    let Subject::Process(process) = subject else { return String::new() };
    let rss = process.headline.rss.point().unwrap_or(0);
    let in_use = process.ledger.figure(Account::HeapInUse);
    let is_open = in_use.bounds().is_some_and(|(low, high)| high.saturating_sub(low) > rss / 20);
    if !is_open {
        return String::new();
    }
    let text = style.wrap(
        "--deep reads the heap statistics page by page, and narrows what is in use",
        2,
        4,
    );
    format!("  {}\n", style.paint(Ink::Faint, &text))
}

/// The verdict, and which target it is of.
fn title(subject: Subject<'_>, found: &[Finding], others: &[u32], style: &Style) -> String {
    let notes = match subject {
        Subject::Process(p) => of_process(p, others),
        Subject::Cgroup(c) => of_cgroup(c),
        Subject::Host(_) => Vec::new(),
    };
    let ink = match found.first().map(|finding| finding.severity) {
        Some(Severity::Warning | Severity::Critical) => Ink::Alert,
        Some(Severity::Info) | None => Ink::Strong,
    };
    let verdict = style.wrap(&verdict::verdict(subject, found), 0, 2);
    let mut text = style.paint(ink, &verdict) + "\n";
    for note in notes {
        text += &style.paint(Ink::Faint, &style.wrap(&note, 0, 2));
        text.push('\n');
    }
    text
}

fn of_process(process: &ProcessLedger, others: &[u32]) -> Vec<String> {
    let (kind, note) = match process.kind {
        ProcessKind::User => ("", ""),
        ProcessKind::Kernel => (", a kernel thread", ": it has no memory of its own"),
        ProcessKind::Zombie => (", a zombie", ": it has ended and its memory is given back"),
    };
    let cgroup = process.cgroup.as_ref().map_or(String::new(), |path| format!(" in cgroup {path}"));
    let line = format!("process {}{kind}{cgroup}{note}", process.pid);
    let mut notes = vec![line];
    if !others.is_empty() {
        let shown: Vec<String> = others.iter().take(8).map(u32::to_string).collect();
        let more = if others.len() > shown.len() { " ..." } else { "" };
        let count = others.len();
        notes.push(format!("{count} more of this name: {}{more}", shown.join(" ")));
    }
    notes
}

fn of_cgroup(cgroup: &CgroupLedger) -> Vec<String> {
    let version = match cgroup.version {
        CgroupVersion::V1 => "cgroup v1",
        CgroupVersion::V2 => "cgroup v2",
    };
    let count = match cgroup.processes {
        Some(1) => ", 1 process".to_owned(),
        Some(n) => format!(", {n} processes"),
        None => String::new(),
    };
    let mut notes = vec![format!("{version}{count}")];
    if headlines::cgroup_name(&cgroup.path, &cgroup.identity) != cgroup.path {
        notes.push(cgroup.path.clone());
    }
    notes
}

fn figures(subject: Subject<'_>, style: &Style) -> String {
    let limit = match subject {
        Subject::Cgroup(c) => c.headline.limit.filter(|limit| *limit > 0),
        _ => None,
    };
    let mut text = String::new();
    for line in headlines::figures(subject).into_iter().filter(|line| !line.is_idle()) {
        let (mark, size) = match line.figure {
            Figure::Absent if line.name == "limit" => ("", "none".to_owned()),
            Figure::Absent => ("", "unknown".to_owned()),
            figure => (mark(figure), iec(figure.point().unwrap_or(0))),
        };
        let mut head = format!("  {}{:>10}", pad(line.label, 14), format!("{mark}{size}"));
        let mut means = line.meaning.to_owned();
        if let (Some(limit), Some(point), true) = (limit, line.figure.point(), line.meets_limit()) {
            means += &format!(", {:.0}% of limit", point as f64 / limit as f64 * 100.0);
        }
        let share = headlines::partly_read(subject).filter(|_| line.name == "in_use");
        if let (Some(share), Some((low, _))) = (share, line.figure.bounds()) {
            head = format!("  {}{:>10}", pad(line.label, 14), format!(">={}", iec(low)));
            means = at_least(&line, low, share);
        }
        if let Figure::Interval { low, high, .. } = line.figure {
            means = format!("{} {means}", between(low, high));
        }
        let means = style.wrap(&means, 29, 29);
        text +=
            &format!("{}   {}\n", style.paint(Ink::Strong, &head), style.paint(Ink::Faint, &means));
    }
    text
}

/// Whose heap statistics were read, what they tell beside the accounts, and whose were not.
fn runtimes(subject: Subject<'_>, style: &Style) -> String {
    let Subject::Process(process) = subject else { return String::new() };
    let line = |line: String| format!("  {}\n", style.wrap(&line, 2, 4));
    let read = process.runtimes.iter().map(|runtime| line(runtime_line(runtime)));
    read.chain(process.unread.iter().map(|unread| line(unread_line(unread, style)))).collect()
}

/// What is in use of memory that is read in part: only the low bound is a least.
fn at_least(line: &Headline, low: i64, share: f64) -> String {
    let estimate = line.figure.point().filter(|point| *point != low);
    let estimate = estimate.map_or(String::new(), |point| format!(", {} by estimate", iec(point)));
    let share = (share * 100.0).floor();
    format!("at least{estimate}, {}: {share:.0} % of its memory is read", line.meaning)
}

fn mark(figure: Figure) -> &'static str {
    if matches!(figure, Figure::Interval { .. }) { "~" } else { "" }
}

fn chart(subject: Subject<'_>, style: &Style) -> String {
    match subject {
        Subject::Process(process) => process_chart(process, style),
        Subject::Cgroup(cgroup) => super::cgroup_chart::chart(cgroup, style),
        Subject::Host(host) => host_chart(host, style),
    }
}

/// Two blocks, each on its own scale: a ballast would flatten the first.
fn process_chart(process: &ProcessLedger, style: &Style) -> String {
    let of = |axis: &'static [Account]| axis.iter().map(|account| process.ledger.entry(*account));
    let rss = process.headline.rss.point().unwrap_or(0);
    let mut text = block(&waterfall::steps(of(RSS)), rss, "RSS", style);
    let beyond = process.headline.vsz.point().map_or(0, |vsz| vsz.saturating_sub(rss));
    let outer = block(&waterfall::steps(of(VSZ)), beyond, "VSZ - RSS", style);
    if !outer.is_empty() {
        text += &format!("\n{outer}");
    }
    text
}

fn host_chart(host: &HostLedger, style: &Style) -> String {
    let total = host.headline.total.point().unwrap_or(0);
    block(&waterfall::steps(host.ledger.entries()), total, "MemTotal", style)
}

fn block(steps: &[waterfall::Step], whole: i64, name: &'static str, style: &Style) -> String {
    let chart = Chart::new(*style, whole, steps);
    let mut rows: Vec<_> =
        steps.iter().filter(|s| s.is_booked()).map(waterfall::Step::row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut text: String = rows.iter().map(|row| chart.line(row)).collect();
    let total = waterfall::total(name, whole);
    text += &chart.rule();
    text += &chart.line(&total);
    rows.push(total);
    text + &chart.legend(&rows)
}

fn gaps(subject: Subject<'_>, style: &Style) -> String {
    let gaps = match subject {
        Subject::Process(p) => gap::of_process(p),
        Subject::Cgroup(c) => gap::of_cgroup(c),
        Subject::Host(h) => gap::of_host(h),
    };
    let mut text = String::new();
    for gap in gaps {
        let (from, to) = (label(gap.from), label(gap.to));
        let sentence = format!("{from} exceeds {to} by {}: {}", iec(gap.bytes), gap.why);
        text += &format!("  {}\n", style.wrap(&sentence, 2, 4));
    }
    text
}

fn notes(subject: Subject<'_>, style: &Style) -> String {
    let line = |note: String| format!("  {}\n", style.wrap(&note, 2, 4));
    note::notes(subject).into_iter().map(line).collect()
}

fn findings(findings: &[Finding], all: bool, style: &Style) -> String {
    let mut text = String::new();
    let most = if all { findings.len() } else { FINDINGS.min(findings.len()) };
    let (shown, left_out) = findings.split_at(most);
    for finding in shown {
        let ink = if finding.severity == Severity::Info { Ink::Strong } else { Ink::Alert };
        let head = format!("{}: {}", finding.severity.name(), finding.id);
        let sure = finding.confidence.name();
        text += &format!("  {}, {sure}\n", style.paint(ink, &head));
        for sentence in [
            finding.summary.clone(),
            format!("evidence: {}", finding.evidence.join("; ")),
            format!("it is not {}", finding.is_not),
            format!("remedy: {}", finding.remedy),
        ] {
            text += &format!("    {}\n", style.wrap(&sentence, 4, 6));
        }
    }
    if !left_out.is_empty() {
        let names: Vec<&str> = left_out.iter().map(|finding| finding.id).collect();
        let count = left_out.len();
        let sentence = format!("{count} more with --all: {}", names.join(", "));
        text += &format!("  {}\n", style.paint(Ink::Faint, &style.wrap(&sentence, 2, 4)));
    }
    text
}

/// The name of what stands beside the runtimes that were read.
const RUNTIME: &str = "runtime";

/// What was not read, once for each reason. An account is named where nothing
/// broader falls with it; that a runtime lacks another's accounts is no news.
fn unknown(subject: Subject<'_>, style: &Style) -> String {
    let from_statistics = |what: &str| {
        let mut entries = reason::ledger(subject).entries();
        entries.any(|e| e.account.name() == what && e.account.is_from_statistics())
    };
    let mut reasons = reason::broad(subject);
    let reported = reasons.len();
    for reason in reason::reasons(subject).into_iter().filter(|r| !from_statistics(r.what)) {
        if !reasons[..reported].iter().any(|r| r.why == reason.why || r.what == reason.what) {
            reasons.push(reason);
        }
    }
    let mut grouped: Vec<(Vec<&str>, String)> = Vec::new();
    for reason in reasons.into_iter().filter(|r| !["limit", RUNTIME].contains(&r.what)) {
        match grouped.iter_mut().find(|(_, why)| *why == reason.why) {
            Some((names, _)) => names.push(label(reason.what)),
            None => grouped.push((vec![label(reason.what)], reason.why)),
        }
    }
    let mut text = String::new();
    for (names, why) in grouped {
        let sentence = format!("not known: {}: {why}", names.join(", "));
        text += &format!("  {}\n", style.paint(Ink::Faint, &style.wrap(&sentence, 2, 4)));
    }
    text
}

/// How good the answer is: what nobody explains, from where, how old.
fn quality(subject: Subject<'_>, style: &Style) -> String {
    let entries: Vec<Entry> = reason::ledger(subject).entries().collect();
    let mut sources: Vec<&str> =
        entries.iter().map(|e| e.source).filter(|s| !s.is_empty()).collect();
    sources.sort_unstable();
    sources.dedup();
    if sources.is_empty() {
        return String::new();
    }
    let age = entries.iter().map(|e| e.age).max().unwrap_or_default();
    let share = match subject {
        Subject::Process(p) => p.unexplained_share(),
        Subject::Cgroup(c) => residual(c.headline.usage, &entries),
        Subject::Host(h) => residual(h.headline.total, &entries),
    };
    let share = share.map_or(String::new(), |s| format!("{:.1}% not explained; ", s * 100.0));
    let age = age.as_secs_f64();
    let age = if age < 0.05 { String::new() } else { format!(", {age:.1} s old") };
    let sentence = format!("quality: {share}read from {}{age}", sources.join(", "));
    format!("  {}\n", style.paint(Ink::Faint, &style.wrap(&sentence, 2, 4)))
}

/// The residual accounts' share of the whole, without regard to sign.
fn residual(whole: Figure, entries: &[Entry]) -> Option<f64> {
    let whole = whole.point().filter(|whole| *whole > 0)?;
    let unknown: i64 = entries
        .iter()
        .filter(|e| e.account.is_residual())
        .filter_map(|e| e.figure.point())
        .fold(0, |sum, point| sum.saturating_add(point.saturating_abs()));
    Some(unknown as f64 / whole as f64)
}
