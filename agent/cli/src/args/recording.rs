//! What was typed of recordings.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::ValueHint;

use super::interval;
use crate::duration;

/// Where to, how often, for how long.
#[derive(Debug, clap::Args)]
pub struct Record {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The time between two samples, at least 100ms
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = interval)]
    pub interval: Duration,
    /// How long to record [default: until Ctrl-C]
    #[arg(id = "time", long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub time: Option<Duration>,
    /// The most that the recording takes, in MiB: a file that has half of it is renamed to FILE.1, and what was
    /// there is given up
    #[arg(long, value_name = "MIB", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub max_size: u64,
    /// Whether to replace the names of programs, files, cgroups and pods
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub redact: bool,
}

/// Which recording, of whom, and when.
#[derive(Debug, clap::Args)]
pub struct Replay {
    /// The recording; FILE.1 belongs to it
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Whom to explain [default: list what the recording holds]
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,
    /// The last sample not after this time: 2026-11-21T09:08:07Z, or so long after the first one,
    /// as in 10m [default: the last that has the target]
    #[arg(long, value_name = "WHEN", requires = "target", value_parser = when)]
    pub at: Option<When>,
    /// Compare with what it was at this time, account by account
    #[arg(long, value_name = "WHEN", requires = "target", value_parser = when)]
    pub since: Option<When>,
    /// Show all mappings that hold much of an account, not the largest five
    #[arg(long)]
    pub maps: bool,
    /// Show all findings, not the first three
    #[arg(long)]
    pub all: bool,
}

/// A time in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// By the clock.
    At(SystemTime),
    /// So long after the first sample.
    After(Duration),
}

fn when(text: &str) -> Result<When, String> {
    if let Some(time) = memgap_json::parse_time(text) {
        // A second is meant with all that is within it, as it is shown.
        let within = if text.contains('.') { 0 } else { 999_999_999 };
        return Ok(When::At(time + Duration::from_nanos(within)));
    }
    let after = duration::parse(text).map(When::After);
    after.map_err(|_| "give a time as 2026-11-21T09:08:07Z, or as 10m after the first".to_owned())
}
