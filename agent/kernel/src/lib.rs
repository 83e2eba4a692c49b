//! The kernel's interfaces: procfs, cgroupfs and the memory of other processes.
//!
//! Files are read relative to directory handles, so that a pid that is used again is
//! never mistaken for the process that was asked for. What can not be read becomes a
//! `Missing` that names the file and says whether it is gone, denied, absent or
//! malformed. Nothing here knows a runtime or an allocator.

pub mod cgroups;
mod container_names;
pub mod cpu;
mod fields;
pub mod file;
mod kept_files;
mod kind;
pub mod lazily_freed;
pub mod memory;
pub mod one_memory;
pub mod pid_namespace;
pub mod process;
pub mod published;
pub mod source;
pub mod special;
pub mod stacks;
pub mod text;
pub mod tmpfs;
pub mod turns;

pub use cgroups::Cgroups;
pub use container_names::PodNames;
pub use file::{Buf, Dir};
pub use process::Process;
