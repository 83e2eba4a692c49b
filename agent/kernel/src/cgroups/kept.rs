//! Directories of cgroups that stay open, with their files, from one collection to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use memgap_ledger::Fact;

use crate::file::Dir;

/// Files that are read of one cgroup, its directory too, and a few that later kernels may
/// have.
const HANDLES: usize = 16;

/// The directories by their paths. Without room none is kept.
#[derive(Debug, Default)]
pub struct KeptDirs {
    /// How many handles they may take together.
    room: usize,
    /// What they took after the last collection, and those since may take at most.
    taken: usize,
    dirs: BTreeMap<String, Kept>,
}

#[derive(Debug)]
struct Kept {
    dir: Arc<Dir>,
    is_seen: bool,
}

impl KeptDirs {
    pub fn new(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    /// The directory that is kept for a path.
    pub fn get(&mut self, path: &str) -> Option<Arc<Dir>> {
        let kept = self.dirs.get_mut(path)?;
        kept.is_seen = true;
        Some(Arc::clone(&kept.dir))
    }

    /// A directory that was opened, which is kept where there is room.
    pub fn add(&mut self, path: &str, dir: Fact<Dir>) -> Fact<Arc<Dir>> {
        let dir = dir?;
        if self.taken + HANDLES > self.room {
            return Ok(Arc::new(dir));
        }
        let dir = Arc::new(dir.keeping_files());
        self.taken += HANDLES;
        self.dirs.insert(path.to_owned(), Kept { dir: Arc::clone(&dir), is_seen: true });
        Ok(dir)
    }

    /// Forgets a directory that does not answer any more.
    pub fn remove(&mut self, path: &str) {
        self.dirs.remove(path);
    }

    /// Closes those which the last collection did not meet.
    pub fn forget_ended(&mut self) {
        self.dirs.retain(|_, kept| std::mem::take(&mut kept.is_seen));
        self.taken = self.dirs.values().map(|kept| kept.dir.handles()).sum();
    }
}
