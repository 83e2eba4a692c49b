//! What the live tests share: targets, servers, frozen processes.

pub mod cgroup;
pub mod frozen;
pub mod service;
pub mod target;
