//! Tells a process from its children: the kernel wipes a page of its memory in them
//! (madvise(2), `MADV_WIPEONFORK`, since Linux 4.14). Pids can not show it, for
//! a child in a pid namespace of its own may have the same one.
#![allow(unsafe_code, reason = "the kernel is asked to wipe the page in children")]

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Of the page only its first word is used.
const SIZE: usize = 4096;
const OWN: u64 = 1;

/// A mark that children of a fork do not have.
#[derive(Debug)]
pub(crate) struct Guard(NonNull<AtomicU64>);

// SAFETY: the word is atomic, and the mapping lives until the guard is dropped.
unsafe impl Send for Guard {}
// SAFETY: as above.
unsafe impl Sync for Guard {}

impl Guard {
    pub fn new() -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place, where nothing else is.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), SIZE, access, MapFlags::PRIVATE) }?;
        let guard = Self(NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?);
        // SAFETY: the range is the mapping that was just made.
        unsafe { madvise(start, SIZE, Advice::LinuxWipeOnFork) }?;
        guard.mark().store(OWN, Ordering::Relaxed);
        Ok(guard)
    }

    /// Whether this is the process that made it.
    pub fn is_own(&self) -> bool {
        self.mark().load(Ordering::Relaxed) == OWN
    }

    fn mark(&self) -> &AtomicU64 {
        // SAFETY: the mapping begins with the word, at a page, and lives as long as
        // `self`; a child has a copy, of zeros.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: the range is the mapping, or a child's copy, which no reference outlives.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), SIZE) };
    }
}
