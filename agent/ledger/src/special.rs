//! Special mappings: memory that a process maps and that is neither its own nor an
//! ordinary file's.

/// A sort of special mapping: what it is, who pays for it, whether it can be had back.
#[derive(Debug, PartialEq, Eq)]
pub struct Special {
    /// The stable name, as in JSON.
    pub name: &'static str,
    /// What it is, in plain words, for more than one.
    pub words: &'static str,
    /// What a cgroup is charged for its pages.
    pub charge: Charge,
    /// How the kernel can have its pages back.
    pub reclaim: Reclaim,
}

/// On which counter of a cgroup's `memory.stat` the pages of a mapping stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// No cgroup is charged.
    Nobody,
    /// Kernel memory: `kernel`, v1 `memory.kmem`.
    Kernel,
    /// Page cache: `file`, and not `shmem`.
    PageCache,
    /// `shmem`.
    Shmem,
    /// It depends on the driver.
    Driver,
}

/// How pages can be taken back while they are mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reclaim {
    /// Not before they are unmapped or their owner ends.
    Never,
    /// By writing them to the swap area.
    Swap,
}

impl Charge {
    /// The stable name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Kernel => "kernel",
            Self::PageCache => "page_cache",
            Self::Shmem => "shmem",
            Self::Driver => "driver",
        }
    }

    /// Who pays, in a few words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Nobody => "charged to no cgroup",
            Self::Kernel => "charged as kernel memory",
            Self::PageCache => "charged as page cache",
            Self::Shmem => "charged as shared memory",
            Self::Driver => "charged or not, as the driver does it",
        }
    }
}

impl Reclaim {
    /// In a few words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Never => "not reclaimable",
            Self::Swap => "reclaimable by swapping only",
        }
    }
}
