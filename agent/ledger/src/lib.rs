//! The accounting of memgap: samples in, ledgers and findings out.
//!
//! This crate never does I/O, never reads a clock and depends on the standard
//! library alone. It owns the input types ([`sample`]) that the reader fills
//! and the output types ([`Ledger`]) that every view shows. All amounts are
//! bytes. What could not be read is a [`Missing`] with its reason, never 0.
#![forbid(unsafe_code)]

pub mod absence;
pub mod account;
pub mod advice;
mod behind;
pub mod busy_gc;
pub mod cgroup;
pub mod claim;
mod claims;
pub mod coverage;
pub mod diff;
pub mod elsewhere;
pub mod events;
pub mod fact;
pub mod figure;
pub mod finding;
mod found;
pub mod gap;
pub mod growth;
pub mod headline;
pub mod headlines;
pub mod held;
pub mod history;
pub mod host;
pub mod host_detail;
mod host_kernel;
pub mod identity;
pub mod in_use;
mod kept;
pub mod kernel_memory;
pub mod largest;
pub mod ledger;
pub mod limits;
mod lru;
pub mod machine;
pub mod mapped;
pub mod members;
pub mod note;
pub mod oom;
pub mod outlook;
mod parts;
mod pool;
pub mod post_mortem;
pub mod process;
pub mod program;
pub mod reason;
pub mod report;
mod required;
pub mod retained;
mod role;
pub mod room;
pub mod runtime;
pub mod sample;
pub mod sharing;
pub mod size;
pub mod sockets;
pub mod special;
mod split;
pub mod verdict;
mod watched;

pub use absence::Absence;
pub use account::{Account, Class, Scope};
pub use advice::Advice;
pub use busy_gc::BusyGc;
pub use cgroup::CgroupLedger;
pub use coverage::Coverage;
pub use events::Events;
pub use fact::{Fact, Missing, MissingKind};
pub use figure::Figure;
pub use finding::Finding;
pub use gap::Gap;
pub use growth::Growth;
pub use headline::CgroupHeadline;
pub use history::History;
pub use host::HostLedger;
pub use identity::Identity;
pub use in_use::InUse;
pub use ledger::{Entry, Ledger};
pub use machine::{Machine, Machines};
pub use process::ProcessLedger;
pub use program::Program;
pub use report::Report;
pub use room::Room;
pub use runtime::{Runtime, SecondSource, Unread};
