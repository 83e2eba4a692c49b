//! How the end of a scenario is shown: a table with a verdict, or JSON.

use memgap_ledger::size::iec;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Stop;
use super::scenario::Scenario;
use super::story::{Cell, Source, Story};
use crate::view::terminal::{Ink, Style, pad};

/// A scenario and its end.
pub struct Outcome {
    /// What was played.
    pub scenario: &'static Scenario,
    /// How it ended.
    pub end: Result<Story, Stop>,
}

/// The body of the JSON document.
#[derive(Debug, Default, Serialize)]
pub struct Demo {
    /// Every scenario that was asked for, as [`Outcome::json`] gives it.
    pub demo: Vec<Value>,
}

impl Outcome {
    /// Whether nothing is wrong with memgap; what was skipped is not.
    pub fn agrees(&self) -> bool {
        match &self.end {
            Ok(story) => story.agrees(),
            Err(stop) => !matches!(stop, Stop::Fail(_)),
        }
    }

    /// The figures by teller and subject: amounts as integers, unknown ones and
    /// those of a scenario that was skipped as null.
    pub fn json(&self) -> Value {
        let story = self.end.as_ref().ok();
        let (skipped, failed) = match &self.end {
            Ok(story) => (story.skipped.as_ref(), None),
            Err(Stop::Skip(why)) => (Some(why), None),
            Err(Stop::Fail(why)) => (None, Some(why.clone())),
            Err(Stop::Signal(_)) => (None, None),
        };
        let played = story.is_some() || failed.is_some();
        json!({
            "name": self.scenario.name,
            "title": self.scenario.title,
            "kernel": story.map(|s| figures(s, Source::Kernel)),
            "truth": story.map(|s| figures(s, Source::Truth)),
            "memgap": story.map(|s| figures(s, Source::Memgap)),
            "agrees": played.then(|| self.agrees()),
            "verdict": story.map(Story::verdict).or(failed),
            "skipped": skipped,
        })
    }

    /// The story for people.
    pub fn text(&self, style: &Style) -> String {
        let (name, title) = (self.scenario.name, self.scenario.title);
        let mut text = style.paint(Ink::Strong, &format!("{name}: {title}"));
        text.push('\n');
        match &self.end {
            Ok(story) => {
                text += &table(story, style);
                if let Some(why) = &story.skipped {
                    text += &remark(style, Mark::Skipped, why);
                }
                let mark = if story.agrees() { Mark::Right } else { Mark::Wrong };
                text += &remark(style, mark, &story.verdict());
            }
            Err(Stop::Skip(why)) => text += &remark(style, Mark::Skipped, why),
            Err(Stop::Fail(why)) => text += &remark(style, Mark::Wrong, why),
            Err(Stop::Signal(_)) => {}
        }
        text
    }
}

#[derive(Clone, Copy)]
enum Mark {
    Right,
    Wrong,
    Skipped,
}

/// A paragraph below the table.
fn remark(style: &Style, mark: Mark, text: &str) -> String {
    let (ink, mark, text) = match mark {
        Mark::Right => (Ink::Strong, if style.unicode { "✓" } else { "+" }, text.to_owned()),
        Mark::Wrong => (Ink::Alert, if style.unicode { "✗" } else { "!" }, text.to_owned()),
        Mark::Skipped => (Ink::Faint, "-", format!("skipped: {text}")),
    };
    format!("  {} {}\n", style.paint(ink, mark), style.wrap(&text, 4, 4))
}

fn figures(story: &Story, source: Source) -> Map<String, Value> {
    let of = |subject: usize| -> Map<String, Value> {
        let rows = story.rows.iter().filter(|row| row.source == source);
        rows.map(|row| (row.name.to_owned(), value(row.cells[subject]))).collect()
    };
    [0, 1].map(|n| (story.subjects[n].to_owned(), Value::Object(of(n)))).into_iter().collect()
}

fn value(cell: Cell) -> Value {
    match cell {
        Cell::Bytes(figure) => json!(figure.point()),
        Cell::OomKilled(killed) => json!(killed),
    }
}

/// Columns of the names of a row, with a space after each: teller and figure.
const NAMES: [usize; 2] = [8, 19];
/// Columns of a bar; none where the page is narrow.
const BAR: usize = 8;

/// A head, and a line for each figure of both subjects.
fn table(story: &Story, style: &Style) -> String {
    let largest = story.rows.iter().flat_map(|row| row.cells).filter_map(Cell::bytes).max();
    let chart = Chart {
        style,
        scale: story.limit.or(largest).unwrap_or(0).max(1),
        limited: story.limit.is_some(),
        bar: if style.width >= 80 { BAR } else { 0 },
    };
    let heads = story.subjects.map(|subject| {
        let head = style.fit(&subject.replace('_', " "), chart.columns());
        chart.word(Ink::Faint, &head)
    });
    let mut text = chart.line(["", ""], &heads);
    let mut said = None;
    for row in &story.rows {
        let source = if said == Some(row.source) { "" } else { row.source.name() };
        said = Some(row.source);
        text += &chart.line([source, &row.label], &row.cells.map(|cell| chart.cell(cell)));
    }
    text
}

/// How cells are drawn.
struct Chart<'a> {
    style: &'a Style,
    /// What a full bar and 100 % stand for.
    scale: i64,
    /// Whether that is a limit, of which percentages are shown.
    limited: bool,
    bar: usize,
}

