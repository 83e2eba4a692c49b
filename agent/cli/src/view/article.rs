//! A page of the documentation, on a terminal.

use super::terminal::{Ink, Style};

/// The text of a Markdown page of headings, paragraphs and lists, wrapped.
pub fn article(markdown: &str, style: &Style) -> String {
    let blocks = blocks(markdown);
    let mut text = String::new();
    for (number, block) in blocks.iter().enumerate() {
        let is_item = block.starts_with("- ");
        // Lists stand together.
        if number > 0 && !(is_item && blocks[number - 1].starts_with("- ")) {
            text.push('\n');
        }
        text += &match block.strip_prefix("# ") {
            Some(heading) => style.paint(Ink::Strong, &style.wrap(heading, 0, 0)),
            None => style.wrap(&plain(block), 0, if is_item { 2 } else { 0 }),
        };
        text.push('\n');
    }
    text
}

/// Headings, paragraphs and items of lists, each as one line.
fn blocks(markdown: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in markdown.lines().map(str::trim_end) {
        match blocks.last_mut() {
            _ if line.is_empty() => is_open = false,
            Some(block) if is_open && !line.starts_with("- ") => {
                block.push(' ');
                block.push_str(line.trim_start());
            }
            _ => {
                blocks.push(line.to_owned());
                is_open = !line.starts_with('#');
            }
        }
    }
    blocks
}

/// Without what marks stress and links.
fn plain(block: &str) -> String {
    let mut text = String::new();
    let mut rest = block;
    while let Some((before, name, after)) = link(rest) {
        text.push_str(before);
        text.push_str(name);
        rest = after;
    }
    (text + rest).replace("**", "")
}

/// What stands before a link, its name, and what stands behind it.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('[')?;
    let (name, rest) = rest.split_once("](")?;
    let (_, after) = rest.split_once(')')?;
    Some((before, name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_wrapped_and_bare_of_marks() {
        let page = "# name\n\nOne\ntwo.\n\n- **Who:** three\n  four, see [five](five.md).\n- six\n";
        let style = Style { width: 24, color: false, unicode: true };
        let text = article(page, &style);
        assert_eq!(text, "name\n\nOne two.\n\n- Who: three four, see\n  five.\n- six\n");
    }
}
