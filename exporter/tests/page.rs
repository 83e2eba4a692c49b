//! `docs/metrics.md` is what the exporter writes: every family of a machine that
//! has one of everything, and of its own figures once each was recorded.

mod common;
mod pages {
    mod configuration;
    mod openapi;
}

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use common::machine::{MIB, container, golang, machine, one_of_each, pod_uid};
use common::{Counters, Family, parse, write_machine};
use memgap_exporter::args::Args;
use memgap_exporter::encode::{Encoder, Format, unit};
use memgap_exporter::gc::Increments;
use memgap_exporter::kubernetes::message::{KnownBy, Outcome, Pod, Request, Workload};
use memgap_exporter::limit::{Limits, Shed};
use memgap_exporter::select::{Grouping, Scopes};
use memgap_exporter::stage::Stage;
use memgap_exporter::tables::{CONTAINER, MACHINE, PLAIN, POD, PROCESS_GROUP, UNIT};
use memgap_exporter::telemetry::http::{self, Closed};
use memgap_exporter::telemetry::otlp::{self, Pushed};
use memgap_exporter::telemetry::reload::Reload;
use memgap_exporter::telemetry::{
    self, Telemetry, api, costly, degraded, kubernetes, probes, targets,
};
use memgap_ledger::growth::Shrinking;
use memgap_ledger::outlook::Outlook;
use memgap_ledger::sample::MachineSample;
use memgap_ledger::{Machine, MissingKind, SecondSource};
use metrics::gauge;
use rustix::process::getpid;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");

const HEAD: &str = "\
# Metrics

What `memgap-exporter` serves at `/metrics`. Generated from what it writes: run the tests of the exporter with `UPDATE_DOCS=1`.
All amounts are bytes, all times seconds. Accounts and classes: [accounts.md](accounts.md).

## What sums to what

- `memgap_container_ledger_bytes` sums to `memgap_container_usage_bytes` over the accounts of each container; so do the families of
  units and cgroups. `memgap_process_group_ledger_bytes` sums to `memgap_process_group_rss_bytes`, `memgap_host_ledger_bytes` to
  `memgap_host_memory_total_bytes`. Stack by `class`: an account that is added later changes no dashboard.
- Containers, units and cgroups never contain one another: their usage may be added up over a node. Pods contain their containers and
  sandboxes, and are not part of that sum. Pods and containers of which the node tells no name, or not yet, have no series. Memory that processes share counts in each process group.
- Some accounts are signed (`charge_residual`, `moved_charges`, `skew`): they close the sum, and their size is the quality of the reading.
- Working set, usage and required are three cuts through the same accounts. `working_set_hidden_bytes` is memory that is in use and that
  the working set leaves out: alert on `required_bytes{bound=\"high\"}` against `limit_bytes`.

- `memgap_container_runtime_in_use_bytes` sums over `runtime` to `memgap_container_in_use_bytes`; so do those of units, cgroups and
  process groups. What a runtime keeps free is reported for process groups only: `released` is part of `free`, `lazily_freed` of `released`,
  `trimmable` of the rest of `free`.

- `room_bytes` is the least, over a cgroup and those above it, of limit less required, with what can still be swapped out: alert on
  `bound=\"low\"`. It does not add up. In the ledgers of containers, units and cgroups `kernel` holds what other views tell apart:
  `kernel_stack`, `page_tables`, `percpu`, `vmalloc`, `slab_unreclaimable`, `zswap`.

## Counters of what happened at limits

`oom_kills_total`, `limit_hits_total`, `throttled_total` and `memory_stall_seconds_total` count from the exporter's start: what a cgroup
counted before it was read first is left out, unless it is new since the last collection. They do not decrease when cgroups of the same
labels come and go. A container that ended between two collections took its counts with it; on cgroup v2 its pod keeps them. `other` has
none. An allocation that fails at a limit and changes neither `memory.stat` nor usage is counted up to 16 collections later.

## Counters of garbage collection

