//! `memgap ps --coverage`: how much of anonymous memory is explained, and by which allocators.

use memgap_ledger::Coverage;
use memgap_ledger::coverage::{explained, residual, share};
use memgap_ledger::size::iec;

use super::terminal::{Ink, Style, pad};

/// The whole, then each program in the order given.
pub fn table(all: &Coverage, programs: &[(String, Coverage)], style: &Style) -> String {
    let head = format!(
        "{} {:>9} {:>9} {:>9} {:>9} {:>8}  ALLOCATORS",
        pad("PROGRAM", 15),
        "PROCESSES",
        "RSS",
        "PSS_ANON",
        "RESIDUAL",
        "SHARE",
    );
    let mut text = summary(all, style) + "\n" + &style.paint(Ink::Strong, &head) + "\n";
    for (name, of) in programs {
        let figures = format!(
            "{} {:>9} {:>9} {:>9} {:>9} {:>8}",
            pad(&style.fit(name, 15), 15),
            of.processes,
            iec(of.rss),
            iec(of.anonymous),
            iec(of.unexplained()),
            percent(of.unexplained(), of.anonymous),
        );
        let room = style.width.saturating_sub(figures.len() + 2);
        text += format!("{figures}  {}", style.fit(&allocators(of), room)).trim_end();
        text.push('\n');
    }
    text
}

/// Those whose heap statistics explain it, and those that were not read.
fn allocators(of: &Coverage) -> String {
    let owners: Vec<&str> = of.owners.keys().map(String::as_str).collect();
    let unread: Vec<&str> = of.unread.iter().map(String::as_str).collect();
    match (owners.is_empty(), unread.is_empty()) {
        (_, true) => owners.join(" "),
        (true, false) => format!("not read: {}", unread.join(" ")),
        (false, false) => format!("{}; not read: {}", owners.join(" "), unread.join(" ")),
    }
}

/// What explains the anonymous memory of some processes.
pub fn summary(of: &Coverage, style: &Style) -> String {
    let title = format!(
        "{} of anonymous memory in {} processes, whose RSS is {}",
        iec(of.anonymous),
        of.processes,
        iec(of.rss)
    );
    let row = |name: &str, bytes: i64| {
        let share = percent(bytes, of.anonymous);
        format!("  {} {:>9} {share:>8}\n", pad(&style.fit(name, 24), 24), iec(bytes))
    };
    let mut text = style.paint(Ink::Strong, &style.wrap(&title, 0, 2)) + "\n";
    for (name, bytes) in explained(of) {
        text += &row(name, bytes);
    }
    for (name, bytes) in residual(of) {
        text += &style.paint(Ink::Faint, &row(name, bytes));
    }
    let line = format!(
        "residual {}: {} of anonymous memory, {} of RSS",
        iec(of.unexplained()),
        percent(of.unexplained(), of.anonymous),
        percent(of.unexplained(), of.rss)
    );
    text + &style.paint(Ink::Strong, &line) + "\n"
}

fn percent(part: i64, whole: i64) -> String {
    share(part, whole).map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}
