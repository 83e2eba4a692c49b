//! One file per kernel interface: `parse` over bytes beside `read` over a handle.

pub mod meminfo;
pub mod memory_stat;
pub mod mountinfo;
pub mod sockstat;
pub mod zoneinfo;