`gc_cycles_total` and `gc_pause_seconds_total` count from the exporter's start, by runtime. What a process did before it was read first
is left out, unless it is new since the last collection. They do not decrease when processes come and go: only when a container, unit or
group is gone for a whole collection does its counter begin anew. `other` has none.

## What is not known has no sample

A figure that could not be read is absent, never 0: use `or`, `absent()` or `unless` where that matters. An unlimited container has no
`limit_bytes`. `in_use_bytes` exists where the statistics of an allocator or runtime were read; `in_use_coverage_ratio` tells of how much
they speak. A process or container that ended is gone from the next collection.

## Labels

- `namespace`, `pod`, `container`: Kubernetes' names, from the links to container logs. A container outside Kubernetes, or one without a
  log, goes by the first 12 characters of its id; of containers within containers the outermost counts.
- `group`: the name of processes (`comm`) within one container. `other` stands for all that is folded: groups beyond the largest
  (`--process-groups`), and members of any scope beyond `--max-series`. Sums are conserved by folding. A process that is really called
  `other` is part of it.
- `pid`: with `--process-pids` single processes stand in place of groups. Their families are called `memgap_process_...` instead of
  `memgap_process_group_...`, and are otherwise the same.
- `runtime`: who keeps the statistics: `go`, `hotspot`, `glibc` and so on, as `memgap probes` lists them. In `memgap_container_info` it is
  what runs the container.
- `workload_kind`, `workload`, `known_by`: what a pod is of, and how that is known: [workloads](workloads.md).
- `class`, `account`: see [accounts.md](accounts.md). `finding`: see [findings](findings/); `severity` is `info`, `warning` or `critical`.
- `stage` is a part of a collection: `tier0` reads every process's counters, `cgroups` every cgroup and the host, `walk` makes walks over
  mappings, `heap_statistics` reads the statistics of runtimes and allocators, `ledger` sorts bytes onto accounts, `encode` writes them,
  `api` makes documents for the [API](api.md), where that is on.

## Limits

| what | bound |
| --- | --- |
| series | `--max-series`, 20,000; folded members are counted in `memgap_exporter_shed_members_total` |
| process groups | `--process-groups`, 20 |
| one walk | `--walk.cap`, 50 ms of CPU expected, and 16,384 mappings; else `memgap_exporter_walks_left_out_total{reason=\"over_cap\"}` |
| one mapping | `--walk.max-hold`, 10 ms expected; else `memgap_exporter_walks_left_out_total{reason=\"over_hold\"}` |
| all walks | `--walk.budget`, 0.5 % of one CPU; else `memgap_exporter_walks_left_out_total{reason=\"over_budget\"}` |
| all probes | `--probe.budget`, 0.5 % of one CPU; past it statistics are shown again and counted in `memgap_exporter_probes_skipped_total` |
| one program's statistics | read again `--probe.min-age`, 10 s, after they were read, or where what is resident changed by more than 1 MiB and 1/64: at the first collection from then on |
| walks kept | 131,072 mappings in all, which take 12 MiB; the oldest are dropped and counted in `memgap_exporter_walks_dropped_total` |
| one process | 200 ms for it to answer, 1 s where we are at work on it; then it is left alone, from 10 s up to 10 min, and counted in `memgap_exporter_target_timeouts_total` |
| own memory | where the exporter's own cgroup is limited, or one above it that it takes half of: an eighth of the limit for files that stay open, 5 KiB each. With 80 % used something is given up, step by step: `memgap_exporter_degraded`; with less than 60 % for 32 collections a step is taken back, after twice as many the next |
| processes that do not answer | 4 at a time, and 2 of one pod, container, user, or cgroup of root's, named by `memgap_exporter_stuck_targets`; with 2 nothing but counters is read of his others, with 4 of any |
| processes that cost too much | what is not read of them is named by `memgap_exporter_costly_targets`, the 32 with most memory by name |
| pods that the API server tells | 2,048; the others are counted in `memgap_exporter_kubernetes_pods_left_out` ([workloads](workloads.md)) |
| documents of the [API](api.md) | `--web.api-max-bytes`, 8 MiB; what is left out is counted in `memgap_exporter_api_left_out` |
| HTTP | `--web.max-connections`, 64 at a time, of at most 5 minutes, a quarter for one address; 32 more are answered about health and refused else; 30 s and 16 KiB for the head of a request, 16 KiB/s at least for an answer after 10 s |

