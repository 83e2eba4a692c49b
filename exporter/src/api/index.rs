//! Where each document of a collection lies: made by the reader, used by the server.

use serde::{Deserialize, Serialize};

/// What is kept of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Index {
    /// Names the collection: when it was finished, in nanoseconds since 1970.
    pub collection: u64,
    /// The same in words.
    pub time: String,
    /// The host's document.
    pub host: Option<Span>,
    /// Cgroups that have ledgers, by path.
    pub cgroups: List,
    /// Processes, by pid.
    pub processes: List,
    /// Last ledgers of cgroups in which something was killed, the last first.
    pub kills: List,
    /// Findings of all of them, the gravest first.
    pub findings: List,
    /// Lists that could not be read, and why.
    pub absent: Vec<Lack>,
    /// Why no documents were made at all, where none were.
    pub refused: Option<String>,
}

/// The documents of a list, in the order in which they are served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct List {
    /// Each of them.
    pub entries: Vec<Entry>,
    /// How many are not kept, for want of room.
    pub left_out: u64,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What the list is sorted by; no two have the same.
    pub key: String,
    /// What the list can be asked for by: [`Label`] tells which is which.
    pub labels: Vec<String>,
    /// Where the document lies.
    pub span: Span,
}

/// A part of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its first byte.
    pub at: u64,
    /// Its length.
    pub length: u32,
}

/// A list that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// The list.
    pub what: String,
    /// Why.
    pub why: String,
    /// What kind of lack it is.
    pub kind: String,
}

/// A label of an entry, by its place in [`Entry::labels`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// The whole of it.
    Is(usize),
    /// A container: the name at the first place, or the id at the second, or how that begins.
    Container(usize, usize),
}

/// The labels of a cgroup: what it is, then the names of Kubernetes and the id of a container.
pub mod cgroup {
    /// `container`, `unit` or `other`.
    pub const KIND: usize = 0;
    /// Kubernetes' namespace.
    pub const NAMESPACE: usize = 1;
    /// The pod.
    pub const POD: usize = 2;
    /// The container's name.
    pub const CONTAINER: usize = 3;
    /// The container's id.
    pub const ID: usize = 4;
}

/// The labels of a process.
pub mod process {
    /// Its name.
    pub const NAME: usize = 0;
    /// The name of the container that it is in.
    pub const CONTAINER: usize = 1;
    /// The id of that.
    pub const ID: usize = 2;
}

/// The labels of a finding.
pub mod finding {
    /// Its id.
    pub const ID: usize = 0;
    /// How grave it is.
    pub const SEVERITY: usize = 1;
}

/// The least that is taken for the beginning of a container's id.
const SHORT_ID: usize = 12;

impl Index {
    /// Where every document is said to lie.
    pub fn spans(&self) -> impl Iterator<Item = Span> {
        let lists = [&self.cgroups, &self.processes, &self.kills, &self.findings];
        let entries = lists.into_iter().flat_map(|list| &list.entries);
        entries.map(|entry| entry.span).chain(self.host)
    }
}

impl Entry {
    /// Whether a label has a value.
    pub fn has(&self, label: Label, value: &str) -> bool {
        let at = |place: usize| self.labels.get(place).map_or("", String::as_str);
        match label {
            Label::Is(place) => at(place) == value,
            Label::Container(name, id) => {
                at(name) == value || (value.len() >= SHORT_ID && at(id).starts_with(value))
            }
        }
    }
}

impl Span {
    /// The byte behind it.
    pub fn end(self) -> Option<u64> {
        self.at.checked_add(self.length.into())
    }
}

/// The key of a process: as text, pids are sorted as numbers are.
pub fn pid_key(pid: u32) -> String {
    format!("{pid:010}")
}

/// The key of a last ledger: the last comes first.
pub fn kill_key(number: u32) -> String {
    pid_key(u32::MAX - number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_go_by_name_by_id_and_by_how_that_begins() {
        let id = "0123456789abcdef";
        let labels = ["web", "api", id].map(str::to_owned).to_vec();
        let entry = Entry { key: pid_key(1), labels, span: Span { at: 0, length: 0 } };
        let is_in = |value| entry.has(Label::Container(process::CONTAINER, process::ID), value);
        for (value, expected) in
            [("api", true), (id, true), (&id[..12], true), (&id[..11], false), ("ap", false)]
        {
            assert_eq!(is_in(value), expected, "{value}");
        }
        assert!(entry.has(Label::Is(process::NAME), "web"));
        assert!(!entry.has(Label::Is(7), "web"));
    }

    #[test]
    fn pids_are_sorted_as_numbers() {
        assert!(pid_key(9) < pid_key(10) && pid_key(99_999) < pid_key(u32::MAX));
    }
}
