//! The exporter's own log, on standard error.

use std::io::IsTerminal;

use anyhow::Context;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// A log that has been started.
#[derive(Debug, Clone)]
pub struct Log(Handle<LevelFilter, Registry>);

impl Log {
    /// Starts the log of this process. Call it once.
    pub fn start(format: LogFormat, level: Level) -> anyhow::Result<Self> {
        let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
        let lines = fmt::layer().with_writer(std::io::stderr);
        let lines = match format {
            LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .try_init()
            .context("a log is started already")?;
        if format == LogFormat::Json {
            std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        }
        Ok(Self(handle))
    }

    /// Logs from now on what is of this level or above.
    pub fn set_level(&self, level: Level) {
        if let Err(error) = self.0.reload(LevelFilter::from_level(level)) {
            tracing::error!(%error, "can not change what is logged");
        }
    }
}
