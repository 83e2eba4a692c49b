//! A document that `memgap TARGET --json` wrote, read again: what two of them are compared by.

use std::time::{Duration, SystemTime};

use memgap_ledger::diff::Side;
use memgap_ledger::{Figure, Scope, headlines};
use serde_json::Value;

use crate::SCHEMA;
use crate::time::parse;

/// A document's figures, and when they were read.
#[derive(Debug)]
pub struct Saved {
    /// What is compared.
    pub side: Side,
    /// When it was read.
    pub time: SystemTime,
}

impl Saved {
    /// Reads a document; what is wrong with it where it is none of one process, cgroup or host.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let document: Value =
            serde_json::from_slice(text).map_err(|error| format!("it is no JSON: {error}"))?;
        match document["schema"].as_str() {
            Some(SCHEMA) => {}
            Some(other) => return Err(format!("its schema is {other}, and {SCHEMA} is read")),
            None => return Err(format!("it is no document of memgap: its schema is not {SCHEMA}")),
        }
        let kind = document["scope"]["kind"].as_str().unwrap_or_default();
        let Some(scope) = Scope::ALL.into_iter().find(|scope| scope.name() == kind) else {
            return Err("it is not of one process, cgroup or host".to_owned());
        };
        let time = document["time"].as_str().and_then(parse);
        let time = time.ok_or("it does not tell when it was read")?;
        let side = Side {
            name: name(&document["scope"]),
            scope,
            headline: headline(&document["headline"]),
            accounts: accounts(scope, &document["accounts"]),
            runtimes: runtimes(&document["runtimes"]),
        };
        Ok(Self { side, time })
    }

    /// What passed until the other, where both are of one thing.
    pub fn until(&self, later: &Self) -> Option<Duration> {
        let is_one = self.side.name == later.side.name && self.side.scope == later.side.scope;
        later.time.duration_since(self.time).ok().filter(|_| is_one)
    }
}

fn name(scope: &Value) -> String {
    let text = |name: &str| scope[name].as_str().unwrap_or_default().to_owned();
    if let Some(pid) = scope["pid"].as_u64() {
        return format!("{} {pid}", text("name"));
    }
    let names = &scope["identity"]["names"];
    match (names["namespace"].as_str(), names["pod"].as_str(), names["container"].as_str()) {
        (Some(namespace), Some(pod), Some(container)) => format!("{namespace}/{pod}/{container}"),
        _ if scope["kind"] == "host" => "host".to_owned(),
        _ => {
            let path = text("path");
            headlines::cgroup_name(&path, &memgap_ledger::Identity::of_path(&path, None))
        }
    }
}

fn headline(headline: &Value) -> Vec<(String, Figure)> {
    let bounds = &headline["bounds"];
    let figures = headline.as_object().into_iter().flatten();
    figures
        .filter(|(_, value)| value.is_i64() || value.is_u64() || value.is_null())
        .map(|(name, value)| (name.clone(), figure(value, &bounds[name])))
        .collect()
}

/// Every account of the scope; one that the document does not have is not known.
fn accounts(scope: Scope, accounts: &Value) -> Vec<(memgap_ledger::Account, Figure)> {
    let rows = accounts.as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |account: memgap_ledger::Account| {
        let row = rows.iter().find(|row| row["name"] == account.name());
        (account, row.map_or(Figure::Absent, |row| figure(&row["bytes"], row)))
    };
    scope.accounts().map(of).collect()
}

fn figure(point: &Value, bounds: &Value) -> Figure {
    let Some(point) = point.as_i64() else { return Figure::Absent };
    match (bounds["low"].as_i64(), bounds["high"].as_i64()) {
        (Some(low), Some(high)) => Figure::interval(low, point, high),
        _ => Figure::Exact(point),
    }
}

fn runtimes(runtimes: &Value) -> Vec<String> {
    let rows = runtimes.as_array().into_iter().flatten();
    rows.filter_map(|row| row["name"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use memgap_ledger::finding::Subject;
    use memgap_ledger::sample::ProcessSample;
    use memgap_ledger::{Missing, process};

    use super::*;
    use crate::{Document, explanation};

    #[test]
    fn a_document_is_read_as_what_it_was_written_of() {
        let sample = ProcessSample::missing(7, &Missing::absent("it is a test"));
        let mut made = process::ledger(&sample);
        made.name = "server".to_owned();
        made.headline.rss = Figure::Exact(9 << 20);
        made.headline.in_use = Figure::interval(1, 2, 3);
        let subject = Subject::Process(&made);
        let time = UNIX_EPOCH + Duration::from_secs(1_795_252_087);
        let text = Document::new(time, explanation(subject, &[])).text().expect("encodes");
        let saved = Saved::read(text.as_bytes()).expect("it is a document");
        assert_eq!(saved.time, time);
        let whole = Side::of(subject);
        assert_eq!(saved.side.name, whole.name);
        assert_eq!(saved.side.accounts, whole.accounts);
        for figure in whole.headline {
            assert!(saved.side.headline.contains(&figure), "{figure:?} in {:?}", saved.side);
        }
    }

    #[test]
    fn what_is_no_document_is_refused_in_a_line() {
        for (text, why) in [
            ("", "no JSON"),
            ("{}", "no document of memgap"),
            (r#"{"schema": "memgap/2"}"#, "memgap/2"),
            (r#"{"schema": "memgap/1", "accounts": []}"#, "not of one process"),
            (r#"{"schema": "memgap/1", "scope": {"kind": "host"}, "time": "x"}"#, "when it was"),
        ] {
            let said = Saved::read(text.as_bytes()).expect_err(text);
            assert!(said.contains(why) && !said.contains('\n'), "{said}");
        }
    }
}
