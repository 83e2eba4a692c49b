//! Tier 2: the books of runtimes and allocators, by their counters. A process is
//! looked at for runtimes once in a while; the memory of one that has any stays open.

use std::time::{Duration, Instant};

use memgap_ledger::{Fact, Missing, MissingKind};

use super::tracked::{Round, Tracked};
use super::{CollectionStats, Collector};
use crate::memory::{Bounds, Live, Space};
use crate::probe::{Attached, Books, Detail};

/// Time that a collection spends on looking for runtimes: on a machine that starts
/// many processes at once some wait for the next one.
const LOOKING: Duration = Duration::from_millis(100);

/// Collections between two looks at a process: it may have loaded a library.
const AGAIN: u64 = 16;
/// And after one in which a runtime did not show its books: it may be starting.
const SOON: u64 = 4;

/// The runtimes of a process and their books at the last collection.
#[derive(Debug, Default)]
pub(super) struct Tap {
    /// How often it was looked at, and the collection that does so next.
    looks: u64,
    due: u64,
    /// Kept open where there is a runtime.
    memory: Option<Live>,
    runtimes: Vec<Attached>,
    /// Those whose books were not found, and why.
    refused: Vec<Missing>,
    pub books: Vec<Fact<Books>>,
}

impl Collector {
    /// Reads the books of every process, and looks for runtimes where that is due.
    pub(super) fn tap(&mut self, stats: &mut CollectionStats) {
        let mut round = Round {
            reader: &self.reader,
            number: self.round,
            page_size: self.page_size,
            buf: &mut self.buf,
        };
        let end = Instant::now() + LOOKING;
        let mut handles: usize = self.tracked.values().map(Tracked::handles).sum();
        for tracked in self.tracked.values_mut().filter(|t| t.has_memory()) {
            if tracked.tap.due <= round.number && Instant::now() < end {
                handles -= tracked.tap.handles();
                let has_room = handles + Live::HANDLES <= self.max_handles;
                match tracked.look(has_room, &mut round) {
                    Err(lack) if lack.kind != MissingKind::Gone => stats.note("maps", &lack),
                    _ => {}
                }
                handles += tracked.tap.handles();
            }
            tracked.tap.read(round.number);
            for lack in tracked.tap.books.iter().filter_map(|books| books.as_ref().err()) {
                stats.note("books", lack);
            }
        }
        self.reader.probes().forget_unused(2 * AGAIN);
    }
}

impl Tap {
    /// Takes what a look at a process found. `open` gives its memory.
    pub fn turn(
        &mut self,
        found: Fact<Vec<Fact<Attached>>>,
        open: impl FnOnce() -> Fact<Live>,
        round: u64,
    ) -> Fact<()> {
        // A new process may just be turning into its program.
        let wait = if self.looks == 0 { 1 } else { AGAIN };
        *self = Self { looks: self.looks + 1, due: round + wait, ..Self::default() };
        for one in found? {
            match one {
                Ok(attached) => self.runtimes.push(attached),
                Err(lack) => self.refused.push(lack),
            }
        }
        if !self.refused.is_empty() {
            self.due = round + wait.min(SOON);
        }
        if !self.runtimes.is_empty() {
            match open() {
                Ok(memory) => self.memory = Some(memory),
                Err(lack) => self.refused.push(lack),
            }
        }
        Ok(())
    }

    pub fn handles(&self) -> usize {
        if self.memory.is_some() { Live::HANDLES } else { 0 }
    }

    /// Reads the books anew.
    fn read(&mut self, round: u64) {
        self.books = self.refused.iter().cloned().map(Err).collect();
        let Some(memory) = &self.memory else { return };
        for runtime in &self.runtimes {
            let books = runtime.read(&Space::new(memory, Bounds::COUNTERS), Detail::Counters);
            if books.is_err() {
                // Another program may run in the process by now.
                self.due = round + 1;
            }
            self.books.push(books);
        }
    }
}

/// Why a process with a runtime is not read.
pub(super) fn no_room() -> Missing {
    let why = "the limit of open files is reached: raise it (`LimitNOFILE=`) to have in-use figures of more processes";
    Missing::new(MissingKind::Refused, why)
}
