//! Collections: read, made into ledgers, encoded once, sent to the server.

use std::thread;
use std::time::{Duration, Instant};

use memgap_ledger::Machine;
use memgap_ledger::sample::MachineSample;

use crate::channel::{Families, Sender};
use crate::count_totals;
use crate::gc;
use crate::gc_totals::Totals;
use crate::limit::{Limiter, Limits, Shed};
use crate::select::{Grouping, Scopes};
use crate::snapshot;
use crate::stage::{Clock, Stage};
use crate::telemetry::{self, Telemetry};

/// Turns samples into families.
#[derive(Debug)]
pub struct Pipeline {
    grouping: Grouping,
    gc: gc::Last,
    gc_totals: Totals,
    count_totals: count_totals::Totals,
    limiter: Limiter,
    telemetry: Telemetry,
    sheds: Vec<Shed>,
}

impl Pipeline {
    /// A pipeline that has seen nothing yet.
    pub fn new(limits: Limits, grouping: Grouping, telemetry: Telemetry) -> Self {
        Self {
            grouping,
            gc: gc::Last::default(),
            gc_totals: Totals::default(),
            count_totals: count_totals::Totals::default(),
            limiter: Limiter::new(limits),
            telemetry,
            sheds: Vec::new(),
        }
    }

    /// Makes the ledgers of a sample and encodes them. Each form of the figures is
    /// given up as soon as the next is made: together they would be the exporter's
    /// peak.
    pub fn families(&mut self, sample: MachineSample) -> Families {
        let clock = Clock::start();
        let machine = Machine::of(&sample);
        drop(sample);
        let increments = self.gc.increments(&machine.processes);
        let mut scopes = Scopes::of(&machine, &increments, self.grouping);
        self.gc_totals.add_up(&mut scopes);
        self.count_totals.add_up(&mut scopes);
        drop(machine);
        let sheds = self.limiter.apply(&mut scopes);
        telemetry::exported(&scopes, &sheds);
        self.report(sheds);
        clock.stop(Stage::Ledger);

        let clock = Clock::start();
        let families = snapshot::encode(&scopes, &self.telemetry);
        clock.stop(Stage::Encode);
        telemetry::encoded(families.text.len() + families.open_metrics.len());
        families
    }

    /// Logs what the cap costs when that changes.
    fn report(&mut self, sheds: Vec<Shed>) {
        if self.sheds != sheds {
            for Shed { scope, members } in &sheds {
                tracing::warn!(scope, members, "folded into other: raise --max-series to see them");
            }
            self.sheds = sheds;
        }
    }
}

/// Collects for ever. Collections start an interval apart; one that takes longer delays
/// the next, none is made up for. Where nothing could be read nothing is sent.
pub fn run(
    mut read: impl FnMut() -> Option<MachineSample>,
    mut pipeline: Pipeline,
    interval: Duration,
    server: &Sender,
) -> ! {
    let mut next = Instant::now();
    loop {
        let sent = read().map_or(Ok(()), |sample| server.send(&pipeline.families(sample)));
        if let Err(error) = sent {
            telemetry::unsent();
            tracing::warn!(%error, "the server did not take a collection");
        }
        next = (next + interval).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
