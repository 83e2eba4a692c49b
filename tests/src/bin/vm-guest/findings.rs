//! What a scenario found: figures for the table, and everything that was wrong.

use crate::memgap::Figure;

/// Collects all checks of a scenario, so that one failure does not hide another.
#[derive(Default)]
pub struct Findings {
    /// `name value` for the table, in KiB.
    pub figures: Vec<String>,
    /// A sentence for each check that failed.
    pub failures: Vec<String>,
    /// Whether the scenario is for another kernel: nothing was checked.
    pub left_out: bool,
}

impl Findings {
    /// Shows a figure in the table.
    pub fn note(&mut self, what: &str, bytes: i64) {
        self.figures.push(format!("{what} {}", bytes / 1024));
    }

    /// Requires a figure to be as the kernel's, give or take; notes its error.
    pub fn near(&mut self, what: &str, got: i64, truth: i64, tolerance: i64) {
        self.figures.push(format!("{what} {:+}", (got - truth) / 1024));
        if (got - truth).abs() > tolerance {
            self.failures.push(format!(
                "{what} is {got}, the kernel says {truth}: more than {tolerance} bytes apart"
            ));
        }
    }

    /// Requires a figure not to be above a bound; notes it.
    pub fn at_most(&mut self, what: &str, got: i64, bound: i64) {
        self.note(what, got);
        if got > bound {
            self.failures.push(format!("{what} is {got}, above {bound}"));
        }
    }

    /// Requires two figures to be the same.
    pub fn equal(&mut self, what: &str, got: i64, truth: i64) {
        if got != truth {
            self.failures.push(format!("{what} is {got}, not {truth}"));
        }
    }

    /// Requires the true value to lie inside a figure's interval, give or take.
    pub fn inside(&mut self, what: &str, figure: Figure, truth: i64, slack: i64) {
        if truth < figure.low - slack || truth > figure.high + slack {
            self.failures.push(format!(
                "{what} lies in {}..{} (slack {slack}), the kernel says {truth}",
                figure.low, figure.high
            ));
        }
    }
}