In OpenMetrics a counter's family goes by its name without `_total`, an info's without `_info`.
";

#[test]
fn the_metrics_page_is_what_is_written() {
    let limits = Limits { process_groups: 20, max_series: 20_000 };
    let machine = watched(Machine::of(&everything()));
    let how = (limits, Grouping::Name);
    let mut counters = Counters::default();
    counters.kept.workloads = Arc::new([(pod_uid(1), Arc::new(of_deployment()))].into());
    let target = write_machine(&mut counters, &machine, how, Format::Text);
    let page = HEAD.to_owned()
        + &table("Of the machine", &parse(&target, Format::Text))
        + &table("Of the exporter itself", &parse(&own(), Format::Text));
    assert_whole(&page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).expect("docs/ is writable");
    }
    let found = std::fs::read_to_string(PAGE).expect("docs/metrics.md is readable");
    assert_eq!(found, page, "run with UPDATE_DOCS=1");
}

/// Every gauge of every table has its line, and the bounds are those of today.
fn assert_whole(page: &str) {
    for table in [&CONTAINER, &POD, &UNIT, &PLAIN, &PROCESS_GROUP, &MACHINE] {
        for gauge in table.gauges {
            let name = format!("| `memgap_{}_{}` |", table.name, gauge.name);
            assert!(page.contains(&name), "no line {name}");
        }
        let runtimes = format!("`memgap_{}_runtime_in_use_bytes`", table.name);
        assert_eq!(page.contains(&runtimes), page.contains(&runtimes.replace("runtime_", "")));
        for gauge in table.runtime_gauges {
            let name = format!("| `memgap_{}_runtime_{}` |", table.name, gauge.name);
            assert!(page.contains(&name), "no line {name}");
        }
    }
    let args = Args::parse_from(["memgap-exporter"]);
    for bound in [
        format!("| `--process-groups`, {} |", args.process_groups),
        format!("`--walk.cap`, {} ms", args.walk_cap.as_millis()),
        format!("`--walk.budget`, {} %", args.walk_budget * 100.0),
        format!("`--probe.budget`, {} %", args.probe_budget * 100.0),
        format!("`--probe.min-age`, {} s", args.probe_min_age.as_secs()),
        format!("`--web.max-connections`, {} at", args.max_connections),
        format!("`--web.api-max-bytes`, {} MiB", args.api_max_bytes >> 20),
    ] {
        assert!(page.contains(&bound), "the page does not say {bound:?}");
    }
}

/// A machine of which every family has a sample: allocators' heap statistics were read too.
fn everything() -> MachineSample {
    let mut sample = one_of_each();
    for process in &mut sample.processes {
        let path = process.cgroup.clone().expect("known");
        let second = SecondSource { name: "http://[::1]/".to_owned(), in_use: 1, differs_by: 1 };
        *process = golang(process.pid, &process.name, &path, MIB, 1);
        for runtime in process.runtimes.iter_mut().flatten() {
            runtime.lazily_freed = Some(MIB);
            runtime.trimmable = Some(MIB);
            runtime.second_source = Some(second.clone());
        }
    }
    for cgroup in sample.cgroups.iter_mut().flatten() {
        cgroup.swap_limit = Ok(Some(MIB));
        cgroup.events.high = Ok(Some(MIB));
        // Each scope has one that is limited.
        cgroup.limit = if cgroup.root { Ok(None) } else { Ok(Some(128 * MIB)) };
    }
    let mut job = sample.processes[0].clone();
    (job.pid, job.cgroup) = (20, Ok("/build/job".to_owned()));
    sample.processes.push(job);
    sample
}

