//! The collection thread: reads, makes ledgers, encodes once, publishes.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use memgap_ledger::Machine;
use memgap_ledger::sample::MachineSample;
use tokio::sync::watch;

use crate::count_totals;
use crate::gc;
use crate::gc_totals::Totals;
use crate::limit::{Limiter, Limits, Shed};
use crate::select::{Grouping, Scopes};
use crate::snapshot::Snapshot;
use crate::stage::{Clock, Stage};
use crate::telemetry::{self, Telemetry};

/// The last collection, once there is one.
pub type Published = Option<Arc<Snapshot>>;

/// Turns samples into snapshots.
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
    pub fn snapshot(&mut self, sample: MachineSample) -> Snapshot {
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
        let snapshot = Snapshot::of(&scopes, &self.telemetry);
        clock.stop(Stage::Encode);
        telemetry::encoded(snapshot.size());
        snapshot
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

/// Collects until nobody listens any more. Collections start an interval apart;
/// one that takes longer delays the next, none is made up for. Where nothing could
/// be read nothing new is published.
pub fn run(
    mut read: impl FnMut() -> Option<MachineSample>,
    mut pipeline: Pipeline,
    interval: Duration,
    published: &watch::Sender<Published>,
) {
    let mut next = Instant::now();
    while !published.is_closed() {
        if let Some(sample) = read() {
            let snapshot = Some(Arc::new(pipeline.snapshot(sample)));
            if published.send_replace(snapshot).is_none() {
                tracing::info!("ready");
            }
        }
        next = (next + interval).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
