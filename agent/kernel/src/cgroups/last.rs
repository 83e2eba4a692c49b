//! What collections read of cgroups last. Of one where nothing was charged or given back since
//! the last collection, most files would tell the same again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use memgap_ledger::Fact;
use memgap_ledger::events::Events;

/// In so many collections all of a cgroup is read once, whether it changed or not: an
/// allocation that failed at its limit at once leaves no other trace.
pub const EVERY: u32 = 16;

/// What was read of one cgroup, and when it is to be read again.
#[derive(Debug, Default)]
pub struct Last {
    /// The text of `memory.stat`, by its hash, and usage. Events are counted in the text too,
    /// so that what is allocated and freed again between two collections changes it.
    at: Option<(u64, u64)>,
    rest: Option<Rest>,
    /// Collections that may go by what is known.
    left: u32,
}

/// What follows the statistics and usage of a cgroup.
#[derive(Debug, Clone)]
pub struct Rest {
    pub kmem: Fact<u64>,
    pub events: Events,
}

impl Last {
    /// What is known of a cgroup that is at `now`, where it was there before.
    pub fn known(&mut self, now: Option<(u64, u64)>) -> Option<&Rest> {
        if now.is_none() || now != self.at || self.left == 0 {
            return None;
        }
        self.left -= 1;
        self.rest.as_ref()
    }

    /// Nothing is known for a later collection: it reads all.
    fn forget(&mut self) {
        (self.at, self.rest, self.left) = (None, None, 0);
    }

    /// Notes what was read of the cgroup at a path.
    pub fn note(&mut self, path: &str, now: Option<(u64, u64)>, rest: &Rest) {
        // What was waited lately decays by itself, until it is 0.
        if !is_at_rest(&rest.events) {
            return self.forget();
        }
        let is_first = self.rest.is_none();
        // Those that were met at once take turns.
        self.left = if is_first { turn(path) } else { EVERY - 1 };
        (self.at, self.rest) = (now, Some(rest.clone()));
    }
}

fn is_at_rest(events: &Events) -> bool {
    let Ok(stall) = &events.stall else { return true };
    stall.some.last_ten == 0 && stall.full.last_ten == 0
}

fn turn(path: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    u32::try_from(hasher.finish() % u64::from(EVERY)).unwrap_or_default()
}

/// All of them by their paths, those of the last collection and of this one.
#[derive(Debug, Default)]
pub struct LastRead {
    before: HashMap<String, Last>,
    now: HashMap<String, Last>,
}

impl LastRead {
    /// What is known of one; nothing of one that is new.
    pub fn take(&mut self, path: &str) -> Last {
        self.before.remove(path).unwrap_or_default()
    }

    /// Keeps what was read of one for the next collection.
    pub fn put(&mut self, path: &str, last: Last) {
        self.now.insert(path.to_owned(), last);
    }

    /// Forgets those which the last collection did not meet.
    pub fn forget_ended(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

#[cfg(test)]
mod tests {
    use memgap_ledger::Missing;
    use memgap_ledger::events::{Stall, Waited};

    use super::*;

    const NOW: Option<(u64, u64)> = Some((1, 2));

    fn rest(kmem: u64) -> Rest {
        Rest { kmem: Ok(kmem), events: Events::missing(&Missing::absent("not read")) }
    }

    #[test]
    fn what_is_known_holds_while_nothing_changes_and_for_so_long() {
        let mut last = Last::default();
        assert!(last.known(NOW).is_none(), "nothing is known yet");
        last.note("/a", NOW, &rest(3));
        last.note("/a", NOW, &rest(4));
        for _ in 1..EVERY {
            assert_eq!(last.known(NOW).map(|rest| rest.kmem.clone()), Some(Ok(4)));
        }
        assert!(last.known(NOW).is_none(), "it is read once in so many collections");
    }

    #[test]
    fn what_changed_or_could_not_be_read_is_read_again() {
        for now in [Some((2, 2)), Some((1, 3)), None] {
            let mut last = Last::default();
            last.note("/a", NOW, &rest(3));
            last.note("/a", NOW, &rest(3));
            assert!(last.known(now).is_none(), "{now:?}");
        }
        let mut last = Last::default();
        last.note("/a", None, &rest(3));
        last.note("/a", None, &rest(3));
        assert!(last.known(None).is_none(), "what is not known is not the same");
    }

    #[test]
    fn where_somebody_waited_lately_all_is_read_again() {
        let mut last = Last::default();
        let waited = Waited { last_ten: 1, ..Waited::default() };
        let mut rest = rest(3);
        for stall in
            [Stall { some: waited, ..Stall::default() }, Stall { full: waited, ..Stall::default() }]
        {
            rest.events.stall = Ok(stall);
            last.note("/a", NOW, &rest);
            last.note("/a", NOW, &rest);
            assert!(last.known(NOW).is_none(), "{stall:?} decays by itself");
        }
        rest.events.stall = Ok(Stall::default());
        last.note("/a", NOW, &rest);
        last.note("/a", NOW, &rest);
        assert!(last.known(NOW).is_some());
    }

    #[test]
    fn one_that_ended_is_forgotten_and_many_take_turns() {
        let mut read = LastRead::default();
        for at in 0..64 {
            let path = format!("/{at}");
            let mut last = read.take(&path);
            last.note(&path, NOW, &rest(at));
            read.put(&path, last);
        }
        read.forget_ended();
        let turns: std::collections::BTreeSet<u32> = read.before.values().map(|l| l.left).collect();
        assert!(turns.len() > 8, "{turns:?}");
        read.forget_ended();
        assert!(read.take("/1").rest.is_none());
    }
}