/// A pod of that machine, and what it is of.
fn of_deployment() -> Pod {
    let workload = Workload {
        kind: "Deployment".to_owned(),
        name: "web".to_owned(),
        known_by: KnownBy::Owner,
    };
    Pod {
        uid: pod_uid(1),
        namespace: "shop".to_owned(),
        name: "web-1".to_owned(),
        workload: Some(workload),
        endpoint: None,
    }
}

/// What is known of its cgroups by watching them, too.
fn watched(mut machine: Machine) -> Machine {
    let (low, lasts) = (Duration::from_mins(40), Duration::from_hours(1));
    let bounds = (low, Some(Duration::from_hours(2)));
    let shrinking = Some(Shrinking { per_hour: 1e6, lasts, bounds });
    for cgroup in machine.cgroups.iter_mut().flatten() {
        let outlook = Outlook { shrinking, advised_limit: Some(1), ..Outlook::default() };
        Arc::make_mut(cgroup).outlook = outlook;
    }
    machine
}

/// The exporter's own figures, each recorded once.
fn own() -> String {
    let recorder = Telemetry::of_reader(getpid()).expect("no other test of this file records");
    Reload::succeeded().record();
    let scopes = Scopes::of(
        &Machine::of(&machine(vec![container(1)], Vec::new())),
        &Increments::new(),
        Grouping::Name,
    );
    telemetry::exported(&scopes, &[Shed { scope: "container", members: 1 }]);
    Stage::Walk.took(Duration::ZERO, Duration::ZERO);
    telemetry::walks(&[Duration::ZERO]);
    telemetry::walks_left_out("over_cap", 1);
    telemetry::walks_left_out("over_hold", 1);
    telemetry::walks_dropped(1);
    degraded::record(0, Some((1, 2)));
    probes::skipped(1);
    probes::reopened(1);
    probes::files(true, 1);
    probes::resolved(1);
    probes::endpoint_asked("api", "ok");
    probes::endpoint_unmatched("api");
    probes::oldest(Duration::ZERO);
    probes::refused("go", MissingKind::Malformed, 1);
    telemetry::errors("smaps", MissingKind::Denied, 1);
    telemetry::unsent();
    telemetry::encoded(1);
    gauge!("memgap_exporter_server_start_time_seconds").set(0.5);
    targets::timeouts(1);
    targets::stuck([("java".to_owned(), 1)].into_iter(), 1, false);
    costly::costly(std::iter::once(("java", "walk", 1)));
    api::made(1, [("cgroups", 0), ("processes", 1), ("findings", 0), ("oom_kills", 0)]);
    api::answered(200);
    http::scrape(200);
    http::connections(1, 0, 0);
    http::closed(Closed::MadeRoom);
    http::overflowed();
    http::accept_failed();
    otlp::pushed(Pushed::Whole);
    otlp::tried_again();
    kubernetes::known(1, Some(Duration::ZERO));
    kubernetes::asked(Request::List, Outcome::Ok);
    kubernetes::left_out(0);
    let mut out = Encoder::new(Format::Text, 0);
    recorder.render().write(&mut out);
    out.finish()
}

fn table(title: &str, families: &[Family]) -> String {
    let head = "| name | type | unit | labels | what it is |\n| --- | --- | --- | --- | --- |\n";
    let mut text = format!("\n## {title}\n\n{head}");
    for Family { name, kind, help, samples } in families {
        let mut labels: Vec<&str> = Vec::new();
        for (label, _) in samples.iter().flat_map(|s| &s.labels) {
            if label != "le" && !labels.contains(&label.as_str()) {
                labels.push(label);
            }
        }
        let unit = unit(name.trim_end_matches("_total")).unwrap_or("");
        let labels = labels.join(", ");
        text += &format!("| `{name}` | {kind} | {unit} | {labels} | {help} |\n");
    }
    text
}
