//! Figures about reading the configuration.

use std::fmt;
use std::str::FromStr;

use metrics::{describe_gauge, gauge};

use crate::own;

/// What came of reading the configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reload {
    /// When it was read and taken last, in seconds since the epoch.
    succeeded_at: f64,
    /// Whether it was taken the last time it was read.
    is_successful: bool,
}

/// What follows the time where the last reading was not taken.
const FAILED: &str = ",failed";

impl Reload {
    /// One that was taken now.
    pub fn succeeded() -> Self {
        Self { succeeded_at: own::now(), is_successful: true }
    }

    /// One that was not, after this one.
    #[must_use]
    pub fn failed(self) -> Self {
        Self { is_successful: false, ..self }
    }

    /// Records it.
    pub fn record(self) {
        let successful = if self.is_successful { 1.0 } else { 0.0 };
        gauge!("memgap_exporter_config_last_reload_successful").set(successful);
        gauge!("memgap_exporter_config_last_reload_success_timestamp_seconds")
            .set(self.succeeded_at);
    }
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = if self.is_successful { "" } else { FAILED };
        write!(f, "{}{failed}", self.succeeded_at)
    }
}

impl FromStr for Reload {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = text.strip_suffix(FAILED);
        let succeeded_at = time.unwrap_or(text).parse()?;
        Ok(Self { succeeded_at, is_successful: time.is_none() })
    }
}

/// Tells the recorder what they are.
pub fn describe() {
    describe_gauge!(
        "memgap_exporter_config_last_reload_successful",
        "Whether the configuration was right when it was read last, at the start or on SIGHUP: else the one before is in effect."
    );
    describe_gauge!(
        "memgap_exporter_config_last_reload_success_timestamp_seconds",
        "When the configuration that was right was read last, since the epoch."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let good = Reload { succeeded_at: 1_764_278_185.25, is_successful: true };
        for reload in [good, good.failed(), Reload::succeeded()] {
            assert_eq!(reload.to_string().parse(), Ok(reload));
        }
        assert!("failed".parse::<Reload>().is_err());
    }
}
