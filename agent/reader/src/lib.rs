//! Reads a machine: the only crate of memgap that touches procfs, cgroupfs and sockets.
//!
//! Every reading becomes a type of `memgap_ledger::sample`; what can not be read
//! becomes a `Missing` that names the file and tells gone, denied, absent and
//! malformed apart. Files are read relative to directory handles, so that a pid
//! that is used again is never mistaken for the process that was asked for.

mod budget;
mod capture;
pub mod cgroups;
mod collector;
mod container_names;
pub mod elf;
mod endpoint;
mod error;
mod fields;
mod file;
mod find;
pub mod host;
mod kind;
pub mod memory;
pub mod probe;
mod process;
mod published;
mod reader;
pub mod source;
mod target;
mod text;
mod walk;

pub use capture::{Captured, capture};
pub use cgroups::Cgroups;
pub use collector::{CollectionStats, Collector, PROBE_SHARE, Spent};
pub use endpoint::{Answer, Figures, read as read_endpoint};
pub use error::Error;
pub use file::{Buf, Dir};
pub use process::{Depth, Process};
pub use reader::{Reader, Roots};
pub use source::http::{Endpoint, Limits};
pub use source::pods::{ANNOTATION, PodEndpoint, read as read_pods};
pub use target::{Found, Target};
pub use walk::WalkPolicy;
