//! jemalloc against its own words: Debian's redis, and Rust programs.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::service::Service;
use memgap_tests::target::Target;

fn explain(pid: u32, depth: Depth) -> Result<ProcessLedger> {
    let sample = Reader::open(Roots::default())?.process(pid, depth)?;
    let made = process::ledger(&sample);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok(made)
}

fn jemalloc(made: &ProcessLedger) -> Result<&Runtime> {
    let found = made.runtimes.iter().find(|runtime| runtime.name == "jemalloc");
    found.with_context(|| format!("no jemalloc: {:?}", made.absent))
}

/// Bytes in pages in use: what is in use, and what is free in them.
fn active(runtime: &Runtime) -> Result<u64> {
    let of = |figure: Option<u64>| figure.context("an amount is not told");
    let free = of(runtime.free)? - of(runtime.released)? - of(runtime.trimmable)?;
    Ok(of(runtime.in_use)? + free)
}

fn assert_near(what: &str, found: u64, said: u64, per_mille: u64) {
    println!("{what}: {found} found, {said} said");
    assert!(found.abs_diff(said) * 1000 <= said * per_mille, "{what}: {found}, {said} said");
}

/// A connection to redis.
struct Client(BufReader<UnixStream>);

impl Client {
    fn of(redis: &Service) -> Result<Self> {
        Ok(Self(BufReader::new(UnixStream::connect(redis.socket())?)))
    }

    /// The text of its answer to a command.
    fn ask(&mut self, command: &str) -> Result<String> {
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

    /// A figure of `INFO memory`.
    fn memory(info: &str, name: &str) -> Result<u64> {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.with_context(|| format!("INFO has no {name}"))?.trim().parse()?)
    }
}

#[test]
fn an_idle_redis_holds_what_it_says() -> Result<()> {
    let redis = Service::redis()?;
    let mut client = Client::of(&redis)?;
    client.ask("DEBUG POPULATE 200000 key 100")?;
    client.ask("DEBUG POPULATE 20000 big 5000")?;
    let info = client.ask("INFO memory")?;
    let _frozen = Frozen::stop(redis.pid())?;
    let made = explain(redis.pid(), Depth::Books)?;
    let runtime = jemalloc(&made)?;
    let said = |name| Client::memory(&info, name);
    let in_use = runtime.in_use.context("no amount")?;
    assert_near("allocated", in_use, said("allocator_allocated")?, 1);
    assert_near("active", active(runtime)?, said("allocator_active")?, 1);
    let heap = [Account::HeapInUse, Account::AllocatorFree, Account::AllocatorMetadata];
    let resident = heap.iter().map(|a| made.ledger.booked(*a)).sum::<i64>();
    assert_near("resident", u64::try_from(resident)?, said("allocator_resident")?, 30);
    assert!(made.ledger.booked(Account::Unexplained) < 1 << 20);
    Ok(())
}

#[test]
fn a_rust_program_holds_what_it_says() -> Result<()> {
    // Nothing is given back in between.
    let options = [("_RJEM_MALLOC_CONF", "background_thread:false,dirty_decay_ms:-1")];
    let mut target = Target::run(Path::new(env!("CARGO_BIN_EXE_jemalloc")), &options)?;
    for step in 0..3 {
        if step > 0 {
            target.step()?;
        }
        let made = explain(target.pid(), Depth::Books)?;
        let runtime = jemalloc(&made)?;
        let said = |name| target.holds(name);
        assert_eq!(runtime.in_use, Some(said("allocated")?), "step {step}");
        assert_eq!(active(runtime)?, said("active")?, "step {step}");
        assert_eq!(runtime.trimmable, Some(said("dirty")?), "step {step}");
        assert_eq!(runtime.lazily_freed, Some(said("muzzy")?), "step {step}");
        assert_eq!(runtime.released, Some(said("muzzy")? + said("retained")?), "step {step}");
        let metadata = format!("metadata {} bytes", said("metadata")?);
        assert!(runtime.evidence.iter().any(|e| e.contains(&metadata)), "{:?}", runtime.evidence);
    }
    Ok(())
}
