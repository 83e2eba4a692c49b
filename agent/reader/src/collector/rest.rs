//! Cgroups at rest: since the last collection no process has run in them or below them, and
//! none has come or gone. What they are charged for has changed by others alone, if at all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What is known of cgroups by the processes in them.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Counts collections.
    round: u64,
    /// Each cgroup that has processes itself.
    members: HashMap<String, Members>,
    /// Whether something has happened in a cgroup or below it: those of which that is known.
    stirred: HashMap<String, bool>,
}

/// The processes of one cgroup.
#[derive(Debug, Default)]
struct Members {
    /// Who they are, by a hash that does not depend on their order.
    who: u64,
    has_run: bool,
    /// The collection that met them, and who they were in the one before.
    seen: u64,
    before: Option<u64>,
}

/// What a collection knows of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'p> {
    /// Its pid and its start.
    pub id: (u32, u64),
    /// Its cgroup, where that is known.
    pub cgroup: Option<&'p str>,
    /// Whether it may have run since the last collection.
    pub has_run: bool,
}

impl Rest {
    /// Takes note of all processes of a collection.
    pub fn look<'p>(&mut self, processes: impl Iterator<Item = Seen<'p>>) {
        self.round += 1;
        self.stirred.clear();
        let mut are_known = true;
        for process in processes {
            match process.cgroup {
                Some(path) => self.meet(path, process),
                None => are_known = false,
            }
        }
        let (round, stirred) = (self.round, &mut self.stirred);
        self.members.retain(|path, members| {
            let is_here = members.seen == round;
            let is_same = is_here && members.before == Some(members.who);
            mark(stirred, path, !is_same || members.has_run || !are_known);
            is_here
        });
    }

    fn meet(&mut self, path: &str, process: Seen<'_>) {
        if !self.members.contains_key(path) {
            self.members.insert(path.to_owned(), Members::default());
        }
        let Some(members) = self.members.get_mut(path) else { return };
        if members.seen != self.round {
            let before = (members.seen > 0).then_some(members.who);
            *members = Members { seen: self.round, before, ..Members::default() };
        }
        let mut hasher = DefaultHasher::new();
        process.id.hash(&mut hasher);
        members.who = members.who.wrapping_add(hasher.finish());
        members.has_run |= process.has_run;
    }

    /// Whether the cgroup at a path is at rest. Of one without processes that is not known: who
    /// is in it may be hidden.
    pub fn is_at_rest(&self, path: &str) -> bool {
        self.stirred.get(path) == Some(&false)
    }
}

/// Marks a cgroup, and all above it.
fn mark(all: &mut HashMap<String, bool>, path: &str, is_stirred: bool) {
    let mut path = path;
    loop {
        match all.entry(path.to_owned()) {
            // So are those above it.
            Entry::Occupied(there) if *there.get() || !is_stirred => return,
            Entry::Occupied(mut there) => *there.get_mut() = true,
            Entry::Vacant(none) => {
                none.insert(is_stirred);
            }
        }
        if path == "/" {
            return;
        }
        path = path.rfind('/').map_or("/", |at| &path[..at.max(1)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processes by pid, cgroup and whether they have run.
    fn look(rest: &mut Rest, processes: &[(u32, &str, bool)]) {
        rest.look(processes.iter().map(|&(pid, path, has_run)| Seen {
            id: (pid, 1),
            cgroup: Some(path).filter(|path| !path.is_empty()),
            has_run,
        }));
    }

    const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/a/c", "/d", "/empty"];

    fn at_rest(rest: &Rest) -> Vec<&'static str> {
        PATHS.into_iter().filter(|path| rest.is_at_rest(path)).collect()
    }

    #[test]
    fn what_runs_comes_goes_or_moves_stirs_its_cgroup_and_all_above() {
        const STILL: [(u32, &str, bool); 4] =
            [(1, "/a/b", false), (2, "/a/b", false), (3, "/a/c", false), (4, "/d", false)];
        let mut rest = Rest::default();
        look(&mut rest, &STILL);
        assert_eq!(at_rest(&rest), [""; 0], "they were not met before");
        look(&mut rest, &STILL);
        assert_eq!(at_rest(&rest), ["/", "/a", "/a/b", "/a/c", "/d"]);

        let mut runs = STILL;
        runs[2].2 = true;
        look(&mut rest, &runs);
        assert_eq!(at_rest(&rest), ["/a/b", "/d"]);
        look(&mut rest, &STILL);
        assert_eq!(at_rest(&rest).len(), 5);

        look(&mut rest, &STILL[1..]);
        assert_eq!(at_rest(&rest), ["/a/c", "/d"], "one went");
        look(&mut rest, &STILL);
        assert_eq!(at_rest(&rest), ["/a/c", "/d"], "one came");
        look(&mut rest, &STILL[..3]);
        assert_eq!(at_rest(&rest), ["/a", "/a/b", "/a/c"], "the only one went");
        look(&mut rest, &STILL[..3]);
        assert_eq!(at_rest(&rest), ["/", "/a", "/a/b", "/a/c"], "nobody is there");
        assert!(rest.members.len() == 2);

        let mut moved = STILL;
        moved[2].1 = "/a/b";
        look(&mut rest, &STILL);
        look(&mut rest, &STILL);
        look(&mut rest, &moved);
        assert_eq!(at_rest(&rest), ["/d"]);
        let other = [(7, "/a/b", false), STILL[1], STILL[2], STILL[3]];
        look(&mut rest, &STILL);
        look(&mut rest, &other);
        assert_eq!(at_rest(&rest), ["/a/c", "/d"], "another is in its place");
    }

    #[test]
    fn where_one_may_be_anywhere_nothing_is_at_rest() {
        let mut rest = Rest::default();
        for processes in [&[(1, "/a", false)][..], &[(1, "/a", false), (2, "", false)]] {
            look(&mut rest, processes);
            assert_eq!(at_rest(&rest), [""; 0]);
        }
        look(&mut rest, &[(1, "/a", false)]);
        assert_eq!(at_rest(&rest), ["/", "/a"]);
    }
}
