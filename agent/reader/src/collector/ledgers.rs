//! Ledgers of a collection. Those of processes of which nothing has changed are kept.

use memgap_ledger::{Machine, Machines, Missing};

use super::{Clock, CollectionStats, Collector, Degraded, Reading};

impl Collector {
    /// Reads everything once, as [`Self::collect`] does, and makes the ledgers of it: cost
    /// follows what has changed.
    pub fn machine(&mut self) -> Result<(Machine, CollectionStats), Missing> {
        self.machine_after(|| ())
    }

    /// The same. Where something was given up for want of memory, nearly all are made anew: so
    /// that they never lie beside the last ones, those are given up before, and `forget` has to
    /// give up what else holds them.
    pub fn machine_after(
        &mut self,
        forget: impl FnOnce(),
    ) -> Result<(Machine, CollectionStats), Missing> {
        let Reading { host, cgroups, ended, mut stats } = self.read()?;
        let clock = Clock::start();
        if stats.given_up.iter().any(|(step, _)| *step > Degraded::Handles) {
            self.machines = Machines::default();
            self.tracked.values_mut().for_each(|tracked| tracked.forget_ledger());
            forget();
        }
        let keep = self.degraded() < Degraded::Groups;
        let made = self.tracked.values_mut().map(|tracked| tracked.ledger(ended, keep));
        let processes = made.collect();
        if !keep {
            self.machines = Machines::default();
        }
        let machine = self.machines.next(
            Some(ended.saturating_duration_since(self.begin)),
            &host,
            &cgroups,
            processes,
        );
        stats.ledgers = clock.spent();
        Ok((machine, stats))
    }
}

#[cfg(test)]
mod tests;
