//! The flags.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::endpoint::Endpoint;
use super::headers::Header;
use crate::duration::between;

/// Where to push, and how. Without an endpoint nothing is.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Push collections to an OpenTelemetry collector too, by OTLP over HTTP:
    /// <http://HOST:PORT>, with the path where it is not /v1/metrics. It takes an exporter
    /// that was built with the feature otlp.
    #[arg(id = "otlp_endpoint", long = "otlp.endpoint", value_name = "URL", value_parser = endpoint)]
    pub endpoint: Option<Endpoint>,

    /// Least time between two pushes. Each collection is pushed once at most.
    #[arg(id = "otlp_interval", long = "otlp.interval", value_name = "TIME", default_value = "60s", value_parser = between(INTERVALS))]
    pub interval: Duration,

    /// Time for one try to push: connecting, sending and the answer.
    #[arg(id = "otlp_timeout", long = "otlp.timeout", value_name = "TIME", default_value = "10s", value_parser = between(TIMEOUTS))]
    pub timeout: Duration,

    /// Header to send along: NAME=VALUE. Who lists processes sees it, so a secret belongs
    /// into --otlp.headers-file. Repeatable.
    #[arg(id = "otlp_header", long = "otlp.header", value_name = "NAME=VALUE", value_parser = Header::from_str)]
    pub headers: Vec<Header>,

    /// File with headers to send along, a line NAME: VALUE for each. It is read when the
    /// process that serves starts.
    #[arg(id = "otlp_headers_file", long = "otlp.headers-file", value_name = "FILE")]
    pub headers_file: Option<PathBuf>,

    /// Attribute of what is pushed as a whole: NAME=VALUE, as in k8s.node.name=worker-1. One
    /// that the exporter knows itself is replaced. Repeatable.
    #[arg(id = "otlp_resource", long = "otlp.resource", value_name = "NAME=VALUE", value_parser = attribute)]
    pub resource: Vec<(String, String)>,
}

const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);

impl Settings {
    /// The port that has to be reached, if any.
    pub fn port(&self) -> Option<u16> {
        self.endpoint.as_ref().map(|endpoint| endpoint.port)
    }

    /// What is wrong with what the settings name.
    pub fn check(&self) -> anyhow::Result<()> {
        self.headers_file.as_deref().map(super::headers::read).transpose().map(|_| ())
    }
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let endpoint = text.parse()?;
    if cfg!(feature = "otlp") {
        Ok(endpoint)
    } else {
        Err("this exporter can not push: build it with --features otlp".to_owned())
    }
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| "give NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}
