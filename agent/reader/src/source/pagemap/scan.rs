//! `PAGEMAP_SCAN`, Linux 6.7: fs/proc/task_mmu.c, include/uapi/linux/fs.h.
#![allow(unsafe_code, reason = "an ioctl with an argument that rustix does not know")]

use std::ffi::c_void;
use std::fs::File;

use rustix::io::Errno;
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode, opcode};

use super::{Ranges, push};

const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// Ranges that one call tells: it holds the target's `mmap_lock` meanwhile.
const REGIONS: usize = 512;

/// `struct page_region`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Debug, Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Adds the ranges that are present and not the zero page.
pub(super) fn resident(
    file: &File,
    start: u64,
    end: u64,
    limit: usize,
    into: &mut Ranges,
) -> Result<(), Errno> {
    let mut regions = [Region::default(); REGIONS];
    let mut at = start;
    while at < end {
        let mut scan = Scan {
            size: size_of::<Scan>() as u64,
            start: at,
            end,
            vec: regions.as_mut_ptr().expose_provenance() as u64,
            vec_len: REGIONS as u64,
            category_inverted: PAGE_IS_PFNZERO,
            category_mask: PAGE_IS_PRESENT | PAGE_IS_PFNZERO,
            return_mask: PAGE_IS_PRESENT,
            ..Scan::default()
        };
        // SAFETY: the opcode is that of `Scan`, whose `vec` points to `vec_len`
        // regions that live and are not used otherwise during the call.
        let found = unsafe { ioctl::ioctl(file, &mut scan) }?;
        for region in regions.iter().take(found) {
            push(into, region.start, region.end, limit)?;
        }
        // Without progress the kernel's answer is not to be trusted.
        if scan.walk_end <= at {
            return Err(Errno::IO);
        }
        at = scan.walk_end;
    }
    Ok(())
}

// SAFETY: the kernel reads and writes `size` bytes at the pointer, which are a
// whole `Scan`, and returns how many regions it wrote.
unsafe impl Ioctl for &mut Scan {
    type Output = usize;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<Scan>(b'f', 16)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(*self).cast()
    }

    unsafe fn output_from_ptr(
        found: IoctlOutput,
        _: *mut c_void,
    ) -> rustix::io::Result<Self::Output> {
        usize::try_from(found).map_err(|_| Errno::IO)
    }
}
