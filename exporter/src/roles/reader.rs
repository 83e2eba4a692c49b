//! The process that reads: it has the capabilities and answers nobody.

mod sources;

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use clap::Parser;
use memgap_exporter::activation;
use memgap_exporter::api::documents::Maker;
use memgap_exporter::args::Args;
use memgap_exporter::channel::Sender;
use memgap_exporter::collect::{self, Ledgers, Pipeline, Schedule};
use memgap_exporter::kubernetes::told::Told;
use memgap_exporter::log::Log;
use memgap_exporter::mounts::{self, Mounted};
use memgap_exporter::orders::Receiver;
use memgap_exporter::stage::{Clock, Stage};
use memgap_exporter::telemetry::{self, Telemetry, costly, degraded, probes, targets};
use memgap_ledger::{Machine, Missing};
use memgap_reader::{
    CollectionStats, Collector, Degraded, Pressure, Reader, Roots, WalkPolicy, killed_since,
};
use rustix::process::{Pid, getppid};

use crate::roles::watcher;
use sources::Sources;
pub use sources::check;

/// Collects for ever, as `args` say and then what comes from the supervisor, and sends each
/// collection to `server`.
pub fn run(args: Args, server: OwnedFd, supervisor: OwnedFd, log: &Log) -> anyhow::Result<()> {
    if args.systemd_socket {
        // They are the server's.
        drop(activation::take()?);
    }
    warn_of_mounts(&args);
    let mut collecting = Collecting::start(args)?;
    let server = Sender::new(server);
    let mut orders = Receiver::new(supervisor);
    loop {
        let forget = || collecting.pipeline.forget();
        if let Some(ledgers) = read(&mut collecting.collector, &mut collecting.sources, forget) {
            if let Some(documents) = &mut collecting.documents {
                let against = collecting.collector.lacks_memory(Degraded::Handles);
                let killed = |since| killed_since(collecting.collector.reader(), since);
                collect::send_documents(documents, &ledgers.machine, against, killed, &server);
                collecting.collector.keep_within_limit();
            }
            collecting.pipeline.node_tells(collecting.collector.reader().pod_names());
            if let Some(told) = &collecting.told {
                collecting.pipeline.server_tells(told.now());
            }
            let families = collecting.pipeline.families(ledgers);
            // Now it holds most.
            collecting.collector.keep_within_limit();
            collect::send(&families, &server);
        }
        let is_poor = collecting.collector.degraded() >= Degraded::Groups;
        collecting.pipeline.set_poor(is_poor);
        collecting.schedule.finished();
        while let Some(remaining) = collecting.schedule.remaining() {
            if let Some(arguments) = orders.wait(remaining)? {
                collecting.obey(&arguments, log);
            }
        }
    }
}

/// What collects, by the settings in effect.
struct Collecting {
    args: Args,
    collector: Collector,
    sources: Sources,
    documents: Option<Maker>,
    pipeline: Pipeline,
    schedule: Schedule,
    /// What the API server tells, where it is asked.
    told: Option<Told>,
}

impl Collecting {
    fn start(args: Args) -> anyhow::Result<Self> {
        let telemetry = Telemetry::of_reader(getppid().unwrap_or(Pid::INIT))?;
        if let Some(reload) = args.reload {
            reload.record();
        }
        let reader = Reader::open(Roots {
            procfs: args.procfs.clone(),
            cgroupfs: args.cgroupfs.clone(),
            container_logs: args.container_logs.clone(),
        })?;
        let told = watcher::start(&args)?;
        Ok(Self {
            collector: Collector::new(reader, walk_policy(&args))
                .with_probe_share(args.probe_budget)
                .with_statistics_min_age(args.probe_min_age),
            sources: Sources::start(&args, told.as_ref())?,
            documents: args.api.then(|| Maker::new(args.api_max_bytes)),
            pipeline: Pipeline::new(args.limits(), args.grouping(), telemetry),
            schedule: Schedule::start(args.interval),
            told,
            args,
        })
    }

    /// Takes on other settings. What was counted and read stays.
    fn obey(&mut self, arguments: &[OsString], log: &Log) {
        match Args::try_parse_from(arguments) {
            Ok(args) => self.take(args, log),
            Err(error) => tracing::error!(%error, "can not understand the supervisor"),
        }
    }

    fn take(&mut self, args: Args, log: &Log) {
        if let Some(reload) = args.reload {
            reload.record();
        }
        log.set_level(args.log_level);
        if walk_policy(&args) != walk_policy(&self.args) {
            self.collector.set_policy(walk_policy(&args));
        }
        if args.probe_budget.to_bits() != self.args.probe_budget.to_bits() {
            self.collector.set_probe_share(args.probe_budget);
        }
        self.collector.set_statistics_min_age(args.probe_min_age);
        self.pipeline.set_limits(args.limits());
        self.schedule.set_interval(args.interval);
        let asked = |args: &Args| (args.endpoints.clone(), args.pods.clone(), args.interval);
        if asked(&args) != asked(&self.args) {
            match Sources::start(&args, self.told.as_ref()) {
                Ok(sources) => self.sources = sources,
                Err(error) => tracing::error!("endpoints stay as they were: {error:#}"),
            }
        }
        self.args = args;
    }
}

