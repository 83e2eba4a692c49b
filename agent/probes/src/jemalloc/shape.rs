//! Where the fields of jemalloc's structures stand, by version: of builds for x86-64
//! with pages of 4 KiB. Each reading checks what it finds there.

use memgap_ledger::{Fact, Missing};

use super::size::Quantum;

/// What of an `edata_t` differs by version: its alignment, where in `e_bits` state, class and
/// free regions stand: first bit, and how many; and where the next one in a list of free
/// pages stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bits {
    pub aligned: usize,
    pub state: (u32, u64),
    pub class: (u32, u64),
    pub free: (u32, u64),
    pub link: usize,
}

/// Offsets in bytes; those of `arena_t` where nothing else is said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The version that they are of.
    pub version: &'static str,
    /// `stats.internal`: what jemalloc allocated from itself.
    pub internal: u64,
    /// `stats.lstats`: one entry a large class.
    pub lstats: u64,
    /// Bytes of an entry.
    pub lstats_stride: usize,
    /// Whether an entry tells the bytes of its pieces, which may differ in size.
    pub active_bytes: bool,
    /// `pa_shard.nactive`: pages in use.
    pub nactive: u64,
    /// `npages` of the lists of dirty, muzzy and retained pages. Their state follows.
    pub npages: [u64; 3],
    /// From `npages` to that of the guarded pages of the same state (5.3).
    pub guarded: Option<u64>,
    /// `bins`.
    pub bins: Bins,
    /// `base`; with a quantum of 8 `base_by_eight` more.
    base: u64,
    base_by_eight: u64,
    /// What of an extent's description differs.
    pub bits: Bits,
    /// In `base_t`: `blocks`, the list of what it mapped.
    pub blocks: usize,
    /// In `base_t`: `allocated`; with a quantum of 8 `allocated_by_eight` more.
    allocated: usize,
    allocated_by_eight: usize,
}

/// How an arena keeps its bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bins {
    /// Behind the arena, the first pointer to them here.
    Pointers(u64),
    /// Here.
    Inline(u64),
}

/// In an arena's lists of pages: the first of its extents, a word of pages, then the state
/// of all of them.
pub(super) const STATES: [u32; 3] = [1, 2, 3];
/// In `base_t`: `ind`, the number of its arena.
pub(super) const IND: usize = 0;
/// In an entry of `lstats`: `active_bytes`, behind `nmalloc` and `ndalloc`.
pub(super) const ACTIVE_BYTES: usize = 16;

const SINCE_5_3: Bits =
    Bits { aligned: 128, state: (17, 3), class: (20, 8), free: (28, 10), link: 64 };

const SHAPES: [Shape; 3] = [
    Shape {
        version: "5.2.1",
        internal: 104,
        lstats: 768,
        lstats_stride: 48,
        active_bytes: false,
        nactive: 10344,
        npages: [15424, 20392, 25360],
        guarded: None,
        bins: Bins::Pointers(29192),
        base: 29480,
        base_by_eight: 24,
        bits: Bits { aligned: 64, state: (16, 2), class: (18, 8), free: (26, 10), link: 24 },
        blocks: 144,
        allocated: 2008,
        allocated_by_eight: 24,
    },
    Shape {
        version: "5.3.0",
        internal: 56,
        lstats: 976,
        lstats_stride: 48,
        active_bytes: false,
        nactive: 10656,
        npages: [20480, 39920, 59360],
        guarded: Some(9656),
        bins: Bins::Inline(78952),
        base: 78936,
        base_by_eight: 0,
        bits: SINCE_5_3,
        blocks: 160,
        allocated: 3880,
        allocated_by_eight: 48,
    },
    Shape {
        version: "5.3.1",
        internal: 72,
        lstats: 992,
        lstats_stride: 56,
        active_bytes: true,
        nactive: 12296,
        npages: [22104, 41544, 60984],
        guarded: Some(9656),
        bins: Bins::Inline(80704),
        base: 80648,
        base_by_eight: 0,
        bits: SINCE_5_3,
        blocks: 160,
        allocated: 3896,
        allocated_by_eight: 48,
    },
];

/// The offsets of a version.
pub(super) fn of(version: &str) -> Fact<&'static Shape> {
    SHAPES.iter().find(|shape| shape.version == version).ok_or_else(|| {
        let known = SHAPES.map(|shape| shape.version).join(", ");
        Missing::absent(format!("jemalloc {version} is not known: known are {known}"))
    })
}

impl Shape {
    /// Where the pointer to the arena's `base_t` stands.
    pub fn base(&self, quantum: Quantum) -> u64 {
        self.base + if quantum == Quantum::Eight { self.base_by_eight } else { 0 }
    }

    /// In `base_t`: bytes that were allocated from it.
    pub fn allocated(&self, quantum: Quantum) -> usize {
        self.allocated + if quantum == Quantum::Eight { self.allocated_by_eight } else { 0 }
    }

    /// Bytes of a `bin_t`, and where `stats.nmalloc` stands in it; `ndalloc`,
    /// `nrequests` and `curregs` follow.
    pub fn bin(&self) -> (usize, usize) {
        match self.bins {
            Bins::Pointers(_) => (280, 136),
            Bins::Inline(_) => (224, 112),
        }
    }
}
