//! Where a runtime keeps its heap statistics in one file: found in the memory of one process,
//! and used for others that map the file, as far as it serves them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memgap_ledger::{Fact, MissingKind};

use super::{HeapStatistics, Layout};

/// Searches in vain that are made whenever one is asked for: a process that has just
/// started may not have its heap statistics yet. Later ones are made more and more seldom.
const MAX_TRIES: u32 = 16;
/// Users whose layouts are remembered for one file; for others they are searched each
/// time.
const MAX_USERS: usize = 1024;

/// Real, effective and saved: a process of the same ones, in the same mount namespace, may
/// write another's memory (ptrace(2), "Ptrace access mode checking"). One can put lies where
/// a layout is looked for; what is found there serves those where it might do so anyway.
pub(super) type Users = [u32; 3];

/// A process that maps the file.
pub(super) struct Client<'a> {
    pub pid: u32,
    /// Searches its memory for the layout.
    pub find: &'a mut dyn FnMut() -> Fact<Arc<dyn Layout>>,
    /// Reads its heap statistics by a layout: they are refused where that is not its own.
    pub read: &'a dyn Fn(&dyn Layout) -> Fact<HeapStatistics>,
}

/// The layouts of one runtime in one file of a mount namespace.
#[derive(Debug, Default)]
pub(super) struct Layouts(Mutex<HashMap<Users, Known>>);

impl Layouts {
    /// The layout for one process, searched where none is known that serves it. The lock is
    /// not held meanwhile: a process may keep its reader waiting for ever.
    pub fn of(&self, users: Users, round: u64, client: Client<'_>) -> Fact<Arc<dyn Layout>> {
        let mut known = self.lock().remove(&users).unwrap_or_default();
        let layout = known.layout(client);
        let mut all = self.lock();
        if all.len() < MAX_USERS {
            // What another look found meanwhile is as good.
            all.entry(users).or_insert(Known { used: round, ..known });
        }
        layout
    }

