//! The HTTP API: the ledgers of a collection as the documents of `memgap --json`.
//!
//! The reader makes the documents, where `--web.api` asks for them, into a sealed file in
//! memory ([`documents`]); the server keeps that file and an [`index`] of it, and copies what a
//! page asks for (`pages`, `routes`). Nothing of the machine is read for a request.

pub mod documents;
pub mod index;
pub mod kills;
mod labels;
mod pages;
pub mod problem;
pub(crate) mod query;
pub mod routes;
pub mod store;

/// How every path of the API begins.
pub const PREFIX: &str = "/api/v1";
