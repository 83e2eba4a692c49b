//! Tables: processes, cgroups, accounts.

use memgap_json::{Counts, Known, axis};
use memgap_ledger::headlines::cgroup_name;
use memgap_ledger::size::iec;
use memgap_ledger::{
    CgroupLedger, Coverage, Figure, Identity, Missing, ProcessLedger, Program, Runtime, Scope,
    Unread,
};

use unicode_width::UnicodeWidthStr;

use super::terminal::{Ink, Style, pad};

/// Lacks of a capture that are worth a line.
const REASONS: usize = 10;

/// One program a line, in the order given.
pub fn programs(programs: &[Program], style: &Style) -> String {
    let head = format!(
        "{:>9} {:>9} {:>10} {:>9} {:>9} {:>9}  PROGRAM",
        "RSS", "PSS", "IN USE", "FREE", "LAZY", "NOT READ"
    );
    let mut text = style.paint(Ink::Strong, &head) + "\n";
    for program in programs {
        let in_use = match program.in_use.bounds() {
            // The estimate is of what was read: only the low bound is a least.
            Some((low, _)) if program.is_partly_read() => format!(">={}", iec(low)),
            _ => size(program.in_use),
        };
        let figures = format!(
            "{:>9} {:>9} {in_use:>10} {:>9} {:>9} {:>9}",
            size(program.rss),
            size(program.pss),
            size(program.free),
            size(program.lazy),
            size(program.not_read),
        );
        let room = style.width.saturating_sub(figures.len() + 2);
        text += format!("{figures}  {}", title(program, room, style)).trim_end();
        text.push('\n');
    }
    text
}

/// Its name and pid, or how many processes it has; what of it is not read; the end of its
/// cgroup's name, where that does not fit.
fn title(program: &Program, room: usize, style: &Style) -> String {
    let count = match &program.pids[..] {
        [pid] => pid.to_string(),
        pids => format!("x{}", pids.len()),
    };
    let unread: Vec<&str> = program.unread.iter().map(String::as_str).collect();
    let unread = match (program.is_partly_read(), unread.is_empty()) {
        (true, false) => format!(" ({} not read)", unread.join(", ")),
        _ => String::new(),
    };
    let name = style.fit(&format!("{} {count}{unread}", program.name), room);
    let left = room.saturating_sub(name.width() + 2);
    match program.cgroup.as_deref() {
        Some(path) if left >= LEAST => {
            let cgroup = cgroup_name(path, &Identity::of_path(path, None));
            format!("{name}  {}", style.fit_end(&cgroup, left))
        }
        _ => name,
    }
}

/// Columns below which a part of a cgroup's name tells nothing.
const LEAST: usize = 4;

/// One cgroup a line, in the order given.
pub fn cgroups(cgroups: &[CgroupLedger], style: &Style) -> String {
    let head = format!(
        "{:>9} {:>11} {:>10} {:>10} {:>9} {:>9}  CGROUP",
        "USAGE", "WORKING SET", "REQUIRED", "REQ-WS", "LIMIT", "ROOM"
    );
    let mut text = style.paint(Ink::Strong, &head) + "\n";
    for cgroup in cgroups {
        let h = &cgroup.headline;
        let limit = h.limit.map_or(Figure::Absent, Figure::exact);
        let figures = format!(
            "{:>9} {:>11} {:>10} {:>10} {:>9} {:>9}",
            size(h.usage),
            size(h.working_set),
            size(h.required),
            difference(h.required, h.working_set),
            size(limit),
            size(cgroup.room.as_ref().map_or(Figure::Absent, |room| room.bytes))
        );
        let room = style.width.saturating_sub(figures.len() + 2);
        text += &format!(
            "{figures}  {}\n",
            style.fit_end(&cgroup_name(&cgroup.path, &cgroup.identity), room)
        );
    }
    text
}

/// Every account of every scope, with its help.
pub fn accounts(style: &Style) -> String {
    let mut sections = Vec::new();
    for scope in Scope::ALL {
        let title = format!("{} (to {})", scope.name(), scope.total());
        let mut text = style.paint(Ink::Strong, &title) + "\n";
        for account in scope.accounts() {
            let name = style.paint(Ink::Class(account.class()), &pad(account.name(), 18));
            let class = pad(account.class().name(), 11);
            let axis = pad(axis(scope, account), 5);
            let help = style.wrap(account.help(), 41, 41);
            text += &format!("  {name}  {class}  {axis} {help}\n");
        }
        sections.push(text);
    }
    sections.join("\n")
}

/// The probes, and what else is named; of processes that were asked for, what each found in them, and how much
/// of their memory is explained.
pub fn probes(
    kinds: &Known<'_>,
    found: &[ProcessLedger],
    coverage: Option<&Coverage>,
    style: &Style,
) -> String {
    let mut sections: Vec<String> =
        found.iter().map(|process| statistics_of(process, style)).collect();
    match coverage {
        None => {
            sections.push(kinds.read.iter().map(|probe| known(probe, style)).collect());
            let mut names: Vec<&str> = kinds.named.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            names.dedup();
            let list = format!(
                "named where they are, and not read, or not in each form: {}",
                names.join(", ")
            );
            sections.push(style.wrap(&list, 0, 2) + "\n");
        }
        Some(coverage) => sections.push(super::coverage::summary(coverage, style)),
    }
    sections.join("\n")
}

