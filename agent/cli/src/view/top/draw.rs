//! How it looks: a head, a list or one of its rows alone, a line of help.

use std::time::Duration;

use memgap_ledger::finding::Subject;
use memgap_ledger::size::iec;
use memgap_ledger::{Figure, HostLedger};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style as Ink};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::Paragraph;

use super::name::Name;
use super::rows::Row;
use super::{Of, Sort, Tab, Top, ansi};
use crate::view::page::{Shown, page};
use crate::view::terminal::{Style, pad};

/// The least and the most columns that a page is laid out for.
const PAGE: std::ops::RangeInclusive<usize> = 80..=120;

/// From which width on rows tell more: where a program is, and what was held over time.
const WIDE: usize = 110;
const LINE: usize = 24;

/// Columns of a name where its cgroup follows.
const NAME: usize = 20;

const HELP: &[&str] = &[
    "BACK    what could be had back: of a program what its allocators keep free and",
    "        what is lazily freed; of a container also what the kernel can take back",
    "ROOM    what its cgroup can still allocate before somebody is killed, at least",
    "GROWTH  of a program its RSS, of a container what it requires, since it was",
    "        first seen by this memgap top",
    ">=      a least: not all heaps of it are read      ~  an estimate within bounds",
    "",
    "1 2 Tab    programs, containers        Up Down PgUp PgDn Home End  select",
    "b r g m n  sort by back, room, growth, memory, name",
    "/          show only what contains a text; Esc shows all again",
    "Enter      explain the selected one: waterfall, findings, history; Esc goes back",
    "q Ctrl-C   quit",
];

const KEYS: &str = "Enter explain  / filter  Tab other list  sort: b r g m n  ? help  q quit";

/// Draws everything.
pub fn draw(top: &mut Top, frame: &mut Frame<'_>) {
    let parts = [Constraint::Length(2), Constraint::Min(0), Constraint::Length(1)];
    let [head, body, foot] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(heading(top, usize::from(head.width))), head);
    top.page = usize::from(body.height).saturating_sub(1).max(1);
    if top.help {
        let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::raw(*line)).collect();
        frame.render_widget(Paragraph::new(lines), body);
    } else if top.shown.is_some() {
        alone(top, frame, body);
    } else {
        list(top, frame, body);
    }
    frame.render_widget(Paragraph::new(foot_of(top, usize::from(foot.width))), foot);
}

fn heading(top: &Top, width: usize) -> Text<'static> {
    let host = top.machine.as_ref().map(|machine| of_host(&machine.host));
    let every = top.interval.as_secs_f64();
    let text = format!("memgap top, every {every} s   {}", host.unwrap_or_default());
    let title = Line::styled(top.style.fit(&text, width), Ink::new().add_modifier(Modifier::BOLD));
    let tab = |tab: Tab, text: &'static str| {
        let is_open = top.tab == tab;
        Span::styled(text, if is_open { reversed() } else { Ink::new() })
    };
    let mut line = vec![
        tab(Tab::Programs, " 1 Programs "),
        Span::raw(" "),
        tab(Tab::Containers, " 2 Containers "),
        Span::raw(format!("  by {}", top.sort.words(top.tab))),
    ];
    if top.typing || !top.filter.is_empty() {
        let cursor = if top.typing { "_" } else { "" };
        let filter = top.style.safe(&top.filter);
        line.push(Span::raw(format!("  with \"{filter}{cursor}\"")));
    }
    line.push(Span::raw(format!("  {} of {}", top.listed.len(), top.rows.len())));
    Text::from(vec![title, Line::from(line)])
}

fn of_host(host: &HostLedger) -> String {
    let (total, available) = (host.headline.total, host.headline.available);
    format!("host {}, available {}", amount(total), amount(available))
}

