//! What redis says of itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::service::Service;

/// A connection to redis.
#[derive(Debug)]
pub struct Client(BufReader<UnixStream>);

impl Client {
    /// `INFO memory` once it has caught up: redis asks its allocator ten times a second,
    /// and counts what it asked it for itself. The first answer makes room for the second.
    pub fn settled(&mut self) -> Result<String> {
        let end = Instant::now() + Duration::from_mins(1);
        let mut before = 0;
        while Instant::now() < end {
            let info = self.ask("INFO memory")?;
            let allocated = Self::memory(&info, "allocator_allocated")?;
            if allocated == before && allocated >= Self::memory(&info, "used_memory")? {
                return Ok(info);
            }
            before = allocated;
        }
        bail!("redis does not come to rest")
    }

    /// Connects to a server.
    pub fn of(redis: &Service) -> Result<Self> {
        Ok(Self(BufReader::new(UnixStream::connect(redis.socket())?)))
    }

    /// The text of its answer to a command.
    pub fn ask(&mut self, command: &str) -> Result<String> {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let line = line.trim_end();
        if let Some(word) = line.strip_prefix('+') {
            return Ok(word.to_owned());
        }
        let Some(len) = line.strip_prefix('$') else { bail!("{command}: redis answers {line}") };
        let mut text = vec![0; len.parse::<usize>()? + 2];
        self.0.read_exact(&mut text)?;
        Ok(String::from_utf8(text)?)
    }

    /// What jemalloc says of this moment; `INFO` is up to a tenth of a second old.
    pub fn allocated(&mut self) -> Result<u64> {
        let text = self.ask("MEMORY MALLOC-STATS")?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("Allocated: "));
        let figure = line.and_then(|line| line.split(',').next());
        Ok(figure.context("jemalloc prints no statistics")?.parse()?)
    }

    /// A figure of `INFO memory`.
    pub fn memory(info: &str, name: &str) -> Result<u64> {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.with_context(|| format!("INFO has no {name}"))?.trim().parse()?)
    }
}
