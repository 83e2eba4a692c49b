//! Pages are text with a few escape sequences of our own: they become styled lines.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// The lines of a page, foreign text in which was made safe.
pub fn lines(page: &str) -> Vec<Line<'static>> {
    page.lines().map(line).collect()
}

fn line(text: &str) -> Line<'static> {
    let mut spans = Vec::new();
    let mut parts = text.split("\x1b[");
    spans.extend(parts.next().map(|plain| Span::raw(plain.to_owned())));
    for part in parts {
        let (code, rest) = part.split_once('m').unwrap_or(("", part));
        spans.push(Span::styled(rest.to_owned(), style(code)));
    }
    spans.retain(|span| !span.content.is_empty());
    Line::from(spans)
}

/// That of a sequence, by the numbers that `terminal::Style` writes.
fn style(code: &str) -> Style {
    code.split(';').fold(Style::new(), |style, number| match number {
        "1" => style.add_modifier(Modifier::BOLD),
        "2" => style.add_modifier(Modifier::DIM),
        "31" => style.fg(Color::Red),
        "32" => style.fg(Color::Green),
        "33" => style.fg(Color::Yellow),
        "34" => style.fg(Color::Blue),
        "35" => style.fg(Color::Magenta),
        "36" => style.fg(Color::Cyan),
        _ => style,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_a_page_become_styles() {
        let made = line("a\x1b[1;31mb\x1b[0mc");
        assert_eq!(made.spans.len(), 3);
        assert_eq!(made.spans[1].style.fg, Some(Color::Red));
        assert_eq!(made.spans[2], Span::raw("c"));
        assert_eq!(made.to_string(), "abc");
    }
}
