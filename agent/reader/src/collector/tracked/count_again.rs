//! Counters of a process that are read in a collection after it looked.

use memgap_kernel::process::gone;
use memgap_kernel::source::statm;
use memgap_ledger::Fact;
use memgap_ledger::sample::Counters;

use super::{Round, Tracked, open};

impl Tracked {
    /// Reads its counters once more in a collection. An error means that it is no more.
    pub fn count_again(&mut self, round: &mut Round<'_>) -> Fact<()> {
        let counters = if let Some(statm) = &self.statm {
            self.count(statm, round)?
        } else {
            let (process, identity) = open(self.pid, round.reader.procfs(), round.buf)?;
            if identity.start != self.identity.start {
                return Err(gone(self.pid));
            }
            self.count(&process.file(statm::NAME)?, round)?
        };
        self.take_counters(counters, round.number);
        Ok(())
    }

    /// Takes counters that were read in a collection after it looked.
    pub fn take_counters(&mut self, counters: Counters, round: u64) {
        if counters != self.counters {
            self.counters = counters;
            self.activity.note_change(round);
        }
    }
}
