//! What a scenario tells: the same figures of two subjects, as the kernel, the
//! program and memgap know them, and whether memgap is right.

use memgap_ledger::Figure;
use memgap_ledger::size::iec;

/// Who says a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The kernel's headline figures, as every tool shows them.
    Kernel,
    /// What is known because the program was made so, and its own word.
    Truth,
    /// The ledger.
    Memgap,
}

/// A value of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// An amount.
    Bytes(Figure),
    /// Whether the kernel killed it for want of memory.
    OomKilled(bool),
}

/// One line: a figure of both subjects.
#[derive(Debug)]
pub struct Row {
    /// Who says it.
    pub source: Source,
    /// Its key in JSON.
    pub name: &'static str,
    /// Its name in the table.
    pub label: String,
    /// What it is of each subject.
    pub cells: [Cell; 2],
}

/// One scenario and its outcome.
#[derive(Debug)]
pub struct Story {
    /// What the columns are: keys in JSON.
    pub subjects: [&'static str; 2],
    /// The limit in bytes that bars and percentages stand for.
    pub limit: Option<i64>,
    /// The lines of the table.
    pub rows: Vec<Row>,
    wrong: Vec<String>,
    verdict: String,
    /// What part could not be shown, and why.
    pub skipped: Option<String>,
}

impl Story {
    /// A story of two subjects: two programs, or one at two times.
    pub fn of(subjects: [&'static str; 2], limit: Option<i64>) -> Self {
        Self {
            subjects,
            limit,
            rows: Vec::new(),
            wrong: Vec::new(),
            verdict: String::new(),
            skipped: None,
        }
    }

    /// Adds a figure of both subjects.
    pub fn row(&mut self, source: Source, name: &'static str, figures: [Figure; 2]) {
        let label = name.replace('_', " ");
        self.rows.push(Row { source, name, label, cells: figures.map(Cell::Bytes) });
    }

    /// Adds whom the kernel killed, and what led to it.
    pub fn fate(&mut self, label: String, killed: [bool; 2]) {
        let cells = killed.map(Cell::OomKilled);
        self.rows.push(Row { source: Source::Truth, name: "oom_killed", label, cells });
    }

    /// Holds memgap's figure against the truth, both in bytes.
    pub fn check(&mut self, what: &str, memgap: Figure, truth: i64, tolerance: i64) {
        let close = memgap.point().is_some_and(|m| m.abs_diff(truth) <= tolerance.unsigned_abs());
        if !close {
            let reported = memgap.point().map_or_else(|| "nothing".to_owned(), iec);
            self.wrong.push(format!(
                "{what}: memgap says {reported}, the truth is {}, more than {} apart",
                iec(truth),
                iec(tolerance)
            ));
        }
    }

    /// Notes what did not happen as it must.
    pub fn refute(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// The lesson, shown where every check held.
    pub fn conclude(&mut self, verdict: String) {
        self.verdict = verdict;
    }

    /// Whether memgap was right.
    pub fn agrees(&self) -> bool {
        self.wrong.is_empty()
    }

    /// The lesson, or what was wrong.
    pub fn verdict(&self) -> String {
        if self.agrees() { self.verdict.clone() } else { self.wrong.join("; ") }
    }
}

impl Source {
    /// The key in JSON and the word in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Truth => "truth",
            Self::Memgap => "memgap",
        }
    }
}

impl Cell {
    /// The amount, where it is one and known.
    pub fn bytes(self) -> Option<i64> {
        match self {
            Self::Bytes(figure) => figure.point(),
            Self::OomKilled(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_unknown_or_too_far_off_is_wrong() {
        let mut story = Story::of(["before", "after"], None);
        story.conclude("all is well".to_owned());
        story.check("required", Figure::Exact(100), 103, 3);
        assert!(story.agrees());
        assert_eq!(story.verdict(), "all is well");
        story.check("required", Figure::Absent, 0, 3);
        story.check("required", Figure::Exact(100), 104, 3);
        assert!(!story.agrees());
        assert_eq!(
            story.verdict(),
            "required: memgap says nothing, the truth is 0 B, more than 3 B apart; \
             required: memgap says 100 B, the truth is 104 B, more than 3 B apart"
        );
    }
}
