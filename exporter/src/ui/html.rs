//! Text of pages: every word that is not ours is escaped.

use std::fmt::Write;

use memgap_ledger::size::iec;

/// A page that is written from its beginning.
#[derive(Debug)]
pub struct Page {
    text: String,
}

impl Page {
    /// One with a title, and a link to the overview unless it is that.
    pub fn new(title: &str, is_overview: bool) -> Self {
        let mut page = Self { text: String::with_capacity(16 << 10) };
        page.raw("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
        page.raw("<meta name=\"viewport\" content=\"width=device-width\"><title>");
        page.word(title);
        page.raw(" - memgap</title><link rel=\"stylesheet\" href=\"style.css\"></head><body>");
        if !is_overview {
            page.raw("<nav><a href=\"./\">all containers and programs</a></nav>");
        }
        page.raw("<main><h1>");
        page.word(title);
        page.raw("</h1>\n");
        page
    }

    /// Adds what is HTML already.
    pub fn raw(&mut self, html: &str) {
        self.text.push_str(html);
    }

    /// Adds text, escaped.
    pub fn word(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.raw("&amp;"),
                '<' => self.raw("&lt;"),
                '>' => self.raw("&gt;"),
                '"' => self.raw("&quot;"),
                '\'' => self.raw("&#39;"),
                // Nothing that turns the direction of a line, or is no character of HTML.
                c if c.is_control() && c != '\n' => self.raw("\u{fffd}"),
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.raw("\u{fffd}"),
                c => self.text.push(c),
            }
        }
    }

    /// Adds an element with text in it.
    pub fn element(&mut self, name: &str, text: &str) {
        let _ = write!(self.text, "<{name}>");
        self.word(text);
        let _ = write!(self.text, "</{name}>");
    }

    /// Adds a cell with an amount, or a word where it is not known.
    pub fn amount(&mut self, bytes: Option<i64>, unknown: &str) {
        match bytes {
            Some(bytes) => {
                self.raw("<td class=\"n\">");
                self.word(&iec(bytes));
            }
            None => {
                self.raw("<td class=\"n unknown\">");
                self.word(unknown);
            }
        }
        self.raw("</td>");
    }

    /// Ends it.
    pub fn finish(mut self) -> String {
        self.raw("</main></body></html>\n");
        self.text
    }
}

/// A page that says why there is no other.
pub fn of_refusal(why: &str) -> Page {
    let mut page = Page::new("memgap", false);
    page.element("p", why);
    page
}

/// A page of the documents, as it is written.
pub fn of_markdown(title: &str, text: &str) -> Page {
    let mut page = Page::new(title, false);
    page.element("pre", text.trim_start_matches(&format!("# {title}\n")).trim());
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_are_no_html() {
        let mut page = Page::new("<script>", true);
        page.element("p", "a & \"b\" 'c' <img src=x>\u{202e}\u{1b}[31m");
        let text = page.finish();
        assert!(!text.contains("<script") && !text.contains("<img"), "{text}");
        assert!(text.contains("a &amp; &quot;b&quot; &#39;c&#39; &lt;img src=x&gt;"), "{text}");
        assert!(!text.contains('\u{202e}') && !text.contains('\u{1b}'), "{text}");
    }
}
