//! What a request asks for: the parameters of its query. What is wrong gets one line that
//! names it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::index::{Entry, Label};

/// Items of a page where nobody says how many.
const LIMIT: usize = 100;

/// The most that anybody gets.
pub const MAX_LIMIT: usize = 1000;

/// What is asked of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The most items.
    pub limit: usize,
    /// What the page before ended with.
    pub after: Option<String>,
    filters: Vec<(Label, String)>,
}

/// What a list can be asked for by.
pub type Filters = &'static [Filter];

/// A parameter, and the label that it is about.
#[derive(Debug)]
pub struct Filter {
    pub name: &'static str,
    pub label: Label,
    /// The only words that it takes, where it does not take any.
    pub words: Option<&'static [&'static str]>,
}

impl Filter {
    /// One that takes any word.
    pub const fn new(name: &'static str, label: Label) -> Self {
        Self { name, label, words: None }
    }

    fn check(&self, value: &str) -> Result<(), String> {
        match self.words {
            Some(words) if !words.contains(&value) => {
                Err(format!("{}: {} is none of {}", self.name, shown(value), words.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

impl Query {
    /// Understands the query of a request for a list.
    pub fn of(text: &str, filters: Filters) -> Result<Self, String> {
        let mut query = Self { limit: LIMIT, after: None, filters: Vec::new() };
        let mut seen: Vec<String> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name).ok_or("the name of a parameter is not UTF-8")?;
            let filter = filters.iter().find(|filter| filter.name == name);
            if filter.is_none() && !["limit", "after"].contains(&name.as_str()) {
                return Err(unknown(&name, filters));
            }
            let value = decoded(value).ok_or_else(|| format!("{name}: it is not UTF-8"))?;
            if value.is_empty() {
                return Err(format!("{name}: it has no value"));
            }
            if seen.contains(&name) {
                return Err(format!("{name}: it is given twice"));
            }
            match filter {
                Some(filter) => {
                    filter.check(&value)?;
                    query.filters.push((filter.label, value));
                }
                None if name == "limit" => query.limit = limit(&value)?,
                None => query.after = Some(value),
            }
            seen.push(name);
        }
        Ok(query)
    }

    /// Asks for those only whose label has a value.
    pub fn require(&mut self, label: Label, value: &str) {
        self.filters.push((label, value.to_owned()));
    }

    /// Whether an item is asked for.
    pub fn takes(&self, entry: &Entry) -> bool {
        self.filters.iter().all(|(label, value)| entry.has(*label, value))
    }
}

/// The first value of a parameter, where it is there and is text.
pub fn parameter(text: &str, name: &str) -> Option<String> {
    let mut pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    decoded(value)
}

/// What is wrong with the query of a request that has no parameters.
pub fn none(text: &str) -> Result<(), String> {
    let pair = text.split('&').find(|pair| !pair.is_empty());
    pair.map_or(Ok(()), |pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = decoded(name).ok_or("the name of a parameter is not UTF-8")?;
        Err(format!("{}: there is no such parameter here: there is none", shown(&name)))
    })
}

fn limit(value: &str) -> Result<usize, String> {
    let number = value.bytes().all(|b| b.is_ascii_digit()).then(|| value.parse().ok()).flatten();
    let number = number.filter(|number| (1..=MAX_LIMIT).contains(number));
    number
        .ok_or_else(|| format!("limit: {} is no whole number from 1 to {MAX_LIMIT}", shown(value)))
}

fn unknown(name: &str, filters: Filters) -> String {
    let known: Vec<&str> =
        ["limit", "after"].into_iter().chain(filters.iter().map(|filter| filter.name)).collect();
    format!("{}: there is no such parameter here: there are {}", shown(name), known.join(", "))
}

/// What a client wrote, so that an answer stays one line of bounded length.
pub fn shown(text: &str) -> String {
    const MOST: usize = 64;
    let cut: String = text.chars().take(MOST).collect();
    format!("{cut:?}")
}

fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTERS: Filters = &[
        Filter::new("name", Label::Is(0)),
        Filter { name: "size", label: Label::Is(1), words: Some(&["small", "large"]) },
    ];

    #[test]
    fn a_query_is_understood() {
        let query = Query::of("limit=7&after=%2Fa%20b&name=a+b&", FILTERS).expect("it is right");
        let filters = vec![(Label::Is(0), "a b".to_owned())];
        assert_eq!(query, Query { limit: 7, after: Some("/a b".to_owned()), filters });
        let query = Query::of("", FILTERS).expect("nothing is asked");
        assert_eq!(query, Query { limit: LIMIT, after: None, filters: Vec::new() });
    }

    #[test]
    fn what_is_wrong_is_named_in_one_line() {
        for (text, expected) in [
            ("limit=0", "limit: \"0\" is no whole number from 1 to 1000"),
            ("limit=1001", "limit: \"1001\" is no whole"),
            ("limit=%2B1", "limit: \"+1\" is no whole"),
            ("limit=99999999999999999999999", "limit: \"9"),
            ("limit=%0A", "limit: \"\\n\" is no whole"),
            ("limit=", "limit: it has no value"),
            ("name", "name: it has no value"),
            ("limit=1&limit=2", "limit: it is given twice"),
            ("size=Large", "size: \"Large\" is none of small, large"),
            ("name=%ff", "name: it is not UTF-8"),
            ("%ff=1", "the name of a parameter is not UTF-8"),
            (
                "colour=1",
                "\"colour\": there is no such parameter here: there are limit, after, name, size",
            ),
            ("=1", "\"\": there is no such parameter"),
        ] {
            let error = Query::of(text, FILTERS).expect_err(text);
            assert!(error.starts_with(expected) && !error.contains('\n'), "{text}: {error}");
        }
        assert_eq!(none("&"), Ok(()));
        assert!(none("limit=1").is_err_and(|error| error.starts_with("\"limit\": there is no")));
        let long = "x".repeat(10_000);
        assert!(Query::of(&format!("{long}=1"), FILTERS).is_err_and(|e| e.len() < 200));
    }
}
