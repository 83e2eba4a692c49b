//! Shared memory that stays although nobody maps it: who holds it.

/// Holders of shared memory among the processes of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedHeld {
    /// What processes hold and none of them maps, the largest first.
    pub holders: Vec<Holder>,
    /// The tmpfs that they see and that hold something, the largest first.
    pub tmpfs: Vec<TmpfsHeld>,
    /// What they hold of memory files and segments that somebody maps, in all.
    pub mapped: u64,
    /// Whether every open file of every process was looked at.
    pub is_whole: bool,
    /// Whether a process is in another IPC namespace, whose segments are not seen.
    pub other_ipc: bool,
}

/// One process, and what it holds under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id in the reader's pid namespace.
    pub pid: u32,
    /// What holds the memory.
    pub kind: HolderKind,
    /// How many files or segments these are.
    pub count: u64,
    /// Their bytes, in memory or swapped out.
    pub bytes: u64,
}

/// What holds shared memory that is not mapped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HolderKind {
    /// Memory files (memfd) of that name, kept open.
    MemoryFile(String),
    /// System V segments, made under that pid.
    Segment,
}

/// A tmpfs: whoever wrote its files, they stay until they are removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TmpfsHeld {
    /// A process that sees it.
    pub pid: u32,
    /// Where that sees it.
    pub point: String,
    /// Bytes of its files.
    pub bytes: u64,
}
