//! Go programs that nobody here wrote: their heap statistics are found, keep their rules, and
//! say what the programs say of themselves.

use anyhow::{Context, Result, ensure};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Limits, Reader, Roots, read_endpoint};
use memgap_tests::frozen::Frozen;
use memgap_tests::programs::Program;
use memgap_tests::rights::{Need, left_out};

fn read(pid: u32, depth: Depth) -> Result<ProcessLedger> {
    let sample = Reader::open(Roots::default())?.process(pid, depth)?;
    Ok(process::ledger(&sample))
}

fn go(made: &ProcessLedger) -> Result<&Runtime> {
    let found = made.runtimes.iter().find(|runtime| runtime.name == "go");
    found.with_context(|| format!("{:?}", made.absent))
}

/// Every page of a program that stands still.
fn is_explained(program: &Program) -> Result<()> {
    let _frozen = Frozen::stop(program.pid())?;
    let made = read(program.pid(), Depth::Pages)?;
    let runtime = go(&made)?;
    let rss = made.headline.rss.point().context("no RSS")?;
    let off = made.ledger.booked(Account::Unexplained);
    let cut = i64::try_from(made.cut)?;
    println!("{}: Go {:?}, rss {rss}, unexplained {off}, cut {cut}", made.name, runtime.version);
    assert_eq!(made.ledger.sum(account::RSS), rss);
    assert!(made.absent.iter().all(|a| a.what != "runtime" && a.what != "pages"), "{made:?}");
    assert!(off.abs() + cut <= (rss * 35 / 1000).max(4 << 20), "{off} {cut}");
    assert!(runtime.in_use > Some(1 << 18) && made.ledger.booked(Account::HeapInUse) > 1 << 18);
    Ok(())
}

/// What a program allocates for an answer, or a collection takes off it.
const SLACK: u64 = 4 << 20;

/// What its endpoint says, between two readings of its heap statistics.
fn agrees_with_its_endpoint(program: &Program) -> Result<()> {
    let url = format!("http://127.0.0.1:{}/metrics", program.port());
    let before = read(program.pid(), Depth::Runtimes)?;
    let answer = read_endpoint(&url.parse()?, &Limits::default())?;
    let after = read(program.pid(), Depth::Runtimes)?;
    let reported = answer.figures.iter().find(|f| f.runtime == "go").context("no figures of Go")?;
    let (before, after) = (go(&before)?, go(&after)?);
    assert_eq!(before.version, reported.version);
    let cycles = |runtime: &Runtime| runtime.gc.as_ref().and_then(|gc| gc.cycles);
    let between = cycles(before)..=cycles(after);
    assert!(between.contains(&reported.cycles), "{:?} not in {between:?}", reported.cycles);
    let in_use = |runtime: &Runtime| runtime.in_use.context("no figure");
    let (low, high) = (in_use(before)?.min(in_use(after)?), in_use(before)?.max(in_use(after)?));
    println!("{url}: {} in {low}..{high}", reported.in_use);
    ensure!((low.saturating_sub(SLACK)..=high + SLACK).contains(&reported.in_use));
    Ok(())
}

#[test]
fn debians_prometheus() -> Result<()> {
    let program = Program::prometheus()?;
    agrees_with_its_endpoint(&program)?;
    is_explained(&program)
}

#[test]
fn debians_node_exporter() -> Result<()> {
    let program = Program::node_exporter()?;
    agrees_with_its_endpoint(&program)?;
    is_explained(&program)
}

#[test]
fn debians_caddy() -> Result<()> {
    let program = Program::caddy()?;
    agrees_with_its_endpoint(&program)?;
    is_explained(&program)
}

#[test]
fn debians_containerd() -> Result<()> {
    if left_out(Need::OtherUsers) {
        return Ok(());
    }
    is_explained(&Program::containerd()?)
}

#[test]
fn esbuild_of_npm() -> Result<()> {
    is_explained(&Program::esbuild()?)
}
