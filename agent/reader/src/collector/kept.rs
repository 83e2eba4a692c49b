//! What is kept of a walk, and of what it cost.

use std::sync::Arc;
use std::time::Instant;

use memgap_ledger::Fact;
use memgap_ledger::sample::{Area, Stacks};

use crate::walk::Rate;

/// A walk that was made, with what tells whether it is still worth showing.
#[derive(Debug)]
pub(super) struct Kept {
    pub areas: Arc<[Area]>,
    pub stacks: Fact<Stacks>,
    pub made: Instant,
    /// Anonymous memory at that time.
    pub anon: u64,
}

/// What is known of the cost of walking a process; it outlives the walk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    pub rate: Option<Rate>,
    /// How many mappings it has.
    pub areas: Option<usize>,
    /// What of it lay in huge pages, which cost next to nothing.
    pub huge: u64,
}