fn foot_of(top: &Top, width: usize) -> Line<'static> {
    let faint = Ink::new().add_modifier(Modifier::DIM);
    match &top.lack {
        Some(why) => {
            let text = format!("can not read, what is shown is older: {why}");
            Line::styled(top.style.fit(&text, width), Ink::new().add_modifier(Modifier::BOLD))
        }
        None if top.help => Line::styled("any key goes back", faint),
        None if top.typing => Line::styled("Enter keeps the filter  Esc drops it", faint),
        None if top.shown.is_some() => {
            Line::styled("Up Down PgUp PgDn scroll  Esc back  q quit", faint)
        }
        None => Line::styled(top.style.fit(KEYS, width), faint),
    }
}

fn list(top: &Top, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width);
    let height = usize::from(area.height).saturating_sub(1);
    if top.machine.is_none() {
        frame.render_widget(Paragraph::new("reading ..."), area);
        return;
    }
    let bold = Ink::new().add_modifier(Modifier::BOLD);
    let mut lines = vec![Line::styled(columns(top.tab, width), bold)];
    if top.listed.is_empty() {
        lines.push(Line::raw(nothing(top)));
    }
    // The selected row stays on the page, whoever it is.
    let at = top.at();
    let from = at.saturating_sub(height / 2).min(top.listed.len().saturating_sub(height));
    for (place, row) in top.listed.iter().enumerate().skip(from).take(height) {
        let text = pad(&text_of(top, &top.rows[*row], width), width);
        lines.push(Line::styled(text, if place == at { reversed() } else { Ink::new() }));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn nothing(top: &Top) -> String {
    let cgroups = top.machine.as_ref().map(|machine| &machine.cgroups);
    match (top.tab, cgroups) {
        (Tab::Containers, Some(Err(missing))) => top.style.safe(&missing.why),
        _ if top.filter.is_empty() => "there is none".to_owned(),
        _ => "none contains the text; Esc shows all".to_owned(),
    }
}

fn columns(tab: Tab, width: usize) -> String {
    let (size, name) = match tab {
        Tab::Programs => ("RSS", "PROGRAM"),
        Tab::Containers => ("USAGE", "CONTAINER OR UNIT"),
    };
    let line = if width >= WIDE { format!("  {:LINE$}", "SINCE START") } else { String::new() };
    format!(
        "{size:>9} {:>10} {:>10} {:>9} {:>9} {:>5}{line}  {name}",
        "IN USE", "BACK", "ROOM", "GROWTH", "PROCS"
    )
}

fn text_of(top: &Top, row: &Row, width: usize) -> String {
    let in_use = least(row.in_use, row.is_least);
    let back = least(row.back, row.is_least);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let mut text = format!(
        "{:>9} {in_use:>10} {back:>10} {:>9} {:>9} {:>5}",
        amount(row.size),
        or_dash(row.room.map(iec)),
        or_dash(row.growth.map(change)),
        or_dash(row.processes.map(|count| count.to_string())),
    );
    if width >= WIDE {
        text += &format!("  {}", pad(&sparkline(top, &row.name, LINE), LINE));
    }
    let left = width.saturating_sub(text.chars().count() + 2);
    text += "  ";
    if row.home == row.label || row.home.is_empty() {
        return text + &top.style.fit_end(&row.label, left);
    }
    // A container is told by the end of its name, a program by the begin of it.
    if top.tab == Tab::Containers {
        return text + &top.style.fit_end(&row.label, left);
    }
    let label = row.pid.map_or(row.label.clone(), |pid| format!("{} {pid}", row.label));
    if width < WIDE {
        return text + &top.style.fit(&label, left);
    }
    let name = pad(&top.style.fit(&label, NAME), NAME);
    text + &format!("{name} {}", top.style.fit_end(&row.home, left.saturating_sub(NAME + 1)))
}

/// One row's waterfall and findings.
fn alone(top: &mut Top, frame: &mut Frame<'_>, area: Rect) {
    let width = usize::from(area.width);
    let text = explanation(top, width);
    let lines = ansi::lines(&text);
    let height = usize::from(area.height);
    let Some(shown) = &mut top.shown else { return };
    shown.scroll = shown.scroll.min(lines.len().saturating_sub(height));
    let seen: Vec<Line<'_>> = lines.into_iter().skip(shown.scroll).take(height).collect();
    frame.render_widget(Paragraph::new(seen), area);
}

fn explanation(top: &Top, width: usize) -> String {
    let Some(shown) = &top.shown else { return String::new() };
    let style = Style { width: width.clamp(*PAGE.start(), *PAGE.end()), ..top.style };
    let all = Shown { maps: false, findings: true };
    let text = match &shown.of {
        Of::Process { ledger, others } => page(Subject::Process(ledger), others, all, &style),
        Of::Cgroup(ledger) => page(Subject::Cgroup(ledger), &[], all, &style),
    };
    if shown.is_gone {
        return format!("it has ended: this was read last\n{text}");
    }
    format!("{}{text}", history(top, &shown.name, style.width))
}

fn history(top: &Top, name: &Name, width: usize) -> String {
    let what = match name {
        Name::Program { .. } => "RSS of the program",
        Name::Cgroup(_) => "required",
    };
    let columns = width.saturating_sub(2);
    let Some((over, parts)) = top.past.line(name, columns) else { return String::new() };
    let known = || parts.iter().flatten();
    let (Some(least), Some(most)) = (known().min(), known().max()) else { return String::new() };
    let bytes = |bytes: u64| iec(i64::try_from(bytes).unwrap_or(i64::MAX));
    let head = format!(
        "{what} over {}: {} .. {}, growth {}",
        time(over),
        bytes(*least),
        bytes(*most),
        top.past.growth(name).map_or_else(|| "unknown".to_owned(), change)
    );
    format!("{head}\n{}\n\n", bars(&parts, &top.style))
}

fn sparkline(top: &Top, name: &Name, columns: usize) -> String {
    let parts = top.past.line(name, columns);
    parts.map_or(String::new(), |(_, parts)| bars(&parts, &top.style))
}

/// A line of bars from nothing to the most: what is drawn high is much, not what changed.
fn bars(parts: &[Option<u64>], style: &Style) -> String {
    const UNICODE: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 8] = ['_', '_', '.', '.', '-', '-', '^', '^'];
    let signs = if style.unicode { UNICODE } else { ASCII };
    let most = parts.iter().flatten().copied().max().unwrap_or(0).max(1);
    let sign = |bytes: u64| {
        let eighth = (u128::from(bytes) * 8).div_ceil(u128::from(most)).saturating_sub(1);
        signs[usize::try_from(eighth).unwrap_or(0).min(7)]
    };
    parts.iter().map(|part| part.map_or(' ', sign)).collect()
}

impl Sort {
    fn words(self, tab: Tab) -> &'static str {
        match (self, tab) {
            (Self::Back, _) => "what could be had back",
            (Self::Room, _) => "room, the least first",
            (Self::Growth, _) => "growth",
            (Self::Size, Tab::Programs) => "RSS",
            (Self::Size, Tab::Containers) => "usage",
            (Self::Name, _) => "name",
        }
    }
}

fn reversed() -> Ink {
    Ink::new().add_modifier(Modifier::REVERSED)
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

/// By how much something changed.
fn change(bytes: i64) -> String {
    if bytes > 0 { format!("+{}", iec(bytes)) } else { iec(bytes) }
}

fn least(figure: Figure, is_least: bool) -> String {
    match figure.bounds() {
        Some((low, _)) if is_least => format!(">={}", iec(low)),
        _ => amount(figure),
    }
}

fn amount(figure: Figure) -> String {
    match figure {
        Figure::Absent => "-".to_owned(),
        Figure::Exact(bytes) => iec(bytes),
        Figure::Interval { point, .. } => format!("~{}", iec(point)),
    }
}
