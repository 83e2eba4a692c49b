//! What differs from one version of V8 to the next.

use Kind::{Code, LargeCode, LargeData, New, Paged, ReadOnly};

/// Where the words of a version stand, counted in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub versions: &'static str,
    /// In a chunk: the word that leads to the others, where they stand apart from it
    /// (`MemoryChunkMetadata`).
    pub metadata: Option<usize>,
    pub own: usize,
    pub size: usize,
    pub heap: usize,
    pub owner: usize,
    /// What each space is, by its number (`AllocationSpace`).
    pub kinds: &'static [Kind],
    /// In a paged space: the capacity of all chunks, with that of one before it, then
    /// the most that it was, then what is allocated of it.
    pub capacity: usize,
    /// In a large space: the size of all chunks, then how many, then of their objects.
    pub large: usize,
}

/// What a space holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of the program's file, as good as.
    ReadOnly,
    /// Two halves: new objects are in one of them.
    New,
    /// Chunks of one size.
    Paged,
    /// As `Paged`, of compiled code.
    Code,
    /// Chunks of one object each.
    LargeData,
    /// As `LargeData`, of compiled code.
    LargeCode,
}

const OF_11: &[Kind] =
    &[ReadOnly, New, Paged, Code, Paged, LargeData, LargeData, LargeCode, LargeData];

pub(super) const SHAPES: [Shape; 5] = [
    Shape {
        versions: "10.2 (node 18)",
        metadata: None,
        own: 10,
        size: 0,
        heap: 2,
        owner: 8,
        kinds: &[ReadOnly, Paged, Code, Paged, LargeData, LargeCode, LargeData, New],
        capacity: 32,
        large: 25,
    },
    Shape {
        versions: "11.3 (node 20)",
        metadata: None,
        own: 10,
        size: 0,
        heap: 2,
        owner: 8,
        kinds: OF_11,
        capacity: 17,
        large: 10,
    },
    Shape {
        versions: "11.8 (node 21)",
        metadata: None,
        own: 10,
        size: 0,
        heap: 2,
        owner: 8,
        kinds: OF_11,
        capacity: 18,
        large: 11,
    },
    Shape {
        versions: "12.4 (node 22)",
        metadata: None,
        own: 1,
        size: 2,
        heap: 3,
        owner: 9,
        kinds: &[
            ReadOnly, New, Paged, Code, Paged, Paged, LargeData, LargeData, LargeCode, LargeData,
            LargeData,
        ],
        capacity: 12,
        large: 10,
    },
    Shape {
        versions: "13.6 to 14.1 (node 24 and 25)",
        metadata: Some(1),
        own: 1,
        size: 2,
        heap: 8,
        owner: 10,
        kinds: &[
            ReadOnly, New, Paged, Code, Paged, Paged, Paged, LargeData, LargeData, LargeCode,
            LargeData, LargeData, LargeData,
        ],
        capacity: 13,
        large: 11,
    },
];
