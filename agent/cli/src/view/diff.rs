//! `memgap diff`: two ledgers beside each other, and what explains how they differ.

use memgap_ledger::Figure;
use memgap_ledger::diff::{Between, Change, Diff};
use memgap_ledger::headlines::label;
use memgap_ledger::size::iec;

use super::terminal::{Ink, Style, pad};

/// The page.
pub fn page(diff: &Diff, style: &Style) -> String {
    let (from, to) = &diff.names;
    let title = match diff.between {
        Between::Times(_) => style.fit_end(to, style.width),
        Between::Things => style.wrap(&format!("{from} -> {to}"), 0, 2),
    };
    let mut text = style.paint(Ink::Strong, &title) + "\n";
    text += &format!("  {}\n\n", style.wrap(&diff.sentence, 2, 4));
    let head = format!("  {}{:>11}{:>11}{:>12}", pad("", 19), "FROM", "TO", "CHANGE");
    text += &style.paint(Ink::Strong, &head);
    text.push('\n');
    for (name, change) in diff.headline.iter().filter(|(_, change)| is_told(change)) {
        text += &style.paint(Ink::Strong, &row(label(name), change));
        text.push('\n');
    }
    text.push('\n');
    for (account, change) in diff.accounts.iter().filter(|(_, change)| is_told(change)) {
        let line = row(account.name(), change);
        let ink =
            if change.by == Figure::Exact(0) { Ink::Faint } else { Ink::Class(account.class()) };
        text += &style.paint(ink, &line);
        text.push('\n');
    }
    text
}

/// Whether there is anything to say of it.
fn is_told(change: &Change) -> bool {
    let is_nothing = |figure| matches!(figure, Figure::Absent | Figure::Exact(0));
    !(is_nothing(change.from) && is_nothing(change.to)) || change.is_of_one()
}

fn row(name: &str, change: &Change) -> String {
    let by = match change.by {
        Figure::Absent => "unknown".to_owned(),
        figure if figure.point() == Some(0) => size(figure),
        figure => {
            let (mark, bytes) = (mark(figure), figure.point().unwrap_or(0));
            let sign = if bytes > 0 { "+" } else { "" };
            format!("{mark}{sign}{}", iec(bytes))
        }
    };
    format!("  {}{:>11}{:>11}{by:>12}", pad(name, 19), size(change.from), size(change.to))
}

fn size(figure: Figure) -> String {
    figure.point().map_or("unknown".to_owned(), |bytes| format!("{}{}", mark(figure), iec(bytes)))
}

fn mark(figure: Figure) -> &'static str {
    if matches!(figure, Figure::Interval { .. }) { "~" } else { "" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use memgap_ledger::diff::{Side, diff};
    use memgap_ledger::finding::Subject;
    use memgap_ledger::process;

    use super::*;
    use crate::view::samples;

    #[test]
    fn two_readings_stand_beside_each_other() {
        let style = Style { width: 80, color: false, unicode: true };
        let [before, after] = [samples::server(), samples::probed()].map(|sample| {
            let ledger = process::ledger(&sample);
            Side::of(Subject::Process(&ledger))
        });
        let things = diff(&before, &after, Between::Things).expect("one scope");
        let times = Between::Times(Duration::from_mins(1));
        let times = diff(&before, &before, times).expect("one scope");
        insta::assert_snapshot!([page(&things, &style), page(&times, &style)].join("\n"));
    }
}
