//! The process that reads: it has the capabilities and answers nobody.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context;
use memgap_exporter::args::Args;
use memgap_exporter::channel::Sender;
use memgap_exporter::collect::{self, Pipeline};
use memgap_exporter::endpoints::{Endpoint, MAX_ENDPOINTS};
use memgap_exporter::pods::{Named, Pods};
use memgap_exporter::stage::Stage;
use memgap_exporter::telemetry::{self, Telemetry, probes, targets};
use memgap_ledger::sample::MachineSample;
use memgap_reader::{CollectionStats, Collector, PodEndpoint, Reader, Roots, Target, WalkPolicy};
use rustix::process::{Pid, getppid};

/// Collects for ever and sends each collection to `server`.
pub fn run(args: &Args, server: OwnedFd) -> anyhow::Result<()> {
    let supervisor = getppid().unwrap_or(Pid::INIT);
    let pipeline = Pipeline::new(args.limits(), args.grouping(), Telemetry::of_reader(supervisor)?);
    let reader = Reader::open(Roots {
        procfs: args.procfs.clone(),
        cgroupfs: args.cgroupfs.clone(),
        container_logs: args.container_logs.clone(),
    })?;
    let mut collector =
        Collector::new(reader, walk_policy(args)).with_probe_share(args.probe_budget);
    let mut sources = Sources::start(args)?;
    collect::run(
        || read(&mut collector, &mut sources),
        pipeline,
        args.interval,
        &Sender::new(server),
    )
}

fn walk_policy(args: &Args) -> WalkPolicy {
    WalkPolicy {
        cap: args.walk_cap,
        budget_share: args.walk_budget,
        min_bytes: args.walk_min_bytes,
        ..WalkPolicy::default()
    }
}

/// Whom else the machine is recognised by.
struct Sources {
    named: Vec<Endpoint>,
    pods: Option<Pods>,
}

impl Sources {
    /// Starts to ask what the command line names, and what pods do where it says so.
    fn start(args: &Args) -> anyhow::Result<Self> {
        let named = &args.endpoints;
        anyhow::ensure!(
            named.len() <= MAX_ENDPOINTS,
            "--endpoint: at most {MAX_ENDPOINTS} are asked"
        );
        let start = |(target, url): &(String, String)| {
            let of: Target = target.parse()?;
            let is_process = !matches!(of, Target::Own | Target::Host);
            anyhow::ensure!(
                is_process,
                "--endpoint {target}={url}: name the process that it is of"
            );
            ask(target.clone(), of, url.parse()?, args.interval)
                .context("can not start the thread of an endpoint")
        };
        Ok(Self {
            named: named.iter().map(start).collect::<anyhow::Result<_>>()?,
            pods: args.pods.as_ref().map(|url| pods(url, args)).transpose()?,
        })
    }

    fn add_to(&mut self, sample: &mut MachineSample) {
        for endpoint in &self.named {
            endpoint.add_to(sample);
        }
        if let Some(pods) = &mut self.pods {
            pods.add_to(sample);
        }
    }
}

/// Asks an endpoint of a process again and again.
fn ask(
    name: String,
    of: Target,
    url: memgap_reader::Endpoint,
    interval: Duration,
) -> std::io::Result<Endpoint> {
    let ask = move || {
        let answer = memgap_reader::read_endpoint(&url, &memgap_reader::Limits::default());
        answer.map(|answer| answer.reported(&url))
    };
    Endpoint::start(
        name,
        Box::new(move |sample: &_| memgap_reader::pick(&of, sample)),
        ask,
        interval,
    )
}

/// How often pods are asked for.
const PODS: Duration = Duration::from_mins(1);

/// Asks what the pods of a list name.
fn pods(url: &str, args: &Args) -> anyhow::Result<Pods> {
    let list: memgap_reader::Endpoint = url.parse()?;
    anyhow::ensure!(
        list.is_local(),
        "--endpoint.pods {url}: name a proxy on this machine, that holds the token and speaks TLS"
    );
    let named = |pod: PodEndpoint| {
        let target = Target::Pod { namespace: Some(pod.namespace), name: pod.name };
        (target.to_string(), pod.endpoint.to_string())
    };
    let listed = move || {
        let pods = memgap_reader::read_pods(&list, &memgap_reader::Limits::default())?;
        Ok(pods.into_iter().map(|pod| pod.map(named)).collect())
    };
    let interval = args.interval;
    let start = move |(target, url): &Named| {
        let of = target.parse().map_err(std::io::Error::other)?;
        // One name for all: pods come and go, and each name would stay in metrics.
        ask("pod".to_owned(), of, url.parse().map_err(std::io::Error::other)?, interval)
    };
    Pods::watch(listed, Box::new(start), PODS, args.endpoints.len())
        .context("can not start the thread that asks for pods")
}

/// Collects once and records what it cost. Without a list of processes nothing
/// true can be said, so nothing is.
fn read(collector: &mut Collector, sources: &mut Sources) -> Option<MachineSample> {
    match collector.collect() {
        Ok((mut sample, stats)) => {
            record(&stats);
            sources.add_to(&mut sample);
            Some(sample)
        }
        Err(missing) => {
            telemetry::errors("procfs", missing.kind, 1);
            tracing::error!(%missing, "can not collect");
            None
        }
    }
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
    telemetry::walks(&stats.walks);
    telemetry::walks_left_out("over_cap", stats.refused);
    telemetry::walks_left_out("over_budget", stats.skipped);
    telemetry::walks_dropped(stats.dropped);
    targets::timeouts(stats.timeouts);
    let stuck = stats.stuck.iter().map(|target| (target.name.clone(), target.pid));
    targets::stuck(stuck, stats.workers_stuck, stats.is_blind);
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

#[cfg(test)]
mod tests {
    use clap::Parser;
    use memgap_reader::PROBE_SHARE;

    use super::*;

    #[test]
    fn the_command_line_spends_what_the_reader_would_by_itself() {
        let args = Args::parse_from(["memgap-exporter"]);
        assert_eq!(walk_policy(&args), WalkPolicy::default());
        assert_eq!(args.probe_budget.to_bits(), PROBE_SHARE.to_bits());
    }
}
