//! What is given up of a process for want of memory.

use memgap_ledger::Missing;

use super::super::activity::Activity;
use super::super::probe_state::ProbeState;
use super::Tracked;

impl Tracked {
    /// Closes the files that are kept open for it.
    pub fn close(&mut self, round: u64) {
        (self.statm, self.probes.memory) = (None, None);
        self.activity = Activity::new(round);
    }

    /// Gives up its walk.
    pub fn forget_walk(&mut self, why: &Missing) {
        if self.walk.take().is_some() {
            self.no_walk = why.clone();
        }
    }

    /// Gives up its heap statistics.
    pub fn forget_statistics(&mut self, why: &Missing, round: u64) {
        self.probes = ProbeState::new(round);
        if self.has_memory() {
            self.probes.wait_for(why);
        }
        self.made = None;
    }

    /// Gives up the ledger that was made of it last.
    pub fn forget_ledger(&mut self) {
        self.made = None;
    }
}
