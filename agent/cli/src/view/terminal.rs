//! The terminal: its width, its colours, the characters it can show.

use std::fmt::Write;
use std::io::IsTerminal;

use memgap_ledger::Class;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always, also into a pipe.
    Always,
    /// Never.
    Never,
}

/// How text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns of a line.
    pub width: usize,
    /// Whether escape sequences for colour are written.
    pub color: bool,
    /// Whether characters beyond ASCII are written.
    pub unicode: bool,
}

/// A use of colour, by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Headings and figures that the eye looks for.
    Strong,
    /// What matters less.
    Faint,
    /// Something urgent.
    Alert,
    /// An account of the class.
    Class(Class),
}

/// Beyond this a line is no easier to read.
const WIDEST: usize = 120;
/// The width that every page fits in: of a pipe, and of a terminal that is narrower.
const PAGE: usize = 80;

impl Style {
    /// Looks at standard output and the environment.
    pub fn detect(color: Color) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let width = terminal.then(terminal_size::terminal_size).flatten();
        Self {
            width: width.map_or(PAGE, |(w, _)| usize::from(w.0).clamp(PAGE, WIDEST)),
            color: match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => terminal && !is_set("NO_COLOR") && !is_dumb(),
            },
            unicode: is_utf8(),
        }
    }

    /// Colours a text that holds no escape sequence.
    pub fn paint(&self, ink: Ink, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Strong => "1",
            Ink::Faint => "2",
            Ink::Alert => "1;31",
            Ink::Class(Class::Program) => "32",
            Ink::Class(Class::Allocator) => "33",
            Ink::Class(Class::Reclaimable) => "36",
            Ink::Class(Class::Kernel) => "35",
            Ink::Class(Class::Unknown) => "34",
        };
        // Each line on its own: a pager forgets colours at the end of a line.
        let lines: Vec<String> =
            text.split('\n').map(|line| format!("\x1b[{code}m{line}\x1b[0m")).collect();
        lines.join("\n")
    }

    /// A foreign text made safe: control characters, and in a locale without
    /// UTF-8 everything beyond ASCII, are escaped.
    pub fn safe(&self, text: &str) -> String {
        let mut safe = String::with_capacity(text.len());
        for c in text.chars() {
            if is_plain(c) && (self.unicode || c.is_ascii()) {
                safe.push(c);
            } else {
                safe.extend(c.escape_default());
            }
        }
        safe
    }

    /// A foreign text made safe and cut at its end to `columns`.
    pub fn fit(&self, text: &str, columns: usize) -> String {
        let text = self.safe(text);
        if text.width() <= columns {
            return text;
        }
        let room = columns.saturating_sub(self.ellipsis().width());
        let mut cut = String::new();
        let mut used = 0;
        for c in text.chars() {
            used += c.width().unwrap_or(0);
            if used > room {
                break;
            }
            cut.push(c);
        }
        cut + self.ellipsis()
    }

    /// As [`Self::fit`], cut at the start: the end of a path tells most.
    pub fn fit_end(&self, text: &str, columns: usize) -> String {
        let text = self.safe(text);
        if text.width() <= columns {
            return text;
        }
        let room = columns.saturating_sub(self.ellipsis().width());
        let mut from = text.len();
        let mut used = 0;
        for (at, c) in text.char_indices().rev() {
            used += c.width().unwrap_or(0);
            if used > room {
                break;
            }
            from = at;
        }
        format!("{}{}", self.ellipsis(), &text[from..])
    }

    /// Breaks a text into lines of the page: the first begins after `first`
    /// columns, the others after `rest` columns, which are written.
    pub fn wrap(&self, text: &str, first: usize, rest: usize) -> String {
        let mut out = String::new();
        let mut used = first;
        let mut is_empty = true;
        for word in self.safe(text).split_whitespace() {
            let word = self.fit_end(word, self.width.saturating_sub(rest).max(1));
            if used + usize::from(!is_empty) + word.width() > self.width && used > rest {
                let _ = write!(out, "\n{:rest$}", "");
                (used, is_empty) = (rest, true);
            }
            if !is_empty {
                out.push(' ');
                used += 1;
            }
            out.push_str(&word);
            used += word.width();
            is_empty = false;
        }
        out
    }

    fn ellipsis(&self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }
}

/// Pads to `columns` on the right, by what a terminal shows.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{:fill$}", "", fill = columns.saturating_sub(text.width()))
}

/// Whether a character shows itself and moves nothing else on the line.
fn is_plain(c: char) -> bool {
    let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !turns
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// The first of the locale's variables that is set decides (POSIX, 8.2).
fn is_utf8() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            value.contains("utf-8") || value.contains("utf8")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Style = Style { width: 20, color: false, unicode: true };
    const ASCII: Style = Style { width: 20, color: false, unicode: false };

    #[test]
    fn foreign_text_can_not_move_the_cursor_or_turn_the_line() {
        assert_eq!(WIDE.safe("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(WIDE.safe("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(ASCII.safe("né"), "n\\u{e9}");
    }

    #[test]
    fn cutting_counts_columns_not_bytes() {
        assert_eq!(WIDE.fit("日本語テキスト", 7), "日本語…");
        assert_eq!(WIDE.fit_end("/system.slice/nginx.service", 14), "…nginx.service");
        assert_eq!(ASCII.fit("abcdefgh", 6), "abc...");
        assert_eq!(WIDE.fit("short", 5), "short");
    }

    #[test]
    fn no_line_is_longer_than_the_page() {
        let text = "one two three four five/six/seven/eight/nine/ten eleven";
        let wrapped = WIDE.wrap(text, 2, 4);
        assert_eq!(wrapped, "one two three four\n    …/eight/nine/ten\n    eleven");
        assert_eq!(WIDE.wrap("2 more", 0, 4), "2 more");
    }
}
