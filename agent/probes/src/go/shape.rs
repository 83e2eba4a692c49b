//! How the runtime's variables are laid out: by version, as DWARF of each tells,
//! and proven in the process by the rules that hold between them.

/// Offsets that differ between versions, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// The versions that have it.
    pub minors: &'static str,
    /// In `gcController`: `heapLive`, and `heapMarked` of the last collection.
    pub live: Option<u64>,
    pub marked: Option<u64>,
    /// In `gcController`: `heapInUse`, on which `heapReleased`, `heapFree`,
    /// `totalAlloc` and `totalFree` follow.
    pub in_use: u64,
    /// In `mheap_`: `pages.mheapLock`, which points to `mheap_` itself.
    pub own_pointer: u64,
    /// In `mheap_`: `pages`, the page allocator.
    pub page_alloc: u64,
    /// Size of `heapStatsDelta`.
    pub delta: u64,
}

/// Every shape that is known. `delta` is that of the older of the versions.
pub(super) const SHAPES: [Shape; 4] = [
    Shape { minors: "1.25 to 1.27", delta: 1168, ..SINCE_21 },
    Shape { minors: "1.21 to 1.24", ..SINCE_21 },
    Shape {
        minors: "1.20",
        live: Some(80),
        marked: Some(128),
        in_use: 248,
        own_pointer: 65784,
        ..SINCE_21
    },
    Shape {
        minors: "1.19",
        live: Some(136),
        marked: Some(184),
        in_use: 304,
        own_pointer: 65816,
        page_alloc: 16,
        ..SINCE_21
    },
];

const SINCE_21: Shape = Shape {
    minors: "",
    live: Some(104),
    marked: Some(152),
    in_use: 272,
    own_pointer: 65824,
    page_alloc: 8,
    delta: 1176,
};

/// In `gcController`, since 1.19: `gcPercent`, `memoryLimit`, `heapMinimum`.
pub(super) const GC_PERCENT: usize = 0;
pub(super) const MEMORY_LIMIT: usize = 8;
pub(super) const HEAP_MINIMUM: usize = 16;
/// More bytes than it has up to the last field that is read.
pub(super) const GC_CONTROLLER: usize = 640;

/// In `pageAlloc`: `chunks`, the first level of the bitmaps.
pub(super) const CHUNKS: u64 = 120;
/// In `pageAlloc`: `inUse.ranges`, a slice of `addrRange`.
pub(super) const RANGES: u64 = 65680;

/// In `heapStatsDelta`.
pub(super) const COMMITTED: usize = 0;
pub(super) const RELEASED: usize = 8;
pub(super) const IN_HEAP: usize = 16;
pub(super) const IN_STACKS: usize = 24;
pub(super) const IN_WORK_BUFS: usize = 32;

/// In `memstats`, behind three `heapStatsDelta` and 16 bytes more.
pub(super) const STACKS_SYS: usize = 0;
pub(super) const MSPAN_SYS: usize = 8;
pub(super) const MCACHE_SYS: usize = 16;
pub(super) const BUCKHASH_SYS: usize = 24;
pub(super) const GC_MISC_SYS: usize = 32;
pub(super) const OTHER_SYS: usize = 40;
pub(super) const PAUSE_TOTAL: usize = 56;
pub(super) const NUM_GC: u64 = 4160;
/// Bytes behind the deltas that hold every field which is read, but the last.
pub(super) const AFTER_DELTAS: usize = 64;

impl Shape {
    /// Where in `memstats` the fields behind the deltas begin.
    pub(super) fn after_deltas(&self) -> u64 {
        3 * self.delta + 16
    }
}
