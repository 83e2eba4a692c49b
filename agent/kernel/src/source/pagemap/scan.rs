//! `PAGEMAP_SCAN`, Linux 6.7: fs/proc/task_mmu.c, include/uapi/linux/fs.h.
#![allow(unsafe_code, reason = "an ioctl with an argument that rustix does not know")]

use std::ffi::c_void;
use std::fs::File;
use std::time::Instant;

use rustix::io::Errno;
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode, opcode};

use super::{Ranges, give_way, push};

const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// Ranges that one call tells, and pages of them: it holds the target's `mmap_lock`
/// meanwhile.
const REGIONS: usize = 512;
const PAGES: u64 = 4096;
/// Bytes that a call looks through: pages that it does not tell take time too.
const WINDOW: u64 = 256 << 20;

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
        let began = Instant::now();
        let part = (at, end.min(at.saturating_add(WINDOW)));
        let (found, walk_end) = scan(file, part, Pages::InRss, PAGES, &mut regions)?;
        let took = began.elapsed();
        for region in found {
            push(into, region.start, region.end, limit)?;
        }
        // Without progress the kernel's answer is not to be trusted.
        if walk_end <= at {
            return Err(Errno::IO);
        }
        at = walk_end;
        if at < end {
            give_way(took);
        }
    }
    Ok(())
}

/// Whether every page is present, the zero page too.
pub(super) fn is_resident(file: &File, start: u64, end: u64) -> Result<bool, Errno> {
    let mut first = [Region::default()];
    let (found, _) = scan(file, (start, end), Pages::Present, NO_LIMIT, &mut first)?;
    Ok(found.first().is_some_and(|first| (first.start, first.end) == (start, end)))
}

/// Which pages are asked for.
#[derive(Debug, Clone, Copy)]
enum Pages {
    /// Those that are present.
    Present,
    /// Of these, those that are not the zero page.
    InRss,
}

/// To the kernel: all pages.
const NO_LIMIT: u64 = 0;

/// The first regions of such pages, as far as there is room, of so many pages at most,
/// and where the kernel stopped looking.
fn scan<'r>(
    file: &File,
    (start, end): (u64, u64),
    pages: Pages,
    max_pages: u64,
    regions: &'r mut [Region],
) -> Result<(&'r [Region], u64), Errno> {
    let without = match pages {
        Pages::Present => 0,
        Pages::InRss => PAGE_IS_PFNZERO,
    };
    let mut scan = Scan {
        size: size_of::<Scan>() as u64,
        start,
        end,
        vec: regions.as_mut_ptr().expose_provenance() as u64,
        vec_len: regions.len() as u64,
        max_pages,
        category_inverted: without,
        category_mask: PAGE_IS_PRESENT | without,
        return_mask: PAGE_IS_PRESENT,
        ..Scan::default()
    };
    // SAFETY: the opcode is that of `Scan`, whose `vec` points to `vec_len`
    // regions that live and are not used otherwise during the call.
    let found = unsafe { ioctl::ioctl(file, &mut scan) }?;
    Ok((regions.get(..found).ok_or(Errno::IO)?, scan.walk_end))
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
