//! File descriptors kept in hand, for the time when the process has no others left.

use std::os::fd::{AsFd, OwnedFd};

/// How many are kept for a listener.
const KEPT: usize = 4;

/// Descriptors that only hold their numbers.
#[derive(Debug, Default)]
pub struct Spare(Vec<OwnedFd>);

impl Spare {
    /// Takes as many as there are to be had: further ones of a file that is open.
    pub fn refill(&mut self, of: impl AsFd) {
        while self.0.len() < KEPT {
            let Ok(spare) = of.as_fd().try_clone_to_owned() else { return };
            self.0.push(spare);
        }
    }

    /// Gives one up; whether there was one.
    pub fn give(&mut self) -> bool {
        self.0.pop().is_some()
    }
}
