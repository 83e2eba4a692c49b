//! A page of a list: some of its documents, and where the next page begins.

use std::io;

use memgap_json::SCHEMA;
use serde::Serialize;

use super::index::{Entry, Lack, List};
use super::query::Query;
use super::store::Store;

/// Bytes of documents on a page: many clients may hold one each, and take their time.
pub const MAX_BYTES: usize = 256 << 10;

/// How an entry is named to a client, which asks for what comes after it.
pub type Token = fn(&Entry, &Store) -> String;

/// What stands before the items.
#[derive(Debug, Serialize)]
struct Head<'p> {
    schema: &'p str,
    time: &'p str,
    /// Of the whole list, on whatever page.
    count: usize,
    left_out: u64,
    absent: &'p [Lack],
    next: Option<String>,
}

/// The page of a list that a query asks for, from behind a key on.
pub fn page(
    store: &Store,
    list: &List,
    query: &Query,
    behind: Option<&str>,
    token: Token,
) -> io::Result<Vec<u8>> {
    let mut items = Vec::new();
    let mut shown = None;
    let mut is_cut = false;
    let entries = list.behind(behind).iter().filter(|entry| query.takes(entry));
    for (count, entry) in entries.enumerate() {
        let has_room = items.len() + entry.span.length as usize <= MAX_BYTES;
        if count == query.limit || !(has_room || count == 0) {
            is_cut = true;
            break;
        }
        if count > 0 {
            items.push(b',');
        }
        store.read(entry.span, &mut items)?;
        shown = Some(entry);
    }
    let head = Head {
        schema: SCHEMA,
        time: &store.index.time,
        count: list.entries.iter().filter(|entry| query.takes(entry)).count(),
        left_out: list.left_out,
        absent: &store.index.absent,
        next: shown.filter(|_| is_cut).map(|entry| token(entry, store)),
    };
    let mut body = serde_json::to_vec(&head)?;
    // The brace that ends the head.
    body.pop();
    body.extend_from_slice(b",\"items\":[");
    body.append(&mut items);
    body.extend_from_slice(b"]}\n");
    Ok(body)
}
