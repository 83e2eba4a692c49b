//! One file per kernel interface: `parse` over bytes beside `read` over a handle.

pub mod amount;
pub mod cgroup;
pub mod cgroup_stat;
pub mod cgroups;
pub mod cpu_clock;
pub mod hugepages;
pub mod kernel_log;
pub mod maps;
pub mod meminfo;
pub mod memory_events;
pub mod memory_files;
pub mod memory_stat;
pub mod mountinfo;
pub mod oom_control;
pub mod pagemap;
pub mod pressure;
pub mod schedstat;
pub mod slabinfo;
pub mod smaps;
pub mod smaps_rollup;
pub mod sockets;
pub mod sockstat;
pub mod stat;
pub mod statm;
pub mod status;
pub mod swap_events;
pub mod syscall;
pub mod sysvipc;
pub mod vmstat;
pub mod zoneinfo;

/// What a parser says of a text that is not in its documented form.
pub type Parsed<T> = Result<T, &'static str>;
