//! YAML as far as a configuration needs it: maps, lists and text, each with its line.

use anyhow::bail;
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

/// A part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins, from 1.
    pub line: usize,
    /// What stands there.
    pub value: Value,
}

/// What a part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing, or one of the words for it.
    Null,
    /// Text, also where it looks like a number.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in its order. The line is that of the key.
    Map(Vec<(String, Node)>),
}

/// The most parts that are read.
const MAX_NODES: usize = 20_000;

/// How deep parts may lie in others.
const MAX_DEPTH: usize = 8;

/// Reads one document; none where there is only space.
pub fn parse(text: &str) -> anyhow::Result<Option<Node>> {
    let mut events = Events { parser: Parser::new_from_str(text), left: MAX_NODES };
    let mut found = None;
    loop {
        match events.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd, _) => {}
            (Event::StreamEnd, _) => return Ok(found),
            (_, line) if found.is_some() => bail!("line {line}: only one document may stand here"),
            (event, line) => found = Some(events.node(event, line, MAX_DEPTH)?),
        }
    }
}

struct Events<'t> {
    parser: Parser<'t, StrInput<'t>>,
    left: usize,
}

impl<'t> Events<'t> {
    fn next(&mut self) -> anyhow::Result<(Event<'t>, usize)> {
        match self.parser.next_event() {
            None => bail!("it ends too early"),
            Some(Err(error)) => bail!("line {}: {}", error.marker().line(), error.info()),
            Some(Ok((event, span))) => Ok((event, span.start.line())),
        }
    }

    fn node(&mut self, first: Event<'t>, line: usize, depth: usize) -> anyhow::Result<Node> {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 || depth == 0 {
            bail!("line {line}: too much, or too deep");
        }
        let value = match first {
            Event::Scalar(text, style, ..) => scalar(&text, style),
            Event::SequenceStart(..) => Value::List(self.list(depth)?),
            Event::MappingStart(..) => Value::Map(self.map(depth)?),
            Event::Alias(_) => bail!("line {line}: aliases are not read: repeat the value"),
            _ => bail!("line {line}: a value is missing"),
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, depth: usize) -> anyhow::Result<Vec<Node>> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, line) => items.push(self.node(event, line, depth - 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> anyhow::Result<Vec<(String, Node)>> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let (event, line) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => bail!("line {line}: a key has to be text"),
            };
            if entries.iter().any(|(known, _)| *known == key) {
                bail!("line {line}: {key} stands here twice");
            }
            let (event, at) = self.next()?;
            let node = self.node(event, at, depth - 1)?;
            entries.push((key, Node { line, ..node }));
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let is_null = style == ScalarStyle::Plain && ["", "~", "null", "Null", "NULL"].contains(&text);
    if is_null { Value::Null } else { Value::Text(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(line: usize, text: &str) -> Node {
        Node { line, value: Value::Text(text.to_owned()) }
    }

    #[test]
    fn parts_have_their_lines() {
        let found = parse("# none\na:\n  b: 'x'\n  c:\n  - 1\n  - two\nd: |\n  p\n  q\ne:\n");
        let inner = vec![
            ("b".to_owned(), text(3, "x")),
            (
                "c".to_owned(),
                Node { line: 4, value: Value::List(vec![text(5, "1"), text(6, "two")]) },
            ),
        ];
        let outer = vec![
            ("a".to_owned(), Node { line: 2, value: Value::Map(inner) }),
            ("d".to_owned(), text(7, "p\nq\n")),
            ("e".to_owned(), Node { line: 10, value: Value::Null }),
        ];
        let expected = Node { line: 2, value: Value::Map(outer) };
        assert_eq!(found.expect("it is YAML"), Some(expected));
    }

    #[test]
    fn nothing_is_no_node_and_what_is_wrong_names_its_line() {
        for empty in ["", "\n", "# a comment\n", "---\n"] {
            let found = parse(empty).expect("it is YAML");
            assert!(found.is_none_or(|node| node.value == Value::Null), "{empty:?}");
        }
        for (bad, line) in [
            ("a: 1\na: 2\n", 2),
            ("a: &x 1\nb: *x\n", 2),
            ("a: 1\n---\nb: 2\n", 3),
            ("a: [1\n", 2),
            ("a: 'x\n", 1),
            ("[a]: b\n", 1),
            ("[[[[[[[[1]]]]]]]]\n", 1),
        ] {
            let error = parse(bad).expect_err(bad).to_string();
            assert!(error.starts_with(&format!("line {line}: ")), "{bad:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a:\\-\\[\\]{}'\"|>&*!#%@ \n\t\u{e4}]{0,80}") {
            let _ = parse(&text);
        }
    }
}
