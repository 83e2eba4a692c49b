//! What collections read of cgroups last. Of one where nothing was charged or given back since
//! the last collection, most files would tell the same again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use memgap_ledger::Fact;
use memgap_ledger::events::Events;
use memgap_ledger::sample::MemoryStat;

/// In so many collections all of a cgroup is read once, whether it changed or not: an
/// allocation that failed at its limit at once leaves no other trace.
pub const EVERY: u32 = 16;

/// What the text of `memory.stat` has to say the same for, before it is not read again: the
/// kernel brings it up to date every two seconds, where nobody reads it.
const SETTLED: Duration = Duration::from_secs(5);

/// The age at which it is read again, though no process of the cgroup has run and usage is as
/// it was: by reading files others change which of its pages are counted as active.
const MAX_AGE: Duration = Duration::from_secs(30);

/// What tells whether a cgroup is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The text of `memory.stat`, by its hash. Events are counted in it too, so that what is
    /// allocated and freed again between two collections changes it.
    pub text: u64,
    pub usage: u64,
}

/// What was read of one cgroup, and when it is to be read again.
#[derive(Debug, Default)]
pub struct Last {
    at: Option<Known>,
    rest: Option<Rest>,
    /// Collections that may go by what is known.
    left: u32,
}

/// Statistics that were read.
#[derive(Debug)]
struct Known {
    mark: Mark,
    stat: MemoryStat,
    /// When they were read first with that mark, and last.
    first: Instant,
    last: Instant,
}

/// What follows the statistics and usage of a cgroup.
#[derive(Debug, Clone)]
pub struct Rest {
    pub kmem: Fact<u64>,
    pub events: Events,
}

impl Last {
    /// What is known of a cgroup that is at `now`, where it was there before.
    pub fn known(&mut self, now: Option<Mark>) -> Option<&Rest> {
        if now.is_none() || now != self.at.as_ref().map(|at| at.mark) || self.left == 0 {
            return None;
        }
        self.left -= 1;
        self.rest.as_ref()
    }

    /// Statistics that would be read again as they are, of a cgroup that has been at rest
    /// since they were.
    pub fn steady(&self, now: Instant) -> Option<(Mark, &MemoryStat)> {
        let at = self.at.as_ref().filter(|_| self.left > 0)?;
        let is_settled = at.last.saturating_duration_since(at.first) >= SETTLED;
        let is_young = now.saturating_duration_since(at.last) < MAX_AGE;
        (is_settled && is_young).then_some((at.mark, &at.stat))
    }

    /// Its statistics were read, and found as they were.
    pub fn confirm(&mut self, read: Instant) {
        if let Some(at) = &mut self.at {
            at.last = read;
        }
    }

    /// Nothing is known for a later collection: it reads all.
    fn forget(&mut self) {
        (self.at, self.rest, self.left) = (None, None, 0);
    }

    /// Notes what was read of the cgroup at a path, and when.
    pub fn note(
        &mut self,
        path: &str,
        now: Option<(Mark, &MemoryStat)>,
        rest: &Rest,
        read: Instant,
    ) {
        // What was waited lately decays by itself, until it is 0.
        if !is_at_rest(&rest.events) {
            return self.forget();
        }
        let is_first = self.rest.is_none();
        // Those that were met at once take turns.
        self.left = if is_first { turn(path) } else { EVERY - 1 };
        let first = |mark| self.at.as_ref().filter(|at| at.mark == mark).map(|at| at.first);
        self.at = now.map(|(mark, stat)| Known {
            mark,
            stat: *stat,
            first: first(mark).unwrap_or(read),
            last: read,
        });
        self.rest = Some(rest.clone());
    }
}

#[cfg(test)]
impl Last {
    /// As if its statistics had been the same for so long.
    pub fn since(&mut self, age: Duration) {
        if let Some(at) = &mut self.at {
            at.first = at.first.checked_sub(age).unwrap_or(at.first);
        }
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

    const NOW: Option<Mark> = Some(Mark { text: 1, usage: 2 });

    fn note(last: &mut Last, now: Option<Mark>, rest: &Rest) {
        last.note("/a", now.zip(Some(&MemoryStat::default())), rest, Instant::now());
    }

    fn rest(kmem: u64) -> Rest {
        Rest { kmem: Ok(kmem), events: Events::missing(&Missing::absent("not read")) }
    }

    #[test]
    fn what_is_known_holds_while_nothing_changes_and_for_so_long() {
        let mut last = Last::default();
        assert!(last.known(NOW).is_none(), "nothing is known yet");
        note(&mut last, NOW, &rest(3));
        note(&mut last, NOW, &rest(4));
        for _ in 1..EVERY {
            assert_eq!(last.known(NOW).map(|rest| rest.kmem.clone()), Some(Ok(4)));
        }
        assert!(last.known(NOW).is_none(), "it is read once in so many collections");
    }

    #[test]
    fn what_changed_or_could_not_be_read_is_read_again() {
        for now in [Some(Mark { text: 2, usage: 2 }), Some(Mark { text: 1, usage: 3 }), None] {
            let mut last = Last::default();
            note(&mut last, NOW, &rest(3));
            note(&mut last, NOW, &rest(3));
            assert!(last.known(now).is_none(), "{now:?}");
        }
        let mut last = Last::default();
        note(&mut last, None, &rest(3));
        note(&mut last, None, &rest(3));
        assert!(last.known(None).is_none(), "what is not known is not the same");
    }

    #[test]
    fn statistics_are_steady_that_were_the_same_for_a_while_and_are_not_old() {
        let began = Instant::now();
        let stat = MemoryStat { anon: 7, ..MemoryStat::default() };
        let mut last = Last::default();
        let note = |last: &mut Last, mark, at| last.note("/a", Some((mark, &stat)), &rest(1), at);
        let mark = NOW.expect("a mark");
        note(&mut last, mark, began);
        note(&mut last, mark, began + SETTLED / 2);
        let later = began + SETTLED;
        assert!(last.steady(later).is_none(), "they may not be up to date");
        assert!(last.known(NOW).is_some());
        last.confirm(later);
        assert_eq!(last.steady(later), Some((mark, &stat)));
        assert!(last.steady(later + MAX_AGE / 2).is_some());
        assert!(last.steady(later + MAX_AGE).is_none(), "they are old");
        for _ in 2..EVERY {
            assert!(last.known(NOW).is_some() && last.left > 0 || last.steady(later).is_none());
        }
        assert!(last.steady(later).is_none(), "all is read again");
        // Others have to show that they stay.
        note(&mut last, Mark { usage: 9, ..mark }, later);
        note(&mut last, mark, later);
        assert!(last.steady(later).is_none());
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
            note(&mut last, NOW, &rest);
            note(&mut last, NOW, &rest);
            assert!(last.known(NOW).is_none(), "{stall:?} decays by itself");
        }
        rest.events.stall = Ok(Stall::default());
        note(&mut last, NOW, &rest);
        note(&mut last, NOW, &rest);
        assert!(last.known(NOW).is_some());
    }

    #[test]
    fn one_that_ended_is_forgotten_and_many_take_turns() {
        let mut read = LastRead::default();
        for at in 0..64 {
            let path = format!("/{at}");
            let mut last = read.take(&path);
            last.note(&path, NOW.zip(Some(&MemoryStat::default())), &rest(at), Instant::now());
            read.put(&path, last);
        }
        read.forget_ended();
        let turns: std::collections::BTreeSet<u32> = read.before.values().map(|l| l.left).collect();
        assert!(turns.len() > 8, "{turns:?}");
        read.forget_ended();
        assert!(read.take("/1").rest.is_none());
    }
}
