//! One mapping of a process.

use crate::special::Special;

/// One mapping, as `smaps` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a right of its own")]
pub struct Area {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// What it maps.
    pub kind: AreaKind,
    /// Whether it has any access right (not `---`).
    pub accessible: bool,
    /// Whether it may be written.
    pub writable: bool,
    /// Whether it may be executed.
    pub executable: bool,
    /// Whether what is written there is seen by others who map it (`s`).
    pub shared: bool,
    /// What is known of its sort, where it is a special one.
    pub special: Option<&'static Special>,
    /// `Rss`: resident, hugetlb left out.
    pub rss: u64,
    /// `Pss`: resident, shared pages divided among their mappers.
    pub pss: u64,
    /// `Anonymous`: of `rss`, what no file backs.
    pub anonymous: u64,
    /// `Private_Clean + Private_Dirty`: of `rss`, what nobody else maps.
    pub private: u64,
    /// `LazyFree`: of `anonymous`, what `MADV_FREE` freed and nobody wrote since.
    pub lazy_free: u64,
    /// `Swap`: swapped out, shmem too.
    pub swap: u64,
    /// `Locked`: kept in memory by `mlock`, in the measure of `pss`.
    pub locked: u64,
    /// `Shared_Hugetlb + Private_Hugetlb`: hugetlbfs pages, not in `rss`.
    pub hugetlb: u64,
    /// `KSM` (6.6): of `anonymous`, pages that were merged with equal ones.
    pub merged: Option<u64>,
    /// `AnonHugePages + ShmemPmdMapped + FilePmdMapped`: of `rss`, what lies in huge
    /// pages; not known to kernels without transparent huge pages.
    pub huge: Option<u64>,
}

/// What a mapping maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum AreaKind {
    /// `[heap]`: the area that `brk` moves.
    Heap,
    /// A stack that the kernel names: `[stack]`, or one named by the C library.
    Stack,
    /// Private memory without a file or a telling name.
    #[default]
    Anonymous,
    /// A file, private or shared.
    File,
    /// tmpfs, memfd, System V or anonymous shared memory.
    Shmem,
    /// Pages of hugetlbfs.
    Hugetlb,
    /// Memory of a device (`VmFlags` io or pf).
    Device,
    /// The kernel's own: ring buffers, `[vdso]` and the like.
    Kernel,
}

/// The largest guard below a stack: `pthread_attr_setguardsize` is one page by
/// default; some runtimes use more.
const GUARD: u64 = 64 << 10;
/// The largest area that is taken for a thread's stack.
const STACK: u64 = 64 << 20;

/// The mappings that stand right above a guard: they may be stacks.
pub fn above_guards(areas: &[Area]) -> impl Iterator<Item = &Area> {
    let pairs = areas.windows(2).filter(|pair| pair[1].is_above_guard(&pair[0]));
    pairs.map(|pair| &pair[1])
}

impl Area {
    /// Whether it stands above a guard, and no more is known against its being a stack.
    pub(crate) fn is_above_guard(&self, below: &Self) -> bool {
        let is_guard =
            !below.accessible && below.kind == AreaKind::Anonymous && below.size() <= GUARD;
        let is_stack = self.kind == AreaKind::Anonymous && self.writable && self.size() <= STACK;
        is_guard && is_stack && below.end == self.start
    }

    /// Size of the mapping; 0 for one whose bounds are not in order.
    pub fn size(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// The anonymous part of `pss`. `smaps` does not split it by kind, so pages
    /// that others map too are taken in proportion.
    pub fn pss_anonymous(&self) -> u64 {
        let own = self.anonymous.min(self.private);
        let shared = self.rss.saturating_sub(self.private);
        let others = (self.anonymous - own).min(shared);
        if others == 0 {
            return own;
        }
        let shared_pss = u128::from(self.pss.saturating_sub(self.private));
        let part = u128::from(others) * shared_pss / u128::from(shared);
        own.saturating_add(u64::try_from(part).unwrap_or(u64::MAX))
    }
}
