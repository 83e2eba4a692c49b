//! A waterfall: bars along one axis, each beginning where the last one ended.

use memgap_ledger::ledger::Entry;
use memgap_ledger::size::iec;
use memgap_ledger::{Account, Figure};

use super::terminal::{Ink, Style, pad};

/// How a stretch of a bar is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Certainly there.
    Solid,
    /// Between the low bound and the point.
    Likely,
    /// Live, and left out by the working set.
    Hidden,
    /// Left out by the cut that the row shows.
    Out,
}

/// A stretch of the axis, in bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub from: i64,
    /// Where it ends; before `from` for a negative amount.
    pub to: i64,
    /// How it is drawn.
    pub fill: Fill,
}

/// One line: a name, an amount and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub name: &'static str,
    /// The colour of its bar.
    pub ink: Ink,
    /// Its bytes.
    pub figure: Figure,
    /// Its bar.
    pub spans: Vec<Span>,
    /// Whether its bounds are written where there is room.
    pub bounds: bool,
}

/// Rows on one scale.
#[derive(Debug, Clone, Copy)]
pub struct Chart {
    style: Style,
    /// The amount that a share of 100 % stands for.
    whole: i64,
    /// The amount at the right end of the axis.
    scale: i64,
}

/// An account and where its amount lies on the axis.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The account.
    pub account: Account,
    /// Its bytes.
    pub figure: Figure,
    /// Where it begins.
    pub from: i64,
    /// Where it ends.
    pub to: i64,
}

const NAME: usize = 18;
/// `~-1023 KiB`.
const SIZE: usize = 10;
/// Columns before the bar: indent, name, size, share and the gaps.
const BEFORE: usize = 2 + NAME + 1 + SIZE + 1 + 5 + 2;

/// Lays entries end to end.
pub fn steps(entries: impl IntoIterator<Item = Entry>) -> Vec<Step> {
    let mut at = 0i64;
    entries
        .into_iter()
        .map(|entry| {
            let from = at;
            at = at.saturating_add(entry.figure.point().unwrap_or(0));
            Step { account: entry.account, figure: entry.figure, from, to: at }
        })
        .collect()
}

impl Step {
    /// Whether anything is booked on the account.
    pub fn is_booked(&self) -> bool {
        self.from != self.to
    }

    /// The bar of the account: solid up to what is certain.
    pub fn spans(&self) -> Vec<Span> {
        let sure = match self.figure {
            Figure::Interval { low, .. } => self.from.saturating_add(low.max(0)).min(self.to),
            _ => self.to,
        };
        vec![
            Span { from: self.from, to: sure, fill: Fill::Solid },
            Span { from: sure, to: self.to, fill: Fill::Likely },
        ]
    }

    /// The row of the account.
    pub fn row(&self) -> Row {
        Row {
            name: self.account.name(),
            ink: Ink::Class(self.account.class()),
            figure: self.figure,
            spans: self.spans(),
            bounds: true,
        }
    }
}

/// The row of the amount that the accounts sum to.
pub fn total(name: &'static str, whole: i64) -> Row {
    let spans = vec![Span { from: 0, to: whole, fill: Fill::Solid }];
    Row { name, ink: Ink::Strong, figure: Figure::Exact(whole), spans, bounds: false }
}

impl Chart {
    /// A chart for the steps, whose shares are of `whole`.
    pub fn new(style: Style, whole: i64, steps: &[Step]) -> Self {
        let scale = steps.iter().map(|s| s.to).fold(whole, i64::max).max(1);
        Self { style, whole: whole.max(1), scale }
    }

    /// One line, and a second one where the bounds find no room in the first.
    pub fn line(&self, row: &Row) -> String {
        let style = &self.style;
        let (mark, bounds) = match row.figure {
            Figure::Interval { low, high, .. } if row.bounds && self.is_wide(low, high) => {
                ("~", between(low, high))
            }
            Figure::Interval { .. } => ("~", String::new()),
            _ => ("", String::new()),
        };
        let point = row.figure.point().unwrap_or(0);
        let head = format!(
            "  {} {:>SIZE$} {:>5}  ",
            pad(row.name, NAME),
            format!("{mark}{}", iec(point)),
            share(point, self.whole)
        );
        let cells = self.cells(&row.spans);
        let used = cells.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let blank = cells.iter().position(Option::is_some).unwrap_or(0);
        let bar = self.draw(&cells[blank..used], row.ink);
        let room = self.width();
        let faint = style.paint(Ink::Faint, &bounds);
        let line = if bounds.is_empty() {
            format!("{head}{:blank$}{bar}", "")
        } else if used + 1 + bounds.len() <= room {
            format!("{head}{:blank$}{bar} {faint}", "")
        } else if bounds.len() < blank {
            let gap = blank - bounds.len() - 1;
            format!("{head}{:gap$}{faint} {bar}", "")
        } else {
            format!("{head}{:blank$}{bar}\n{:BEFORE$}{faint}", "", "")
        };
        line.trim_end().to_owned() + "\n"
    }

    /// Whether bounds are far enough apart to be worth words.
    fn is_wide(&self, low: i64, high: i64) -> bool {
        high.saturating_sub(low) >= self.whole / 100
    }

    /// A line across the chart.
    pub fn rule(&self) -> String {
        let dash = if self.style.unicode { "─" } else { "-" };
        let line = dash.repeat(self.style.width - 2);
        format!("  {}\n", self.style.paint(Ink::Faint, &line))
    }

