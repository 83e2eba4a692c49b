//! Claims: what a runtime's or allocator's own statistics say about addresses.
//!
//! A probe answers with claims. The ledger intersects their ranges with the
//! mappings and with residency; no byte is claimed twice. Where two claims meet,
//! the more specific one keeps the bytes.

use crate::Account;

/// One runtime's or allocator's word about a set of addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Who wins where claims overlap: the most specific first.
    pub priority: Priority,
    /// The runtime or allocator whose heap statistics these are, as in `runtimes`.
    pub owner: String,
    /// Where the memory lies.
    pub extent: Extent,
    /// What the heap statistics say is there, in bytes of address space: in use, free,
    /// metadata and the runtime's own accounts.
    pub parts: Vec<Part>,
}

impl Claim {
    /// A claim that nothing is in memory there.
    pub fn absent(priority: Priority, owner: &str, ranges: Vec<(u64, u64)>) -> Self {
        Self::new(priority, owner, Extent::Absent(ranges), &[])
    }

    /// A claim of these amounts; those of no bytes say nothing and are left out.
    pub fn new(priority: Priority, owner: &str, extent: Extent, parts: &[(Account, u64)]) -> Self {
        let parts = parts.iter().filter(|(_, bytes)| *bytes > 0);
        Self {
            priority,
            owner: owner.to_owned(),
            extent,
            parts: parts.map(|&(account, bytes)| Part { account, bytes }).collect(),
        }
    }
}

/// Where claimed memory lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Address ranges, `start..end`; sorted and merged by the ledger.
    Ranges(Vec<(u64, u64)>),
    /// Shared memory in these ranges: a heap that is mapped once or several times. Its
    /// parts tell the heap's size, and a page that is mapped several times counts once
    /// (Pss); the rest of the mappings' Rss stays shared memory.
    Shared(Vec<(u64, u64)>),
    /// Somewhere in private anonymous memory: the heap statistics say amounts only.
    Anywhere,
    /// Ranges of private memory that an allocator keeps and that were not in memory when it
    /// was read: what claims say is elsewhere. They have no parts.
    Absent(Vec<(u64, u64)>),
}

/// An amount on one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// One of the accounts that a runtime can know.
    pub account: Account,
    /// Bytes of address space, resident or not.
    pub bytes: u64,
}

/// How specific a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A single object or buffer.
    Object,
    /// An arena of an allocator that lives on top of another (obmalloc).
    Nested,
    /// A runtime's own heap (Go, HotSpot).
    Runtime,
    /// The process's `malloc`.
    Malloc,
}