    /// Forgets those that were not asked for since a round.
    pub fn forget_unused(&self, since: u64) {
        self.lock().retain(|_, known| known.used >= since);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Users, Known>> {
        // What a panic left is whole: an entry is put back in one go.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known for processes of the same users.
#[derive(Debug, Default)]
struct Known {
    /// The last round in which it was asked for.
    used: u64,
    found: Option<Found>,
    /// Searches that were wanted since one last helped, and what the last one found.
    wanted: u32,
    last: Option<Fact<Arc<dyn Layout>>>,
}

#[derive(Debug)]
struct Found {
    layout: Arc<dyn Layout>,
    /// The process in whose memory it was found.
    author: u32,
    /// Whether it served another one.
    has_served: bool,
}

impl Known {
    fn layout(&mut self, mut client: Client<'_>) -> Fact<Arc<dyn Layout>> {
        let Some(found) = &mut self.found else {
            let layout = self.search(&mut client)?;
            self.take(&layout, client.pid);
            return Ok(layout);
        };
        let shared = Arc::clone(&found.layout);
        if client.is_served_by(&*shared) {
            found.has_served |= found.author != client.pid;
            return Ok(shared);
        }
        // Its author's memory lied, or this one's does.
        let has_served = found.has_served;
        match self.search(&mut client) {
            Ok(own) if client.is_served_by(&*own) => {
                self.wanted = 0;
                if !has_served {
                    self.take(&own, client.pid);
                }
                Ok(own)
            }
            // A reading by the shared one tells what is wrong.
            _ => Ok(shared),
        }
    }

    fn take(&mut self, layout: &Arc<dyn Layout>, author: u32) {
        self.wanted = 0;
        self.found = Some(Found { layout: Arc::clone(layout), author, has_served: false });
    }

    fn search(&mut self, client: &mut Client<'_>) -> Fact<Arc<dyn Layout>> {
        self.wanted = self.wanted.saturating_add(1);
        let is_turn = self.wanted <= MAX_TRIES || self.wanted.is_power_of_two();
        if let Some(last) = self.last.as_ref().filter(|_| !is_turn) {
            return last.clone();
        }
        self.last.insert((client.find)()).clone()
    }
}

impl Client<'_> {
    fn is_served_by(&self, layout: &dyn Layout) -> bool {
        match (self.read)(layout) {
            // Where nothing can be read, nothing speaks against it.
            Err(lack) => matches!(lack.kind, MissingKind::Gone | MissingKind::Denied),
            Ok(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::mpsc;
    use std::thread;

    use memgap_kernel::memory::Space;
    use memgap_ledger::{Missing, Runtime};

    use super::*;
    use crate::{Detail, Mapped};

    /// A layout that serves the processes whose memory is of its kind.
    #[derive(Debug)]
    struct Kind(#[expect(dead_code, reason = "distinguished by how they are shown")] u32);

    impl Layout for Kind {
        fn read(&self, _: &Mapped, _: &Space<'_>, _: Detail) -> Fact<HeapStatistics> {
            unreachable!("a test reads by its name");
        }
    }

    const USERS: Users = [1; 3];

    /// Processes that are looked at in turn.
    struct Machine {
        layouts: Layouts,
        searches: Cell<u32>,
    }

    impl Machine {
        fn new() -> Self {
            Self { layouts: Layouts::default(), searches: Cell::new(0) }
        }

        /// The kind of layout that a process gets which shows one kind to a search, and
        /// is served by another.
        fn look(&self, users: Users, pid: u32, shown: Option<u32>, own: u32) -> Option<u32> {
            let is =
                |kind: u32, layout: &dyn Layout| format!("{layout:?}") == format!("Kind({kind})");
            let lack = || Missing::new(MissingKind::Malformed, "not of its kind");
            let mut find = || {
                self.searches.set(self.searches.get() + 1);
                let layout = shown.map(|kind| Arc::new(Kind(kind)) as Arc<dyn Layout>);
                layout.ok_or_else(lack)
            };
            let read = |layout: &dyn Layout| {
                let statistics =
                    HeapStatistics { runtime: Runtime::named("test"), claims: Vec::new() };
                is(own, layout).then_some(statistics).ok_or_else(lack)
            };
            let client = Client { pid, find: &mut find, read: &read };
            let layout = self.layouts.of(users, 0, client).ok()?;
            (0..9).find(|kind| is(*kind, &*layout))
        }
    }

    #[test]
    fn processes_of_a_kind_are_searched_once() {
        let machine = Machine::new();
        for pid in 0..200 {
            assert_eq!(machine.look(USERS, pid, Some(1), 1), Some(1));
        }
        assert_eq!(machine.searches.get(), 1);
    }

    #[test]
    fn one_that_lies_of_itself_spoils_the_statistics_of_no_other() {
        let machine = Machine::new();
        // Even where it is looked at again before the others are.
        for _ in 0..3 {
            assert_eq!(machine.look(USERS, 1, Some(2), 2), Some(2));
        }
        for pid in 2..200 {
            assert_eq!(machine.look(USERS, pid, Some(1), 1), Some(1));
        }
        assert_eq!(machine.searches.get(), 2);
        // By then it is alone with its lie.
        assert_eq!(machine.look(USERS, 1, Some(2), 2), Some(2));
        assert_eq!(machine.look(USERS, 2, Some(1), 1), Some(1));
        assert_eq!(machine.searches.get(), 3);
    }

    #[test]
    fn liars_that_agree_cost_others_a_search_and_no_figure() {
        let machine = Machine::new();
        for pid in [1, 2] {
            assert_eq!(machine.look(USERS, pid, Some(2), 2), Some(2));
        }
        for pid in 3..100 {
            assert_eq!(machine.look(USERS, pid, Some(1), 1), Some(1));
        }
    }

    #[test]
    fn what_other_users_show_is_not_asked() {
        let machine = Machine::new();
        machine.look(USERS, 1, Some(2), 2);
        // The layout would serve them, and tell what is wrong.
        assert_eq!(machine.look([1, 1, 0], 2, Some(1), 2), Some(1));
        machine.layouts.forget_unused(1);
        assert_eq!(machine.look(USERS, 3, Some(1), 2), Some(1));
    }

    #[test]
    fn a_process_that_never_answers_keeps_nobody_waiting() {
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let layouts = Layouts::default();
        let statistics = |_: &dyn Layout| {
            Ok(HeapStatistics { runtime: Runtime::named("test"), claims: Vec::new() })
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut find = move || {
                    started.send(()).expect("somebody waits for it");
                    released.recv().expect_err("nothing is ever sent");
                    Ok(Arc::new(Kind(1)) as Arc<dyn Layout>)
                };
                let client = Client { pid: 1, find: &mut find, read: &statistics };
                layouts.of(USERS, 1, client)
            });
            has_started.recv().expect("it starts");
            layouts.forget_unused(0);
            let mut find = || Ok(Arc::new(Kind(2)) as Arc<dyn Layout>);
            let client = Client { pid: 2, find: &mut find, read: &statistics };
            let layout = layouts.of(USERS, 1, client).expect("it is found");
            assert_eq!(format!("{layout:?}"), "Kind(2)");
            drop(release);
        });
        let known = layouts.lock();
        let found = known[&USERS].found.as_ref().expect("it was found");
        assert_eq!(found.author, 2);
    }

    #[test]
    fn searches_in_vain_are_made_more_and_more_seldom() {
        let machine = Machine::new();
        for pid in 0..1000 {
            assert_eq!(machine.look(USERS, pid, None, 1), None);
        }
        assert_eq!(machine.searches.get(), MAX_TRIES + 5);
        // As those for processes that nothing serves.
        let machine = Machine::new();
        assert_eq!(machine.look(USERS, 1, Some(1), 1), Some(1));
        for pid in 2..1002 {
            assert_eq!(machine.look(USERS, pid, Some(2), 3), Some(1));
        }
        assert_eq!(machine.searches.get(), 1 + MAX_TRIES + 5);
    }
}
