//! What the live tests share: targets, servers, programs, frozen processes.

pub mod cgroup;
pub mod fetch;
pub mod frozen;
pub mod glibc;
pub mod golang;
pub mod imports;
pub mod java;
pub mod jemalloc;
pub mod node;
pub mod php;
pub mod procfs;
pub mod programs;
pub mod python;
pub mod redis;
pub mod release;
pub mod rights;
pub mod room;
pub mod service;
pub mod stalls;
pub mod target;
pub mod traces;
