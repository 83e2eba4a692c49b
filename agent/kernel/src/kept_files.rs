//! Files of one directory that stay open from one reading to the next: to open and to close
//! a file of a few bytes costs more than to read it.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

use memgap_ledger::Fact;
use rustix::io::Errno;

/// Open files by their names; few enough to be searched one by one.
#[derive(Debug, Default)]
pub(crate) struct KeptFiles(Mutex<Vec<(Box<str>, File)>>);

impl KeptFiles {
    /// Reads a file, which is opened where it is not yet, and anew where the kernel has
    /// taken it away: another may stand in its place.
    pub fn read<T>(
        &self,
        name: &str,
        open: impl FnOnce() -> Fact<File>,
        mut read: impl FnMut(&File) -> io::Result<T>,
    ) -> Fact<io::Result<T>> {
        // What a panic left is whole: an entry is put there in one go.
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = files.iter().position(|(kept, _)| **kept == *name) {
            match read(&files[at].1) {
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NODEV) => {
                    files.swap_remove(at);
                }
                read => return Ok(read),
            }
        }
        let file = open()?;
        let read = read(&file);
        files.push((name.into(), file));
        Ok(read)
    }

    /// Closes all but those of some names.
    pub fn keep_only(&self, names: &[&str]) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|(name, _)| names.contains(&&**name));
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
