//! What holds on this machine, for who installs the exporter: each line says what was found,
//! and where that is less than could be, what follows and what helps.

use std::fmt;

/// Characters of a line.
const WIDTH: usize = 80;

/// Characters before what was found.
const INDENT: usize = 26;

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It is.
    Yes,
    /// The exporter works, and tells less than it could.
    Less,
    /// The exporter does not work.
    No,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whether it is as it should be.
    pub holds: Holds,
    /// What was looked at, in a word or two.
    pub name: &'static str,
    /// What was found.
    pub found: String,
    /// What follows from it, and what helps.
    pub remedy: Option<String>,
}

impl Line {
    /// What is as it should be.
    pub fn yes(name: &'static str, found: impl Into<String>) -> Self {
        Self { holds: Holds::Yes, name, found: found.into(), remedy: None }
    }

    /// What is less than it could be.
    pub fn less(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { holds: Holds::Less, name, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// What the exporter can not do without.
    pub fn no(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { holds: Holds::No, name, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// What was looked at together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is about.
    pub title: String,
    /// In the order of reading.
    pub lines: Vec<Line>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(pub Vec<Part>);

impl Report {
    /// Whether the exporter works here.
    pub fn is_sound(&self) -> bool {
        self.count(Holds::No) == 0
    }

    fn count(&self, holds: Holds) -> usize {
        self.0.iter().flat_map(|part| &part.lines).filter(|line| line.holds == holds).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            writeln!(f, "{}", part.title)?;
            for line in &part.lines {
                write!(f, "{line}")?;
            }
            writeln!(f)?;
        }
        let all = self.0.iter().map(|part| part.lines.len()).sum::<usize>();
        match (self.count(Holds::No), self.count(Holds::Less)) {
            (0, 0) => writeln!(f, "All {all} hold."),
            (0, less) => writeln!(f, "It works. {less} of {all} are less than they could be."),
            (no, less) => writeln!(
                f,
                "It does not work here: {no} of {all} fail, and {less} are less than they could be."
            ),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.holds {
            Holds::Yes => "ok",
            Holds::Less => "less",
            Holds::No => "FAILS",
        };
        let texts = [Some(&self.found), self.remedy.as_ref()];
        let rows = texts.into_iter().flatten().flat_map(|text| wrapped(text, WIDTH - INDENT));
        for (number, row) in rows.enumerate() {
            let (word, name) = if number == 0 { (word, self.name) } else { ("", "") };
            writeln!(f, "{}", format!("  {word:<6}{name:<18}{row}").trim_end())?;
        }
        Ok(())
    }
}

/// The rows of a text: words are broken where they are longer than a row.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut taken = 0;
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().map(printable).collect();
        if taken > 0 && taken + 1 + letters.len() > width {
            rows.push(String::new());
            taken = 0;
        } else if taken > 0 {
            push(&mut rows, ' ');
            taken += 1;
        }
        for letter in letters {
            if taken == width {
                rows.push(String::new());
                taken = 0;
            }
            push(&mut rows, letter);
            taken += 1;
        }
    }
    rows
}

fn push(rows: &mut [String], letter: char) {
    if let Some(last) = rows.last_mut() {
        last.push(letter);
    }
}

/// What a terminal may be told: names are a kernel's or another program's.
fn printable(letter: char) -> char {
    if letter.is_control() { '\u{fffd}' } else { letter }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let title = "reader: collects, with the rights of this process".to_owned();
        let remedy = "what of their heap is in use is not told. Add CAP_DAC_READ_SEARCH: \
                      profile probe of deploy/README.md";
        let lines = vec![
            Line::yes("processes", "214 below /proc"),
            Line::less("capabilities", "CAP_SYS_PTRACE", remedy),
        ];
        Report(vec![Part { title, lines }])
    }

    #[test]
    fn it_is_read_in_eighty_columns() {
        let expected = "\
reader: collects, with the rights of this process
  ok    processes         214 below /proc
  less  capabilities      CAP_SYS_PTRACE
                          what of their heap is in use is not told. Add
                          CAP_DAC_READ_SEARCH: profile probe of deploy/README.md

It works. 1 of 2 are less than they could be.
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn one_that_fails_is_enough() {
        let mut report = report();
        assert!(report.is_sound());
        report.0[0].lines[1].holds = Holds::Yes;
        assert!(report.to_string().ends_with("\nAll 2 hold.\n"));
        report.0[0].lines[0] = Line::no("processes", "none", "mount procfs");
        assert!(!report.is_sound() && report.to_string().contains("  FAILS processes"));
    }

    #[test]
    fn long_and_strange_words_stay_in_their_columns() {
        let line = Line::less("a name", "x".repeat(200), "a\x1b[31mb\u{e9} ".repeat(40));
        let text = line.to_string();
        assert!(text.lines().all(|row| row.chars().count() <= WIDTH), "{text}");
        assert!(!text.contains('\x1b'));
        assert_eq!(text.matches('x').count(), 200);
        assert_eq!(Line::yes("a", "").to_string(), "  ok    a\n");
    }
}
