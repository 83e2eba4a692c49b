//! Collections: read and made into ledgers, encoded once, sent to the server.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use memgap_ledger::{Machine, Missing};

use crate::api::documents::{Made, Maker};
use crate::channel::{Documents, Families, Sender};
use crate::count_totals;
use crate::gc;
use crate::gc_totals::Totals;
use crate::groups::Groups;
use crate::homes::Homes;
use crate::kubernetes::told::Workloads;
use crate::limit::{Limiter, Limits, Shed};
use crate::names::PodNames;
use crate::select::{Grouping, Kept, Scopes};
use crate::snapshot;
use crate::stage::{Clock, Stage};
use crate::telemetry::{self, Telemetry};

/// The ledgers of a collection, and a clock that was started when the first was made.
#[derive(Debug)]
pub struct Ledgers {
    /// The ledgers.
    pub machine: Machine,
    /// The clock.
    pub clock: Clock,
}

/// Turns ledgers into families.
#[derive(Debug)]
pub struct Pipeline {
    limits: Limits,
    is_poor: bool,
    grouping: Grouping,
    kept: Kept,
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
            limits,
            is_poor: false,
            grouping,
            kept: Kept::default(),
            gc: gc::Last::default(),
            gc_totals: Totals::default(),
            count_totals: count_totals::Totals::default(),
            limiter: Limiter::new(limits),
            telemetry,
            sheds: Vec::new(),
        }
    }

    /// Applies other bounds from the next collection on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.limiter.set_limits(if self.is_poor { limits.of_the_poor() } else { limits });
    }

    /// Does with little memory from the next collection on, or as it was told again: without
    /// process groups, and with a part of the series.
    pub fn set_poor(&mut self, is_poor: bool) {
        if self.is_poor != is_poor {
            self.is_poor = is_poor;
            self.kept.groups.leave_out(is_poor);
            self.set_limits(self.limits);
        }
    }

    /// Takes note of the names of pods that the node tells, if it tells names.
    pub fn node_tells(&mut self, pods: Option<Arc<PodNames>>) {
        self.kept.names.node_tells(pods);
    }

    /// Takes note of what pods are of, as the API server tells.
    pub fn server_tells(&mut self, workloads: Arc<Workloads>) {
        self.kept.workloads = workloads;
    }

    /// Gives up what is kept of the last ledgers, before others are made of everything.
    pub fn forget(&mut self) {
        self.kept.homes = Homes::default();
        self.kept.groups = Groups::default();
        self.kept.groups.leave_out(self.is_poor);
    }

    /// Sorts ledgers into scopes and encodes those. Each form of the figures is given up as
    /// soon as the next is made: together they would be the exporter's peak.
    pub fn families(&mut self, Ledgers { machine, clock }: Ledgers) -> Families {
        let increments = self.gc.increments(&machine.processes);
        let mut scopes = Scopes::with(&machine, &increments, self.grouping, &mut self.kept);
        if self.is_poor {
            self.kept.homes = Homes::default();
        }
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
        telemetry::encoded(families.text.len());
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

/// When collections start: an interval apart. One that takes longer delays the next, none
/// is made up for.
#[derive(Debug)]
pub struct Schedule {
    interval: Duration,
    due: Instant,
}

impl Schedule {
    /// The first collection is due now.
    pub fn start(interval: Duration) -> Self {
        Self { interval, due: Instant::now() }
    }

    /// Time until the next collection is due; none where it is.
    pub fn remaining(&self) -> Option<Duration> {
        let remaining = self.due.saturating_duration_since(Instant::now());
        (!remaining.is_zero()).then_some(remaining)
    }

    /// Notes that the one that was due is finished.
    pub fn finished(&mut self) {
        self.due = (self.due + self.interval).max(Instant::now());
    }

    /// Collections are that far apart from now on, the next and the last one too.
    pub fn set_interval(&mut self, interval: Duration) {
        let last = self.due.checked_sub(self.interval).unwrap_or(self.due);
        (self.interval, self.due) = (interval, last + interval);
    }
}

/// Hands a collection to the server.
pub fn send(families: &Families, server: &Sender) {
    if let Err(error) = server.send(families) {
        telemetry::unsent();
        tracing::warn!(%error, "the server did not take a collection");
    }
}

/// Makes documents of a machine, unless something stands against it, and hands them or what
/// that is to the server. `killed` tells of which cgroups the kernel's log says that something
/// was killed in so much time until now.
pub fn send_documents(
    maker: &mut Maker,
    machine: &Machine,
    against: Option<Missing>,
    killed: impl FnOnce(Duration) -> Vec<String>,
    server: &Sender,
) {
    let clock = Clock::start();
    let now = SystemTime::now();
    maker.look_for_kills(machine, now, killed);
    let made = match against {
        Some(missing) => maker.make_none(missing.why.to_string()),
        None => maker.make(machine, now),
    };
    let sent = made.and_then(|Made { file, length, index }| {
        let lists = [
            ("cgroups", index.cgroups.left_out),
            ("processes", index.processes.left_out),
            ("findings", index.findings.left_out),
            ("oom_kills", index.kills.left_out),
        ];
        telemetry::api::made(length, lists);
        let index = serde_json::to_vec(&index)?;
        server.send_documents(&Documents { file, length, index })
    });
    if let Err(error) = sent {
        telemetry::unsent();
        tracing::warn!(%error, "the server did not take documents");
    }
    clock.stop(Stage::Api);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_are_an_interval_apart_also_when_that_changes() {
        let mut schedule = Schedule::start(Duration::from_hours(1));
        assert_eq!(schedule.remaining(), None);
        schedule.finished();
        let remaining = schedule.remaining().expect("not before an hour");
        assert!(remaining > Duration::from_mins(59), "{remaining:?}");
        schedule.set_interval(Duration::from_mins(10));
        let remaining = schedule.remaining().expect("not before ten minutes");
        assert!(remaining > Duration::from_mins(9), "{remaining:?}");
        assert!(remaining <= Duration::from_mins(10), "{remaining:?}");
        schedule.set_interval(Duration::ZERO);
        assert_eq!(schedule.remaining(), None);
    }
}
