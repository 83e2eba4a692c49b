//! memgap-beacon: what a program tells of itself stands beside what the probe reads,
//! or for it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use memgap_ledger::account::{self, Account};
use memgap_ledger::{ProcessLedger, Runtime, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::target::Target;

fn explain(target: &Target) -> Result<ProcessLedger> {
    let sample = Reader::open(Roots::default())?.process(target.pid(), Depth::Full)?;
    let made = process::ledger(&sample);
    assert_eq!(Some(made.ledger.sum(account::RSS)), made.headline.rss.point());
    Ok(made)
}

/// Its jemalloc; the C library has an allocator too, which hardly serves anyone.
fn jemalloc(made: &ProcessLedger) -> Result<&Runtime> {
    let mut found = made.runtimes.iter().filter(|runtime| runtime.name == "jemalloc");
    let one = found.next().with_context(|| format!("no jemalloc: {:?}", made.absent))?;
    assert_eq!(found.next(), None);
    Ok(one)
}

fn has_gauge(evidence: &[String], target: &Target) -> Result<bool> {
    let gauge = format!("memgap-beacon: cache_bytes is {}", target.holds("cache")?);
    Ok(evidence.contains(&gauge))
}

#[test]
fn a_beacon_is_a_second_source_beside_the_probe() -> Result<()> {
    let mut target = Target::run(Path::new(env!("CARGO_BIN_EXE_beacon")), &[])?;
    for step in 0..2 {
        if step > 0 {
            target.step()?;
        }
        let made = explain(&target)?;
        let runtime = jemalloc(&made)?;
        let second = runtime.second_source.as_ref().context("the beacon is read")?;
        assert_eq!((&*second.name, second.in_use), ("memgap-beacon", target.holds("allocated")?));
        // Buffers that the program made since its report.
        assert!(second.differs_by.abs() < 1 << 20, "{second:?}");
        assert!(has_gauge(&runtime.evidence, &target)?, "{:?}", runtime.evidence);
        // Its heap statistics are claimed once.
        let all: u64 = made.runtimes.iter().filter_map(|runtime| runtime.in_use).sum();
        assert!(made.in_use.is_some_and(|in_use| in_use.total == all));
    }
    Ok(())
}

#[test]
fn a_beacon_stands_for_the_statistics_of_a_version_that_is_not_known() -> Result<()> {
    let program = Unknown::of(Path::new(env!("CARGO_BIN_EXE_beacon")))?;
    let target = Target::run(&program.0, &[])?;
    let made = explain(&target)?;
    let runtime = jemalloc(&made)?;
    assert_eq!(runtime.second_source, None);
    assert_eq!(runtime.in_use, Some(target.holds("allocated")?));
    assert!(has_gauge(&runtime.evidence, &target)?, "{:?}", runtime.evidence);
    assert!(made.ledger.booked(Account::HeapInUse) >= 16 << 20);
    let refused = made.absent.iter().find(|a| a.what == "runtime").context("no reason")?;
    assert!(refused.missing.why.contains("jemalloc 5.9.1 is not known"), "{refused:?}");
    Ok(())
}

/// A copy of a program that says its jemalloc was another one.
struct Unknown(PathBuf);

impl Unknown {
    fn of(program: &Path) -> Result<Self> {
        const VERSION: &[u8] = b"5.3.1-0-g";
        let mut bytes = fs::read(program)?;
        let mut at = 0;
        while let Some(next) = bytes[at..].windows(VERSION.len()).position(|w| w == VERSION) {
            bytes[at + next + 2] = b'9';
            at += next + VERSION.len();
        }
        let copy = program.with_file_name(format!("beacon-unknown-{}", std::process::id()));
        fs::write(&copy, bytes)?;
        fs::set_permissions(&copy, fs::metadata(program)?.permissions())?;
        Ok(Self(copy))
    }
}

impl Drop for Unknown {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
