//! The files that a web configuration is made of, read whole.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use super::config::{Config, Source};

/// A web configuration file, and the files that it names. Empty where it names none.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// The file itself.
    pub config: Vec<u8>,
    /// `cert_file`.
    pub cert: Vec<u8>,
    /// `key_file`.
    pub key: Vec<u8>,
    /// `client_ca_file`.
    pub client_ca: Vec<u8>,
}

/// The most that a file may hold.
const MAX_BYTES: u64 = 1 << 20;

impl Contents {
    /// Reads the file at a path, and those that it names. Their paths are relative to its folder.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let config = read(path)?;
        let mut contents = Self { config, ..Self::default() };
        let Some(tls) = contents.config()?.tls else { return Ok(contents) };
        let folder = path.parent().unwrap_or(Path::new(""));
        let of = |source: &Source| match source.path() {
            None => Ok(Vec::new()),
            Some(path) => read(&folder.join(path)).map_err(|error| source.text().wrong(error)),
        };
        contents.cert = of(&tls.cert)?;
        contents.key = of(&tls.key)?;
        contents.client_ca = tls.client_ca.as_ref().map(of).transpose()?.unwrap_or_default();
        Ok(contents)
    }

    /// What the file says.
    pub fn config(&self) -> anyhow::Result<Config> {
        std::str::from_utf8(&self.config).context("it is no UTF-8")?.parse()
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A pipe that nobody writes to would be waited for.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    file.and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| anyhow::anyhow!("can not read {}: {error}", path.display()))?;
    anyhow::ensure!(
        bytes.len() as u64 <= MAX_BYTES,
        "{} holds more than {MAX_BYTES} bytes",
        path.display()
    );
    Ok(bytes)
}
