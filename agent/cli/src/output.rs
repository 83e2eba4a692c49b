//! What a command answers, and how it is written.

use std::io::{self, Write};
use std::time::SystemTime;

use memgap_json as json;
use serde::Serialize;

use crate::view::terminal::Style;

/// The exit code where nothing was found, or something failed.
pub const FAILED: u8 = 1;
/// The exit code of an answer that is one in part: rights were wanting, or a process does not answer.
pub const IN_PART: u8 = 3;

/// What is printed, and the exit code.
pub struct Answer {
    pub text: String,
    pub code: u8,
}

impl Answer {
    pub fn whole(text: String) -> Self {
        Self { text, code: 0 }
    }

    /// An answer that is one in part where rights were wanting.
    pub fn of(text: String, in_part: bool) -> Self {
        Self { text, code: if in_part { IN_PART } else { 0 } }
    }
}

/// How an answer is given.
pub struct Output {
    pub style: Style,
    pub json: bool,
    pub time: SystemTime,
}

impl Output {
    /// The document or the page, whichever was asked for.
    pub fn text<T: Serialize>(
        &self,
        document: impl FnOnce() -> T,
        page: impl FnOnce(&Style) -> String,
    ) -> anyhow::Result<String> {
        if !self.json {
            return Ok(page(&self.style));
        }
        Ok(json::Document::new(self.time, document()).text()?)
    }
}

/// Writes a text to standard output, whole.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