fn walk_policy(args: &Args) -> WalkPolicy {
    WalkPolicy {
        cap: args.walk_cap,
        max_hold: args.walk_max_hold,
        budget_share: args.walk_budget,
        min_bytes: args.walk_min_bytes,
        ..WalkPolicy::default()
    }
}

/// Says what could be written to, though it was mounted to be read.
fn warn_of_mounts(args: &Args) {
    if !mounts::is_root() {
        return;
    }
    for place in [Some(&args.procfs), args.cgroupfs.as_ref()].into_iter().flatten() {
        if let Ok(Mounted::WritableBelow(below)) = mounts::mounted(place) {
            tracing::warn!(?below, "writable below {}: {}", place.display(), mounts::REMEDY);
        }
    }
}

/// Collects once and records what it cost. Without a list of processes nothing
/// true can be said, so nothing is.
fn read(
    collector: &mut Collector,
    sources: &mut Sources,
    forget: impl FnOnce(),
) -> Option<Ledgers> {
    match ledgers(collector, sources, forget) {
        Ok((ledgers, stats)) => {
            record(&stats);
            Some(ledgers)
        }
        Err(missing) => {
            telemetry::errors("procfs", missing.kind, 1);
            tracing::error!(%missing, "can not collect");
            None
        }
    }
}

/// Where endpoints tell more of processes, whoever of them, all ledgers are made anew. `forget`
/// is to give up what is kept of the last ones.
fn ledgers(
    collector: &mut Collector,
    sources: &mut Sources,
    forget: impl FnOnce(),
) -> Result<(Ledgers, CollectionStats), Missing> {
    if sources.are_none() {
        let (machine, stats) = collector.machine_after(forget)?;
        let clock = Clock::started(stats.ledgers.wall, stats.ledgers.cpu);
        return Ok((Ledgers { machine, clock }, stats));
    }
    let (mut sample, stats) = collector.collect()?;
    sources.add_to(&mut sample);
    let clock = Clock::start();
    Ok((Ledgers { machine: Machine::of(&sample), clock }, stats))
}

fn record(stats: &CollectionStats) {
    for (stage, spent) in [
        (Stage::Tier0, stats.tier0),
        (Stage::Cgroups, stats.cgroups),
        (Stage::Walk, stats.tier1),
        (Stage::HeapStatistics, stats.tier2),
    ] {
        stage.took(spent.wall, spent.cpu);
    }
    record_degraded(stats);
    telemetry::walks(&stats.walks);
    telemetry::walks_left_out("over_cap", stats.refused);
    telemetry::walks_left_out("over_hold", stats.over_hold);
    telemetry::walks_left_out("over_budget", stats.skipped);
    telemetry::walks_dropped(stats.dropped);
    targets::timeouts(stats.timeouts);
    let stuck = stats.stuck.iter().map(|target| (target.name.clone(), target.pid));
    targets::stuck(stuck, stats.workers_stuck, stats.is_blind);
    let unaffordable =
        stats.costly.iter().map(|one| (one.name.as_str(), one.unread.name(), one.rss));
    costly::costly(unaffordable);
    probes::skipped(stats.probes_skipped);
    probes::reopened(stats.reopened);
    probes::files(true, stats.files.hits);
    probes::files(false, stats.files.misses);
    probes::resolved(stats.files.resolved);
    probes::oldest(stats.oldest_statistics);
    for ((probe, kind), count) in &stats.probe_errors {
        probes::refused(probe, *kind, *count);
    }
    for ((source, kind), count) in &stats.errors {
        telemetry::errors(source, *kind, *count);
    }
}

fn record_degraded(stats: &CollectionStats) {
    let figures = |pressure: Pressure| (pressure.used, pressure.limit);
    for (step, pressure) in &stats.given_up {
        degraded::gave_up(step.gives_up(), pressure.map(figures));
    }
    if let Some(step) = stats.taken_back {
        degraded::took_back(step.gives_up());
    }
    degraded::record(stats.degraded as usize, stats.own_memory.map(figures));
}

#[cfg(test)]
mod tests {
    use memgap_reader::PROBE_SHARE;

    use super::*;

    #[test]
    fn the_command_line_spends_what_the_reader_would_by_itself() {
        let args = Args::parse_from(["memgap-exporter"]);
        assert_eq!(walk_policy(&args), WalkPolicy::default());
        assert_eq!(args.probe_budget.to_bits(), PROBE_SHARE.to_bits());
    }
}
