//! Samples processes, cgroups and the host: once for a command, again and again for
//! the exporter; live, or from a capture.
//!
//! Every reading becomes a type of `memgap_ledger::sample`. The kernel's files are read
//! by `memgap-kernel`, heap statistics by `memgap-probes`; endpoints that programs serve
//! are asked here.

mod access;
mod budget;
mod capture;
mod collector;
mod dying;
pub mod endpoint;
mod error;
mod find;
mod held;
pub mod host;
mod killed;
mod locked;
mod members;
mod one_memory;
mod process;
mod reader;
mod recording;
mod sockets;
mod target;
mod walk;

pub use memgap_kernel::cgroups::Pressure;
pub use memgap_probes::{PROBES, RULES};

pub use access::Access;
pub use capture::{Captured, capture};
pub use collector::{
    CollectionStats, Collector, CostlyTarget, Degraded, PROBE_SHARE, Spent, StuckTarget,
    Unaffordable,
};
pub use endpoint::http::{Endpoint, Limits};
pub use endpoint::pods::{ANNOTATION, PodEndpoint, read as read_pods};
pub use endpoint::{Answer, Figures, read as read_endpoint};
pub use error::Error;
pub use find::{find, find_in, pick};
pub use killed::{killed_since, post_mortem};
pub use process::Depth;
pub use reader::{Reader, Roots};
pub use recording::{Recorder, Recording};
pub use target::{Found, Target};
pub use walk::WalkPolicy;
