//! The command line. Flags are named as those of Prometheus' own exporters. What stands
//! here is what the environment and a file can say too: see [`crate::config`].

use std::ffi::CStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};
use tracing::Level;

use crate::duration::between;
use crate::kubernetes::settings::Settings as Kubernetes;
use crate::limit::Limits;
use crate::log::LogFormat;
use crate::otlp::settings::Settings as Otlp;
use crate::select::Grouping;
use crate::server::MAX_CONNECTIONS;
use crate::server::places::Bounds;
use crate::telemetry::reload::Reload;

/// Exports where the memory of this machine, its containers and processes is.
///
/// Every byte stands on one account, and the accounts sum to the kernel's own
/// figures. Samples are taken on the exporter's own clock: a scrape reads nothing.
#[derive(Debug, Clone, Parser)]
#[command(name = "memgap-exporter", version, after_help = OTHER_SOURCES)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// File with settings, in TOML; its keys are named as the flags are. It is read again
    /// on SIGHUP.
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// Say what is wrong with flags, environment and file, one line each, and end.
    #[arg(long = "check-config")]
    pub check_config: bool,

    /// Print the configuration in effect, as a file that --config.file takes, and end.
    #[arg(long = "print-config")]
    pub print_config: bool,

    /// Address to listen on: host:port, :port for every interface, or unix:PATH for a
    /// socket in the file system. Repeatable.
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:9877")]
    pub listen: Vec<String>,

    /// Listen on the sockets that systemd passes (socket activation), not on addresses.
    #[arg(long = "web.systemd-socket", value_name = "BOOL", action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value_t = false)]
    pub systemd_socket: bool,

    /// File that says who may ask: TLS, client certificates, users and headers, as
    /// Prometheus' web configuration has them. It, and the files that it names, are
    /// read again when they change.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config: Option<PathBuf>,

    /// Path that the metrics are served at.
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", value_parser = telemetry_path)]
    pub telemetry_path: String,

    /// Serve ledgers and findings as JSON at /api/v1 too. It shows more than metrics do: the
    /// names of all processes, and paths of files that they map.
    #[arg(long = "web.api", value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value_t = false)]
    pub api: bool,

    /// Most bytes of JSON to keep for --web.api; twice as much is in memory while the next
    /// collection is written. The smallest processes are left out, and counted.
    #[arg(long = "web.api-max-bytes", value_name = "BYTES", default_value_t = 8 << 20, value_parser = clap::value_parser!(u64).range(1 << 20..=128 << 20))]
    pub api_max_bytes: u64,

    /// Connections to serve at a time. One address holds a quarter of them at most, and
    /// an eighth is kept for this machine's own clients.
    #[arg(long = "web.max-connections", value_name = "N", default_value_t = MAX_CONNECTIONS as u32, value_parser = clap::value_parser!(u32).range(8..=4096))]
    pub max_connections: u32,

    /// Where procfs of the machine is mounted.
    #[arg(long = "path.procfs", value_name = "DIR", default_value = "/proc")]
    pub procfs: PathBuf,

    /// Where the cgroup file systems of the machine are mounted. Without it
    /// they are found in the mount table.
    #[arg(long = "path.cgroupfs", value_name = "DIR")]
    pub cgroupfs: Option<PathBuf>,

    /// Links named after containers, by which Kubernetes' names are found.
    #[arg(long = "path.container-logs", value_name = "DIR", default_value = "/var/log/containers")]
    pub container_logs: PathBuf,

    /// Time between collections: 500ms, 10s, 1m.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = between(INTERVALS))]
    pub interval: Duration,

    /// Most series to export, self-telemetry left out. Past it process groups,
    /// then cgroups, units, pods and at last containers are folded into "other".
    #[arg(long = "max-series", value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1000..))]
    pub max_series: u32,

    /// Process groups to show by name, the largest; the rest is folded into
    /// "other". 0 leaves process groups out.
    #[arg(long = "process-groups", value_name = "N", default_value_t = 20)]
    pub process_groups: u32,

    /// Show single processes, by pid, instead of groups: memgap_process_... with a
    /// label pid instead of memgap_process_group_... A series for each pid that ever
    /// was is what a database does not like.
    #[arg(long = "process-pids", value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value_t = false)]
    pub process_pids: bool,

    /// CPU time that one walk over a process's mappings may be expected to take.
    /// What would cost more is not walked, and counted.
    #[arg(long = "walk.cap", value_name = "TIME", default_value = "50ms", value_parser = between(WALK_CAPS))]
    pub walk_cap: Duration,

    /// Time for which a walk may be expected to keep its target from mapping memory, as the
    /// kernel does with each mapping. A process with a mapping that would take longer is
    /// not walked, and counted.
    #[arg(long = "walk.max-hold", value_name = "TIME", default_value = "10ms", value_parser = between(WALK_CAPS))]
    pub walk_max_hold: Duration,

    /// Share of one CPU that all walks together may take; 0 makes none. What a
    /// minute grants can be saved up and spent in one collection.
    #[arg(long = "walk.budget", value_name = "SHARE", default_value = "0.005", value_parser = share)]
    pub walk_budget: f64,

    /// Anonymous memory of a process from which on it is walked, in bytes.
    #[arg(long = "walk.min-bytes", value_name = "BYTES", default_value_t = 16 << 20)]
    pub walk_min_bytes: u64,

    /// Share of one CPU that reading the heap statistics of runtimes and allocators may take;
    /// 0 reads none. Past it heap statistics are shown again until their turn comes.
    #[arg(long = "probe.budget", value_name = "SHARE", default_value = "0.005", value_parser = share)]
    pub probe_budget: f64,

    /// Age from which on the heap statistics of a program that runs are read again, where
    /// collections follow each other more closely and what is resident of it has not changed
    /// by much. With 0s they are read at each collection.
    #[arg(long = "probe.min-age", value_name = "TIME", default_value = "10s", value_parser = between(MIN_AGES))]
    pub probe_min_age: Duration,

    /// Endpoint that a process tells its own memory at, as a second source:
    /// TARGET=URL. TARGET is a pid, a process name, unit/NAME, container/ID,
    /// pod/[NAMESPACE/]NAME or cgroup:/path; of several processes the largest
    /// counts. URL is <http://ADDRESS:PORT/path> or unix:/path/of/socket. Repeatable.
    #[arg(long = "endpoint", value_name = "TARGET=URL", value_parser = named)]
    pub endpoints: Vec<(String, String)>,

    /// List of this node's pods, asked once a minute: endpoints that pods name by the
    /// annotation memgap.io/endpoint (PORT or PORT/path) are asked at the pod's own
    /// address. It must be on this machine: a proxy beside the exporter that holds the
    /// token, <http://127.0.0.1:8001/api/v1/pods?fieldSelector=spec.nodeName=NODE>, or
    /// unix:/path/of/socket:/api/v1/pods; or it is `watch`, where --kubernetes.watch tells of
    /// pods. Without it no pod is asked.
    #[arg(long = "endpoint.pods", value_name = "URL")]
    pub pods: Option<String>,

    /// Whether the API server is asked.
    #[command(flatten)]
    pub kubernetes: Kubernetes,

    /// Where collections are pushed.
    #[command(flatten)]
    pub otlp: Otlp,

    /// Tells what holds on this machine, and ends: what may be read, what each process
    /// gives up, what is less than it could be and what helps. The exit status is 1 where
    /// the exporter would not work.
    #[arg(long = "self-check")]
    pub self_check: bool,

    /// Which of the exporter's processes this is: the one that is started has none.
    #[arg(long = "role", value_name = "ROLE", hide = true)]
    pub role: Option<Role>,

    /// What came of reading the configuration, for the process that tells it.
    #[arg(long = "reload", value_name = "RELOAD", hide = true)]
    pub reload: Option<Reload>,

    /// Least level to log: error, warn, info, debug.
    #[arg(long = "log.level", value_name = "LEVEL", default_value_t = Level::INFO)]
    pub log_level: Level,

    /// How to log: text, or one object of JSON a line.
    #[arg(long = "log.format", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