    /// What the fills mean that are to be seen in the rows.
    pub fn legend(&self, rows: &[Row]) -> String {
        let fills = [
            (Fill::Likely, "between the low bound and the figure"),
            (Fill::Hidden, "hidden: live, not in the working set"),
            (Fill::Out, "left out of the cut"),
        ];
        let drawn: String = rows
            .iter()
            .flat_map(|row| self.cells(&row.spans))
            .map(|cell| self.column(cell))
            .collect();
        let known: Vec<String> = fills
            .into_iter()
            .filter(|(fill, _)| drawn.contains(self.glyph(*fill)))
            .map(|(fill, means)| format!("{} {means}", self.glyph(fill)))
            .collect();
        if known.is_empty() {
            return String::new();
        }
        let text = self.style.wrap(&known.join("; "), 2, 2);
        format!("  {}\n", self.style.paint(Ink::Faint, &text))
    }

    fn width(&self) -> usize {
        self.style.width.saturating_sub(BEFORE).max(1)
    }

    /// The bar in half cells, `None` where nothing is.
    fn cells(&self, spans: &[Span]) -> Vec<Option<Cell>> {
        let halves = self.width() * 2;
        let mut marks = vec![None; halves];
        let mut thin = None;
        for span in spans.iter().filter(|s| s.from != s.to) {
            let (from, to) = (span.from.min(span.to), span.from.max(span.to));
            let (a, b) = (self.position(from, halves), self.position(to, halves));
            marks[a..b].fill(Some(span.fill));
            if a == b {
                thin.get_or_insert((a.min(halves - 1) / 2, span.fill));
            }
        }
        let mut cells: Vec<_> = marks
            .chunks(2)
            .map(|half| match (half[0], half[1]) {
                (None, None) => None,
                (Some(fill), None) => Some(Cell { fill, part: Part::Left }),
                (None, Some(fill)) => Some(Cell { fill, part: Part::Right }),
                (Some(_), Some(fill)) => Some(Cell { fill, part: Part::Whole }),
            })
            .collect();
        // What is too small to be drawn is still there.
        if let Some((at, fill)) = thin
            && cells.iter().all(Option::is_none)
        {
            cells[at] = Some(Cell { fill, part: Part::Thin });
        }
        cells
    }

    fn position(&self, bytes: i64, halves: usize) -> usize {
        let share = bytes.clamp(0, self.scale) as f64 / self.scale as f64;
        // Within 0..=halves, as the share is within 0..=1.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let at = (share * halves as f64).round() as usize;
        at.min(halves)
    }

    /// What is hidden stands out of its bar.
    fn draw(&self, cells: &[Option<Cell>], ink: Ink) -> String {
        let is_hidden = |cell: &Option<Cell>| cell.is_some_and(|c| c.fill == Fill::Hidden);
        let runs = cells.chunk_by(|a, b| is_hidden(a) == is_hidden(b));
        runs.map(|run| {
            let text: String = run.iter().map(|cell| self.column(*cell)).collect();
            let ink = if run.iter().any(is_hidden) { Ink::Alert } else { ink };
            self.style.paint(ink, &text)
        })
        .collect()
    }

    fn column(&self, cell: Option<Cell>) -> char {
        let Some(Cell { fill, part }) = cell else { return ' ' };
        match (self.style.unicode, part, fill) {
            (true, Part::Thin, _) => '▏',
            (true, Part::Left, Fill::Solid) => '▌',
            (true, Part::Right, Fill::Solid) => '▐',
            (false, Part::Thin, Fill::Solid) => '|',
            _ => self.glyph(fill),
        }
    }

    fn glyph(&self, fill: Fill) -> char {
        match (fill, self.style.unicode) {
            (Fill::Solid, true) => '█',
            (Fill::Likely, true) => '▒',
            (Fill::Hidden, true) => '▓',
            (Fill::Out, true) => '·',
            (Fill::Solid, false) => '#',
            (Fill::Likely, false) => '?',
            (Fill::Hidden, false) => '%',
            (Fill::Out, false) => '.',
        }
    }
}

/// One column of a bar.
#[derive(Debug, Clone, Copy)]
struct Cell {
    fill: Fill,
    part: Part,
}

/// How much of a column a bar covers.
#[derive(Debug, Clone, Copy)]
enum Part {
    Whole,
    Left,
    Right,
    Thin,
}

/// `(0 B .. 300 MiB)`.
pub fn between(low: i64, high: i64) -> String {
    format!("({} .. {})", iec(low), iec(high))
}

/// `37%`; a part that rounds to nothing is `<1%`.
fn share(part: i64, whole: i64) -> String {
    let percent = part as f64 / whole as f64 * 100.0;
    if part > 0 && percent < 0.5 {
        "<1%".to_owned()
    } else if !(-100.5..=999.0).contains(&percent) {
        // What is many times the whole has no share of it, as where another cgroup is
        // charged for what this one holds.
        String::new()
    } else {
        format!("{:.0}%", if percent > -0.5 && percent < 0.0 { 0.0 } else { percent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_whole_or_none() {
        for (part, whole, text) in [
            (37, 100, "37%"),
            (1, 1000, "<1%"),
            (-1, 1000, "0%"),
            (-30, 100, "-30%"),
            (150, 100, "150%"),
            (-200 << 20, 1 << 20, ""),
            (200 << 20, 1, ""),
        ] {
            assert_eq!(share(part, whole), text, "{part} of {whole}");
        }
    }
}
