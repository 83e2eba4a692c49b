//! Probes: they read one runtime's or allocator's own heap statistics from outside.
//!
//! A probe is one folder and one word in [`PROBES`]. It works on the file that holds
//! the runtime and on the memory of a process that maps it, and answers only where
//! the runtime's own rules hold in what it read.

mod beacon;
mod beam;
mod cache;
#[cfg(test)]
mod captured;
mod cpython;
pub mod elf;
mod file_systems;
mod glibc;
mod go;
mod hotspot;
mod image;
mod jemalloc;
mod layouts;
mod mimalloc;
mod musl;
mod probe;
mod registry;
mod scan;
mod tcmalloc;
mod v8;
mod zend;

pub use cache::{Attached, CacheUse, Look, Probes, Refused, Share};
pub use image::{Image, Mapped};
pub use probe::{Detail, HeapStatistics, Layout, Probe, Read, add};
pub use registry::{RULES, Rule};
#[cfg(fuzzing)]
pub use {beacon::Beacon, registry::named};

/// Every probe. Flags, help, docs and tests derive from this list.
pub const PROBES: &[&dyn Probe] = &[
    &go::Go,
    &hotspot::HotSpot,
    &v8::V8,
    &zend::Zend,
    &beam::Beam,
    &cpython::CPython,
    &jemalloc::Jemalloc,
    &mimalloc::Mimalloc,
    &tcmalloc::Tcmalloc,
    &glibc::Glibc,
    &musl::Musl,
];
