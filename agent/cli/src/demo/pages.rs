//! Anonymous pages that a demo program maps, writes and frees lazily.

use std::io;
use std::ops::Range;

use rustix::mm::{Advice, MapFlags, ProtFlags};

/// A private anonymous mapping that stays until the process ends, so that what
/// is shown about it can not change by a forgotten drop.
pub struct Pages {
    start: *mut u8,
    size: usize,
}

impl Pages {
    /// Maps `size` bytes and touches none.
    #[allow(unsafe_code, reason = "the standard library maps no memory")]
    pub fn map(size: usize) -> io::Result<Self> {
        // SAFETY: no address is asked for, so nothing that exists is replaced,
        // and nobody else knows the address.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                size,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        Ok(Self { start: start.cast(), size })
    }

    /// Writes every page of the range, given in bytes.
    #[allow(unsafe_code, reason = "the pages belong to no Rust object")]
    pub fn write(&mut self, range: Range<usize>) {
        for offset in (range.start..range.end.min(self.size)).step_by(rustix::param::page_size()) {
            // SAFETY: the offset lies within the mapping, which is writable,
            // never unmapped, and reached through `self` alone.
            unsafe { self.start.add(offset).write_volatile(1) };
        }
    }

    /// Frees the range with `MADV_FREE` (Linux 4.5): the pages stay until the
    /// kernel wants them or the program writes them again.
    #[allow(unsafe_code, reason = "advice can discard what pages hold")]
    pub fn free_lazily(&mut self, range: Range<usize>) -> io::Result<()> {
        let end = range.end.min(self.size);
        let start = range.start.min(end);
        // SAFETY: the range lies within the mapping, and no reference to its
        // contents exists that a discarded page could change.
        unsafe {
            rustix::mm::madvise(self.start.add(start).cast(), end - start, Advice::LinuxFree)
        }?;
        Ok(())
    }
}