const OTHER_SOURCES: &str = "\
Each flag but those of one run can be given by a variable, MEMGAP_WALK_CAP for --walk.cap, and
by a key of its name in the file. A flag goes before a variable, a variable before the file.";

/// What a process of the exporter's does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Reads the machine, with the capabilities that takes.
    Reader,
    /// Answers scrapers, without any.
    Server,
    /// Watches the pods of this node.
    Watcher,
    /// Looks up the name of what the server pushes to.
    #[cfg(feature = "otlp")]
    Resolver,
}

impl Role {
    /// The word for the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Server => "server",
            Self::Watcher => "watcher",
            #[cfg(feature = "otlp")]
            Self::Resolver => "resolver",
        }
    }

    /// What `ps` shows.
    pub const fn process_name(self) -> &'static CStr {
        match self {
            Self::Reader => c"memgap-reader",
            Self::Server => c"memgap-server",
            Self::Watcher => c"memgap-watcher",
            #[cfg(feature = "otlp")]
            Self::Resolver => c"memgap-resolver",
        }
    }
}

impl Args {
    /// How processes are put together.
    pub fn grouping(&self) -> Grouping {
        if self.process_pids { Grouping::Pid } else { Grouping::Name }
    }

    /// How many connections are served.
    pub fn connections(&self) -> Bounds {
        Bounds::of(self.max_connections as usize)
    }

    /// The bounds on what is exported.
    pub fn limits(&self) -> Limits {
        Limits {
            process_groups: self.process_groups as usize,
            max_series: self.max_series as usize,
        }
    }
}

/// The shortest and longest time between collections.
const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_hours(1);

/// The least and most CPU time that a walk may be allowed.
const WALK_CAPS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_mins(1);

/// The least and most age of heap statistics before they are read again.
const MIN_AGES: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);

fn named(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(target, _)| !target.is_empty());
    let (target, url) = pair.ok_or_else(|| "give TARGET=URL".to_owned())?;
    Ok((target.to_owned(), url.to_owned()))
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    let is_sound = (0.0..=1.0).contains(&share);
    is_sound.then_some(share).ok_or_else(|| "it must be from 0 to 1".to_owned())
}

fn telemetry_path(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.".contains(&b);
    if !text.starts_with('/') || !text.bytes().all(plain) {
        return Err("it must start with / and hold letters, digits and -_./ only".to_owned());
    }
    let is_api = text == "/api" || text.starts_with("/api/");
    let others = ["/healthz", "/readyz", "/cgroup", "/process", "/host", "/finding", "/style.css"];
    if is_api || others.contains(&text) {
        return Err("the exporter answers other questions there".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_walks_may_cost_is_bounded() {
        let walk_cap = between(WALK_CAPS);
        assert_eq!(walk_cap("20ms"), Ok(Duration::from_millis(20)));
        for bad in ["0ms", "61s", "20"] {
            assert!(walk_cap(bad).is_err(), "{bad}");
        }
        assert_eq!(share("0.005"), Ok(0.005));
        for bad in ["", "-0.1", "1.1", "NaN", "inf", "1%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_telemetry_path_is_one_that_a_router_takes() {
        assert!(telemetry_path("/metrics").is_ok());
        for bad in ["", "metrics", "/{x}", "/*", "/healthz", "/host", "/api", "/api/v1/x", "/a b"] {
            assert!(telemetry_path(bad).is_err(), "{bad}");
        }
    }
}
