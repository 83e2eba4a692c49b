//! What the live tests share: targets, servers, frozen processes.

pub mod cgroup;
pub mod frozen;
pub mod glibc;
pub mod golang;
pub mod java;
pub mod jemalloc;
pub mod node;
pub mod python;
pub mod service;
pub mod target;
pub mod traces;
