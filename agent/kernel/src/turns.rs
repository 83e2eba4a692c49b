//! Whom a reader of files on a process's memory keeps waiting, and for how long.

use std::thread;
use std::time::{Duration, Instant};

/// How much is asked for at once of a file of many records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Some records. The kernel formats them into a page (fs/seq_file.c) until it has as
    /// much as was asked for; one that no longer fits is thrown away and made again for the
    /// next call. For `smaps` that is a second walk over a mapping, be it of many GiB; a
    /// record has some 800 bytes, so that with this little asked for it fits.
    Some,
    /// One record of `smaps`, which has more bytes than are asked for. The kernel lets the
    /// target's `mmap_lock` go after each. It takes a third more time of the CPU.
    One,
}

impl Part {
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Some => 3 << 10,
            Self::One => 512,
        }
    }
}

/// Readings, one after the other, of what a target has to wait for meanwhile.
#[derive(Debug)]
pub(crate) struct Turns {
    /// What they took since the target last had its turn.
    held: Duration,
    /// What they may take until it has its next.
    most: Duration,
}

impl Default for Turns {
    fn default() -> Self {
        Self::within(LONG)
    }
}

impl Turns {
    /// As usual, with so much between two pauses.
    pub(crate) const fn within(most: Duration) -> Self {
        Self { held: Duration::ZERO, most }
    }

    /// Reads; before that the target gets its `mmap_lock`, if the readings before were long.
    /// A thread that waits to map memory is woken after each of them, and finds the lock held
    /// again if the next one begins at once: for 4 ms, until the kernel sees to it
    /// (kernel/locking/rwsem.c).
    pub(crate) fn take<T>(&mut self, read: impl FnOnce() -> T) -> T {
        if self.held > self.most {
            thread::sleep(PAUSE);
            self.held = Duration::ZERO;
        }
        let began = Instant::now();
        let done = read();
        self.held += began.elapsed();
        done
    }
}

/// Short beside what a target notices. A pause takes 70 µs with the time that the kernel
/// rounds it up by.
const LONG: Duration = Duration::from_micros(500);

/// As long as it takes to wake up.
const PAUSE: Duration = Duration::from_micros(20);