fn known((name, about): &(&str, &str), style: &Style) -> String {
    let name = style.paint(Ink::Strong, &pad(name, 11));
    format!("{name} {}\n", style.wrap(about, 12, 12))
}

/// What was read in a process, and by which rules.
fn statistics_of(process: &ProcessLedger, style: &Style) -> String {
    let title = format!("{} {}", process.pid, process.name);
    let mut text = format!("{}\n", style.paint(Ink::Strong, &style.fit(&title, style.width)));
    for runtime in &process.runtimes {
        text += &format!("  {}\n", style.wrap(&runtime_line(runtime), 2, 4));
        text += &format!("    {}\n", style.wrap(&style.safe(&runtime.file), 4, 6));
        for evidence in &runtime.evidence {
            text += &style.paint(Ink::Faint, &format!("    {}\n", style.wrap(evidence, 4, 6)));
        }
    }
    for unread in &process.unread {
        text += &format!("  {}\n", style.wrap(&unread_line(unread, style), 2, 4));
    }
    text
}

/// What was not read, and why.
pub fn unread_line(unread: &Unread, style: &Style) -> String {
    format!("not read: {}", style.safe(&unread.to_string()))
}

/// A runtime and what it says of itself, in one line.
pub fn runtime_line(runtime: &Runtime) -> String {
    let bytes = |bytes: u64| iec(i64::try_from(bytes).unwrap_or(i64::MAX));
    let mut line = runtime.name.clone();
    if let Some(version) = &runtime.version {
        line += &format!(" {version}");
    }
    let mut facts = Vec::new();
    let between = runtime.in_use_bounds;
    let between = between
        .map(|(low, high)| format!(" ({} .. {})", bytes(low), bytes(high)))
        .unwrap_or_default();
    facts.extend(runtime.in_use.map(|b| format!("{} in use{between}", bytes(b))));
    facts.extend(runtime.free.filter(|b| *b > 0).map(|b| format!("{} free", bytes(b))));
    facts.extend(
        runtime.released.filter(|b| *b > 0).map(|b| format!("{} of it given back", bytes(b))),
    );
    facts.extend(
        runtime.lazily_freed.filter(|b| *b > 0).map(|b| format!("{} lazily freed", bytes(b))),
    );
    facts.extend(runtime.trimmable.filter(|b| *b > 0).map(|b| format!("{} trimmable", bytes(b))));
    if let Some(gc) = &runtime.gc {
        facts.extend(gc.name.clone());
        facts.extend(gc.cycles.map(|n| format!("{n} collections")));
        let paused = gc.paused.filter(|_| gc.cycles != Some(0));
        facts.extend(paused.map(|p| format!("paused for {:.1} ms", p.as_secs_f64() * 1e3)));
        facts.extend(gc.live.map(|b| format!("{} live at the last one", bytes(b))));
        facts.extend(gc.limit.map(|b| format!("limit {}", bytes(b))));
    }
    if facts.is_empty() { line } else { format!("{line}: {}", facts.join(", ")) }
}

/// What a capture holds and lacks, and how it is explained.
pub fn capture(directory: &str, counts: Counts, lacks: &[Missing], style: &Style) -> String {
    let bytes = iec(i64::try_from(counts.bytes).unwrap_or(i64::MAX));
    let names = if counts.redacted { "names replaced" } else { "names as they are" };
    let what = format!(
        "processes {}, cgroups {}, files {}, {bytes}, {names}",
        counts.processes, counts.cgroups, counts.files
    );
    // Not wrapped: it is there to be copied.
    let command = format!(
        "memgap --path.procfs {0}/proc --path.cgroupfs {0}/sys/fs/cgroup --path.container-logs {0}/var/log/containers host",
        style.safe(directory)
    );
    let mut text = format!("{}\n{command}\n", style.wrap(&what, 0, 2));
    let mut reasons: Vec<&str> = lacks.iter().map(|lack| &*lack.why).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for why in reasons.iter().take(REASONS) {
        text += &format!("{}\n", style.wrap(&format!("not captured: {why}"), 0, 2));
    }
    if reasons.len() > REASONS {
        text += &format!("and {} more: --json lists them\n", reasons.len() - REASONS);
    }
    text
}

/// The point of a figure, marked where it is not certain; `-` for the unknown.
fn size(figure: Figure) -> String {
    match figure {
        Figure::Absent => "-".to_owned(),
        Figure::Exact(bytes) => iec(bytes),
        Figure::Interval { point, .. } => format!("~{}", iec(point)),
    }
}

fn difference(larger: Figure, smaller: Figure) -> String {
    let is_sure = [larger, smaller].iter().all(|f| matches!(f, Figure::Exact(_)));
    match (larger.point(), smaller.point()) {
        (Some(larger), Some(smaller)) => {
            let mark = if is_sure { "" } else { "~" };
            format!("{mark}{}", iec(larger.saturating_sub(smaller)))
        }
        _ => "-".to_owned(),
    }
}
