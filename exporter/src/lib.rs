//! The parts of `memgap-exporter`: samples in, metrics out.
//!
//! One process collects on its own clock and encodes each collection once ([`collect`],
//! [`snapshot`]); another hands out those bytes ([`channel`], [`server`]). Nothing is read
//! when a scraper asks. The crate knows the ledger only: who reads the machine is the
//! business of `main` and its roles.

pub mod access;
pub mod activation;
pub mod api;
pub mod args;
pub mod channel;
pub mod collect;
pub mod config;
pub mod count;
pub mod count_totals;
pub mod duration;
pub mod encode;
pub mod endpoints;
pub mod gc;
pub mod gc_totals;
pub mod groups;
pub mod homes;
pub mod kubernetes;
pub mod limit;
pub mod log;
pub mod mounts;
pub mod names;
mod negotiate;
pub mod orders;
pub mod otlp;
mod own;
pub mod pods;
pub mod routes;
pub mod sandbox;
pub mod scope;
pub mod select;
pub mod self_check;
pub mod server;
pub mod snapshot;
pub mod stage;
pub mod tables;
pub mod telemetry;
mod ui;
pub mod workloads;
