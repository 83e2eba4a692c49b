//! The page: words of eight bytes, little endian, that readers of another process
//! take without a lock. `docs/beacon.md` describes it.
#![allow(unsafe_code, reason = "memory that is shared is mapped, and read by others")]

use std::io;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use crate::Statistics;
use crate::guard::Guard;

/// The most gauges of a program.
pub const MAX_GAUGES: usize = 96;
/// The longest name of a gauge, in bytes.
pub const MAX_NAME: usize = 31;

/// By which it is found: `/memfd:memgap-beacon (deleted)` in `/proc/PID/maps`.
const NAME: &str = "memgap-beacon";
const SIZE: usize = 4096;
const WORDS: usize = SIZE / 8;
const MAGIC: u64 = u64::from_le_bytes(*b"MEMGAP\0B");
const VERSION: u64 = 1;

/// Places of words.
const AT_MAGIC: usize = 0;
const AT_VERSION: usize = 1;
/// Odd while the words behind it are written.
const AT_SEQUENCE: usize = 2;
/// The time, eight statistics, the number of gauges; then from `AT_GAUGES` on each
/// gauge: four words of its name, padded with zeros, and its value.
const AT_FIGURES: usize = 3;
const AT_GAUGES: usize = 16;
const NAME_WORDS: usize = 4;

/// What stands behind the sequence.
#[derive(Debug)]
pub(crate) struct Figures([u64; WORDS - AT_FIGURES]);

impl Figures {
    /// Figures of a time in nanoseconds since 1970.
    pub fn of(time: u64, statistics: &Statistics, gauges: &[(&str, u64)]) -> Self {
        let Statistics { allocated, active, metadata, resident, mapped, retained, dirty, muzzy } =
            *statistics;
        let mut words = [0; WORDS - AT_FIGURES];
        let gauges = &gauges[..gauges.len().min(MAX_GAUGES)];
        let head = [
            time,
            allocated,
            active,
            metadata,
            resident,
            mapped,
            retained,
            dirty,
            muzzy,
            gauges.len() as u64,
        ];
        words[..head.len()].copy_from_slice(&head);
        let room = words[AT_GAUGES - AT_FIGURES..].chunks_exact_mut(NAME_WORDS + 1);
        for (room, (name, value)) in room.zip(gauges) {
            let mut padded = [0; NAME_WORDS * 8];
            let len = name.len().min(MAX_NAME);
            padded[..len].copy_from_slice(&name.as_bytes()[..len]);
            for (word, bytes) in room.iter_mut().zip(padded.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            room[NAME_WORDS] = *value;
        }
        Self(words)
    }
}

/// The page, mapped. A child of a fork does not have it.
#[derive(Debug)]
pub(crate) struct Page {
    words: NonNull<AtomicU64>,
    guard: Arc<Guard>,
}

// SAFETY: its words are atomic, and the mapping lives until the page is dropped.
unsafe impl Send for Page {}

impl Page {
    /// A page that no one can make shorter or longer.
    pub fn new(guard: Arc<Guard>) -> io::Result<Self> {
        let file = memfd_create(NAME, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, SIZE as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place, where nothing else is.
        let start = unsafe { mmap(ptr::null_mut(), SIZE, access, MapFlags::SHARED, &file, 0) }?;
        let words = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let page = Self { words, guard };
        // SAFETY: the range is the mapping that was just made.
        unsafe { madvise(start, SIZE, Advice::LinuxDontFork) }?;
        page.word(AT_VERSION).store(VERSION.to_le(), Ordering::Relaxed);
        page.word(AT_MAGIC).store(MAGIC.to_le(), Ordering::Release);
        Ok(page)
    }

    /// Writes all figures. `&mut` makes it the only writer.
    pub fn write(&mut self, figures: &Figures) {
        let sequence = u64::from_le(self.word(AT_SEQUENCE).load(Ordering::Relaxed));
        self.word(AT_SEQUENCE).store(sequence.wrapping_add(1).to_le(), Ordering::Relaxed);
        // No figure is seen before the odd sequence is, nor after the even one.
        fence(Ordering::Release);
        for (index, figure) in (AT_FIGURES..).zip(figures.0) {
            self.word(index).store(figure.to_le(), Ordering::Relaxed);
        }
        self.word(AT_SEQUENCE).store(sequence.wrapping_add(2).to_le(), Ordering::Release);
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS, "a word of the page");
        // SAFETY: the mapping has `WORDS` words, lives as long as `self`, and begins at
        // a page; atomics may be shared with whoever else maps it.
        unsafe { self.words.add(index).as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // A child has something else there, or nothing.
        if self.guard.is_own() {
            // SAFETY: the range is the mapping, which no reference outlives.
            let _ = unsafe { munmap(self.words.as_ptr().cast(), SIZE) };
        }
    }
}
