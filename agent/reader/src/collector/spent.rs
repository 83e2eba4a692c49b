//! What a part of a collection took.

use std::time::{Duration, Instant};

use memgap_kernel::cpu::thread_cpu;

/// Time that was spent on something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// By the clock.
    pub wall: Duration,
    /// Of the CPU, in our own code and in the kernel's.
    pub cpu: Duration,
}

impl Spent {
    pub(super) fn add(&mut self, more: Self) {
        self.wall += more.wall;
        self.cpu += more.cpu;
    }
}

/// Measures what a span of work took.
pub(super) struct Clock {
    wall: Instant,
    cpu: Duration,
}

impl Clock {
    pub fn start() -> Self {
        Self { wall: Instant::now(), cpu: thread_cpu() }
    }

    pub fn spent(&self) -> Spent {
        Spent { wall: self.wall.elapsed(), cpu: thread_cpu().saturating_sub(self.cpu) }
    }
}
