//! The real exporter, scraped over loopback.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const ADDRESS: &str = "127.0.0.1:9877";

/// The first collection is done long before this.
const PATIENCE: Duration = Duration::from_secs(30);

/// An exporter that ends with the value.
pub struct Exporter(Child);

/// A scope and the labels of one of its members.
pub type Member = (String, String);

/// What a scrape says: the sum of each member's ledger, and its usage.
#[derive(Default)]
pub struct Scrape {
    /// Sums of `memgap_<scope>_ledger_bytes`.
    pub ledgers: BTreeMap<Member, i64>,
    /// `memgap_<scope>_usage_bytes`; the host's is its total.
    pub usages: BTreeMap<Member, i64>,
}

impl Exporter {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let child = Command::new("/bin/memgap-exporter")
            .args(["--web.listen-address", ADDRESS])
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start /bin/memgap-exporter")?;
        Ok(Self(child))
    }

    /// Its first collection, once that is done.
    pub fn scrape(&mut self) -> Result<Scrape> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait()? {
                bail!("memgap-exporter ended early: {status}");
            }
            match get("/metrics") {
                Ok(text) if text.starts_with("HTTP/1.1 200 ") => return Ok(Scrape::parse(&text)),
                // It is not listening yet, or has not collected yet.
                _ => std::thread::yield_now(),
            }
        }
        bail!("memgap-exporter had nothing to scrape after {} s", PATIENCE.as_secs())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("failed to stop memgap-exporter: {error}");
        }
    }
}

impl Scrape {
    fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (Ok(value), Some(series)) = (value.parse::<i64>(), series.strip_prefix("memgap_"))
            else {
                continue;
            };
            if let Some((scope, labels)) = series.split_once("_ledger_bytes{") {
                let end = labels.find("class=\"").unwrap_or(labels.len());
                let member = labels[..end].trim_end_matches(',');
                *scrape.ledgers.entry((scope.to_owned(), member.to_owned())).or_default() += value;
            } else if let Some((scope, labels)) = series.split_once("_usage_bytes{") {
                let member = labels.trim_end_matches('}');
                scrape.usages.insert((scope.to_owned(), member.to_owned()), value);
            } else if series == "host_memory_total_bytes" {
                scrape.usages.insert(("host".to_owned(), String::new()), value);
            }
        }
        scrape
    }
}

fn get(path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(ADDRESS)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
