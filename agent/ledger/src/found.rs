//! What a claim met in the mappings, summed over them.

use crate::figure::{Figure, signed};

/// What a claim's ranges met in the mappings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    /// Bytes that the ranges name, mapped and unclaimed or not.
    pub asked: u64,
    pub space: u64,
    pub resident: u64,
    pub low: u64,
    pub high: u64,
    /// What of the resident anonymous bytes a cgroup is charged for this process.
    pub charged: u64,
    /// What of all resident bytes counts where shared pages are divided, and its bounds.
    pub divided: u64,
    pub divided_bounds: (u64, u64),
    /// Whether others map any of the mappings' pages too.
    pub is_shared: bool,
    /// Bytes of shared memory: what is not mapped here others may have written.
    pub backed: u64,
    pub swap: u64,
    pub swap_high: u64,
    pub lazy: u64,
}

/// What amounts without addresses can meet: in one mapping, or in all of them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    /// At most so much of it is in memory, and at most so much is not.
    pub resident: u64,
    pub absent: u64,
    pub swap: u64,
    pub lazy: u64,
    /// All that is in memory, claimed or not, and what of it counts where shared pages
    /// are divided.
    pub whole: u64,
    pub divided: (u64, u64),
    /// Whether others map any of the pages too.
    pub is_shared: bool,
}

impl Room {
    pub(crate) fn add(&mut self, other: Self) {
        let grow = |sum: &mut u64, bytes: u64| *sum = sum.saturating_add(bytes);
        grow(&mut self.resident, other.resident);
        grow(&mut self.absent, other.absent);
        grow(&mut self.swap, other.swap);
        grow(&mut self.lazy, other.lazy);
        grow(&mut self.whole, other.whole);
        grow(&mut self.divided.0, other.divided.0);
        grow(&mut self.divided.1, other.divided.1);
        self.is_shared |= other.is_shared;
    }
}

impl Found {
    /// What of a part of so many bytes is in memory: what finds no room outside of it is.
    pub(crate) fn figure(&self, bytes: u64, resident: u64) -> Figure {
        let low = self.low.saturating_sub(self.space.saturating_sub(bytes));
        Figure::interval(signed(low), signed(resident), signed(bytes.min(self.high)))
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.space = self.space.saturating_add(other.space);
        self.resident = self.resident.saturating_add(other.resident);
        self.low = self.low.saturating_add(other.low);
        self.high = self.high.saturating_add(other.high);
        self.charged = self.charged.saturating_add(other.charged);
        self.divided = self.divided.saturating_add(other.divided);
        self.divided_bounds.0 = self.divided_bounds.0.saturating_add(other.divided_bounds.0);
        self.divided_bounds.1 = self.divided_bounds.1.saturating_add(other.divided_bounds.1);
        self.is_shared |= other.is_shared;
        self.backed = self.backed.saturating_add(other.backed);
        self.swap = self.swap.saturating_add(other.swap);
        self.swap_high = self.swap_high.saturating_add(other.swap_high);
        self.lazy = self.lazy.saturating_add(other.lazy);
    }
}
