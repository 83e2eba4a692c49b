//! One file per kernel interface: `parse` over bytes beside `read` over a handle.

pub mod cgroup;
pub mod maps;
pub mod meminfo;
pub mod memory_stat;
pub mod mountinfo;
pub mod pagemap;
pub mod smaps;
pub mod smaps_rollup;
pub mod sockstat;
pub mod stat;
pub mod statm;
pub mod status;
pub mod zoneinfo;

/// What a parser says of a text that is not in its documented form.
pub type Parsed<T> = Result<T, &'static str>;
