//! File descriptors kept in hand, for the time when the process has no others left.

use std::fs::File;

/// How many are kept for a listener.
const KEPT: usize = 4;

/// Descriptors that only hold their numbers.
#[derive(Debug, Default)]
pub struct Spare(Vec<File>);

impl Spare {
    /// Takes as many as there are to be had.
    pub fn refill(&mut self) {
        while self.0.len() < KEPT {
            let Ok(file) = File::open("/dev/null") else { return };
            self.0.push(file);
        }
    }

    /// Gives one up; whether there was one.
    pub fn give(&mut self) -> bool {
        self.0.pop().is_some()
    }
}
