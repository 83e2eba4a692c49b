//! What allocators keep and have given back: amounts without addresses lie elsewhere.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use memgap_ledger::finding::{self, Subject};
use memgap_ledger::{Account, ProcessLedger, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::frozen::Frozen;
use memgap_tests::jemalloc::jemallocs;
use memgap_tests::redis::Client;
use memgap_tests::service::Service;

const MIB: i64 = 1 << 20;
/// What redis gives out while it says how much it has.
const SMALL: i64 = 128 << 10;

/// What is free is given back at once.
const OPTIONS: &str =
    "narenas:1,background_thread:false,dirty_decay_ms:0,muzzy_decay_ms:0,abort_conf:true";

fn explain(pid: u32, depth: Depth) -> Result<ProcessLedger> {
    Ok(process::ledger(&Reader::open(Roots::default())?.process(pid, depth)?))
}

/// Bounds of what is in use and in memory.
fn in_use(made: &ProcessLedger) -> Result<(i64, i64)> {
    made.ledger.figure(Account::HeapInUse).bounds().context("no amount in use")
}

fn released(made: &ProcessLedger) -> Result<i64> {
    let released = made.runtimes.iter().find_map(|runtime| runtime.released);
    Ok(i64::try_from(released.context("no amount given back")?)?)
}

/// What of `said` bytes is in memory is known but for little: free pages of jemalloc's, and
/// other memory of the program.
fn assert_known(what: &str, made: &ProcessLedger, said: i64, but: i64) -> Result<()> {
    let (low, high) = in_use(made)?;
    println!("{what}: {low}..{high}, {said} said, {} given back", released(made)?);
    assert!(low <= said && said - SMALL <= high, "{what}: {said} said, {low}..{high}");
    assert!(high - low <= but, "{what}: {low}..{high}");
    Ok(())
}

#[test]
fn what_every_version_has_in_use_is_not_where_it_gave_memory_back() -> Result<()> {
    for one in jemallocs()? {
        let mut target = one.start(OPTIONS)?;
        target.step()?;
        // Every second piece was freed, and of the large ones all pages.
        let made = explain(target.pid(), Depth::Full)?;
        assert!(released(&made)? > 15 * MIB, "{one:?}");
        // Without statistics the free regions of slabs are an interval themselves.
        let (said, but) = if one.counts() { ("allocated", MIB) } else { ("pieces", 12 * MIB) };
        let said = i64::try_from(target.holds(said)?)?;
        assert_known(&format!("{one:?}"), &made, said, but)?;
    }
    Ok(())
}

#[test]
fn a_redis_that_held_much_more_is_known_as_one_that_never_did() -> Result<()> {
    let redis = Service::redis()?;
    let mut client = Client::of(&redis)?;
    client.ask("DEBUG POPULATE 60000 big 5000")?;
    client.ask("FLUSHALL SYNC")?;
    client.ask("DEBUG POPULATE 100000 key 100")?;
    client.ask("MEMORY PURGE")?;
    let said = i64::try_from(client.allocated()?)?;
    let _frozen = Frozen::stop(redis.pid())?;
    let made = explain(redis.pid(), Depth::Full)?;
    assert!(released(&made)? > 250 * MIB);
    assert_known("redis", &made, said, 2 * MIB)
}

/// The Rust compiler is a jemalloc without statistics: its extents tell.
#[test]
fn the_rust_compiler_in_the_middle_of_its_work() -> Result<()> {
    let compiler = Compiler::start()?;
    compiler.wait_for(150 * MIB)?;
    let _frozen = Frozen::stop(compiler.pid())?;
    let made = explain(compiler.pid(), Depth::Full)?;
    let by_page = explain(compiler.pid(), Depth::Pages)?;
    let (low, high) = in_use(&by_page)?;
    println!("page by page {low}..{high}");
    assert_known("rustc", &made, low, 40 * MIB)?;
    assert!(in_use(&made)?.1 >= high);
    let found = finding::findings(Subject::Process(&made));
    assert!(found.iter().all(|found| found.id != "ballast"), "{found:?}");
    Ok(())
}

/// A compiler at work on much; ended with the value.
struct Compiler(Child);

impl Compiler {
    fn start() -> Result<Self> {
        let mut child = Command::new("rustc")
            .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata=/dev/null", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start rustc")?;
        let mut input = child.stdin.take().context("no stdin")?;
        let compiler = Self(child);
        for n in 0..60_000 {
            writeln!(input, "pub fn f{n}(x: u64) -> u64 {{ x.wrapping_mul({n}) + {n} }}")?;
        }
        Ok(compiler)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until so much of it is in memory.
    fn wait_for(&self, rss: i64) -> Result<()> {
        let end = Instant::now() + Duration::from_mins(2);
        while Instant::now() < end {
            if explain(self.pid(), Depth::Counters)?.headline.rss.point() >= Some(rss) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("rustc does not take {rss} bytes")
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
