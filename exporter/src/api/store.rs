//! The documents of the last collection, as the server has them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::index::{Entry, Index, List, Span};
use crate::channel::Documents;

/// Documents, and where each lies.
#[derive(Debug)]
pub struct Store {
    /// Where each lies.
    pub index: Index,
    /// When the server had them.
    pub received: Instant,
    file: File,
}

impl Store {
    /// What the reader sent.
    pub fn of(documents: Documents) -> io::Result<Self> {
        let Documents { file, length, index } = documents;
        let index: Index = serde_json::from_slice(&index)?;
        if !index.spans().all(|span| span.end().is_some_and(|end| end <= length)) {
            let why = "a document is said to lie where there is none";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Self { index, received: Instant::now(), file })
    }

    /// Adds a document to `out`.
    pub fn read(&self, span: Span, out: &mut Vec<u8>) -> io::Result<()> {
        let begin = out.len();
        out.resize(begin + span.length as usize, 0);
        // A copy from memory: the file lies in no file system.
        self.file.read_exact_at(&mut out[begin..], span.at)
    }
}

impl List {
    /// The entry of a key.
    pub fn find(&self, key: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| (*entry.key).cmp(key)).ok()?;
        self.entries.get(at)
    }

    /// The entries behind a key, which need not be there.
    pub fn behind(&self, key: Option<&str>) -> &[Entry] {
        let begin = key.map_or(0, |key| self.entries.partition_point(|entry| *entry.key <= *key));
        &self.entries[begin..]
    }
}