impl Chart<'_> {
    /// Columns of a cell: a bar, a size as `1023 MiB`, a percentage.
    fn columns(&self) -> usize {
        self.bar + 9 + 6
    }

    fn line(&self, names: [&str; 2], cells: &[String; 2]) -> String {
        let [source, name] = [0, 1].map(|n| pad(names[n], NAMES[n]));
        let source = self.style.paint(Ink::Faint, &source);
        let gap = if self.bar > 0 { "  " } else { " " };
        let line = format!("  {source}{name}{}{gap}{}", cells[0], cells[1]);
        line.trim_end().to_owned() + "\n"
    }

    fn cell(&self, cell: Cell) -> String {
        let (ink, text) = match cell {
            Cell::Bytes(figure) => match figure.point() {
                Some(bytes) => return pad(&self.amount(bytes), self.columns()),
                None => (Ink::Faint, "unknown"),
            },
            Cell::OomKilled(true) => (Ink::Alert, "OOM-killed"),
            Cell::OomKilled(false) => (Ink::Strong, "lives"),
        };
        self.word(ink, text)
    }

    /// Padded outside of its colour, so that a line's end can be trimmed.
    fn word(&self, ink: Ink, text: &str) -> String {
        let padded = pad(text, self.columns());
        self.style.paint(ink, text) + &padded[text.len()..]
    }

    fn amount(&self, bytes: i64) -> String {
        let share = bytes as f64 / self.scale as f64;
        let percent = if self.limited { format!("{:4.0} %", share * 100.0) } else { String::new() };
        format!("{}{:>9}{percent}", bar(share, self.bar, self.style.unicode), iec(bytes))
    }
}

/// A bar of so many columns, filled by eighths where the page has the characters.
fn bar(share: f64, columns: usize, unicode: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    // Within 0 and 8 times the columns, so that nothing is lost.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let eighths = (share.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    let drawn = if unicode {
        "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
    } else {
        "#".repeat((eighths + 4) / 8)
    };
    pad(&drawn, columns)
}

#[cfg(test)]
mod tests {
    use memgap_ledger::Figure;

    use super::*;
    use crate::demo::scenario::SCENARIOS;

    const WIDE: Style = Style { width: 80, color: false, unicode: true };
    const NARROW: Style = Style { width: 60, color: false, unicode: false };

    fn reported() -> Outcome {
        let mut story = Story::of(["before", "after_it_was_freed"], Some(256 << 20));
        story.row(Source::Kernel, "usage", [Figure::Exact(0), Figure::Exact(243 << 20)]);
        story.row(Source::Kernel, "working_set", [Figure::Absent, Figure::Exact(128 << 20)]);
        story.fate("31 MiB more".to_owned(), [false, true]);
        story.conclude("it is as it is".to_owned());
        Outcome { scenario: &SCENARIOS[0], end: Ok(story) }
    }

    #[test]
    fn a_story_lines_up_on_the_page() {
        let wide = reported().text(&WIDE);
        assert_eq!(
            wide.lines().skip(1).collect::<Vec<_>>(),
            [
                "                             before                   after it was freed",
                "  kernel  usage                            0 B   0 %  ███████▋  243 MiB  95 %",
                "          working set        unknown                  ████      128 MiB  50 %",
                "  truth   31 MiB more        lives                    OOM-killed",
                "  ✓ it is as it is",
            ]
        );
        let narrow = reported().text(&NARROW);
        assert!(wide.lines().all(|line| line.chars().count() <= 80), "{wide}");
        assert!(
            narrow.is_ascii() && narrow.lines().skip(1).all(|line| line.len() <= 60),
            "{narrow}"
        );
    }

    #[test]
    fn json_has_integers_and_null_for_what_is_unknown() {
        let json = reported().json();
        assert_eq!(
            json["kernel"],
            json!({
                "before": {"usage": 0, "working_set": null},
                "after_it_was_freed": {"usage": 254_803_968, "working_set": 134_217_728},
            })
        );
        assert_eq!(json["truth"]["before"], json!({"oom_killed": false}));
        assert_eq!((&json["agrees"], &json["skipped"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn what_was_skipped_is_not_wrong_and_what_failed_is() {
        let end = |stop| Outcome { scenario: &SCENARIOS[0], end: Err(stop) };
        let skipped = end(Stop::Skip("no cgroup".to_owned()));
        assert!(skipped.agrees() && skipped.text(&WIDE).ends_with("\n  - skipped: no cgroup\n"));
        assert_eq!(skipped.json()["agrees"], Value::Null);
        let failed = end(Stop::Fail("no smaps".to_owned()));
        assert!(!failed.agrees() && failed.text(&WIDE).ends_with("\n  ✗ no smaps\n"));
        assert_eq!(failed.json()["agrees"], json!(false));
    }

    #[test]
    fn a_bar_keeps_its_width() {
        for (share, drawn) in
            [(-1.0, "        "), (0.5, "████    "), (0.95, "███████▋"), (9.0, "████████")]
        {
            assert_eq!(bar(share, 8, true), drawn, "{share}");
        }
        assert_eq!(bar(f64::NAN, 8, true), "        ");
        assert_eq!(bar(0.5, 8, false), "####    ");
        assert_eq!(bar(0.5, 0, true), "");
    }
}
