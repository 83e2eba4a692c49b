//! What differs from one version of mimalloc to the next, of builds for use: those to
//! find errors with, and secure ones, keep more in a page.

/// Where the words of a version stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub versions: &'static str,
    /// In a segment, in words: `cookie`.
    pub cookie: usize,
    /// `segment_slices`; then `segment_info_slices`, `kind` and `slice_entries`.
    pub slices: usize,
    /// In a segment, in bytes: the table of `mi_page_t`.
    pub table: u64,
    pub page: PageShape,
}

/// Where the fields of a `mi_page_t` stand, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageShape {
    pub bytes: usize,
    pub used: Field,
    pub block_size: Field,
    pub thread_free: usize,
}

/// A field of that many bytes at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Two(usize),
    Four(usize),
    Eight(usize),
}

const OF_2_0: PageShape =
    PageShape { bytes: 80, used: Field::Four(24), block_size: Field::Four(28), thread_free: 40 };
const OF_2_1_7: PageShape =
    PageShape { bytes: 96, used: Field::Two(32), block_size: Field::Eight(40), thread_free: 56 };

pub(super) const SHAPES: [Shape; 3] = [
    Shape { versions: "2.0.9 to 2.1.2", cookie: 27, slices: 28, table: 264, page: OF_2_0 },
    Shape { versions: "2.1.7", cookie: 27, slices: 28, table: 264, page: OF_2_1_7 },
    Shape { versions: "2.2.4", cookie: 28, slices: 31, table: 288, page: OF_2_1_7 },
];
