//! Mapped memory whose every page is accounted for: the raw material of actors.

#![allow(unsafe_code, reason = "mapping, advising and writing single pages has no safe wrapper")]

use std::ffi::c_void;
use std::fs::File;
use std::ops::Range;
use std::ptr;

use anyhow::{Context, Result, ensure};
use rustix::mm::{self, Advice, MapFlags, ProtFlags};

/// Every amount in a scenario is in this unit.
pub const MIB: usize = 1 << 20;
const PAGE: usize = 4096;
const HUGE_PAGE: usize = 2 * MIB;

/// A mapping of our own, kept until the process ends.
pub struct Region {
    start: *mut c_void,
    bytes: usize,
}

impl Region {
    /// Private anonymous memory, written. Huge pages are asked for or refused,
    /// so that the kernel's default decides nothing.
    pub fn anonymous(mib: usize, huge: bool) -> Result<Self> {
        let (bytes, spare) = (mib * MIB, HUGE_PAGE);
        let mapped = map_anonymous(bytes + spare, MapFlags::PRIVATE)?;
        let offset = mapped.align_offset(HUGE_PAGE);
        let region = Self { start: mapped.wrapping_byte_add(offset), bytes };
        let advice = if huge { Advice::LinuxHugepage } else { Advice::LinuxNoHugepage };
        region.advise(0..mib, advice)?;
        region.write(0..mib)?;
        Ok(region)
    }

    /// Shared anonymous memory, written: the kernel heap statistics it as shmem.
    pub fn shared(mib: usize) -> Result<Self> {
        let region = Self { start: map_anonymous(mib * MIB, MapFlags::SHARED)?, bytes: mib * MIB };
        region.write(0..mib)?;
        Ok(region)
    }

    /// The first `mib` of a file, mapped and read. It begins a page behind the start of a
    /// page table, as libraries may, so that large folios lie on both sides of their ends.
    pub fn file(file: &File, mib: usize) -> Result<Self> {
        let bytes = mib * MIB;
        let flags = MapFlags::SHARED | MapFlags::POPULATE | MapFlags::FIXED;
        let reserved = map_anonymous(bytes + HUGE_PAGE + PAGE, MapFlags::PRIVATE)?;
        let at = reserved.wrapping_byte_add(reserved.align_offset(HUGE_PAGE) + PAGE);
        // SAFETY: all of it lies in the mapping just made, of which nobody knows.
        let start = unsafe { mm::mmap(at, bytes, ProtFlags::READ, flags, file, 0) }
            .context("mmap of a file")?;
        Ok(Self { start, bytes })
    }

    /// Advises the kernel on a part, in MiB from the start.
    pub fn advise(&self, part: Range<usize>, advice: Advice) -> Result<()> {
        let (start, bytes) = self.part(part)?;
        // SAFETY: the part lies in this mapping, whose contents nobody relies on.
        unsafe { mm::madvise(start, bytes, advice) }
            .with_context(|| format!("madvise {advice:?} of {bytes} bytes"))
    }

    /// Keeps a part in memory.
    pub fn lock(&self, part: Range<usize>) -> Result<()> {
        let (start, bytes) = self.part(part)?;
        // SAFETY: the part lies in this mapping; locking changes no contents.
        unsafe { mm::mlock(start, bytes) }.with_context(|| format!("mlock of {bytes} bytes"))
    }

    /// Writes one byte to each page of a part.
    pub fn write(&self, part: Range<usize>) -> Result<()> {
        let (start, bytes) = self.part(part)?;
        for offset in (0..bytes).step_by(PAGE) {
            // SAFETY: the byte lies in this mapping, which is writable unless it
            // is a file's, and no reference to it exists. Not 0: swap and KSM
            // treat pages of zeros apart.
            unsafe { start.cast::<u8>().add(offset).write_volatile(1) };
        }
        Ok(())
    }

    fn part(&self, mib: Range<usize>) -> Result<(*mut c_void, usize)> {
        ensure!(mib.start <= mib.end && mib.end * MIB <= self.bytes, "{mib:?} is outside");
        Ok((self.start.wrapping_byte_add(mib.start * MIB), (mib.end - mib.start) * MIB))
    }
}

fn map_anonymous(bytes: usize, flags: MapFlags) -> Result<*mut c_void> {
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address that the kernel chooses.
    unsafe { mm::mmap_anonymous(ptr::null_mut(), bytes, rights, flags) }
        .with_context(|| format!("mmap of {bytes} bytes"))
}
