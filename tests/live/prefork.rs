//! Processes forked from one, in a cgroup: pages that all of them map are in use once.

use anyhow::{Context, Result};
use memgap_ledger::{Figure, ProcessLedger, cgroup, program};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::cgroup::Cgroup;
use memgap_tests::redis::Client;
use memgap_tests::rights::{Need, left_out};
use memgap_tests::service::Service;
use memgap_tests::target::Target;

/// The point, or why there is none.
fn point(figure: &Figure) -> Result<i64> {
    figure.point().with_context(|| format!("{figure:?}"))
}

#[test]
fn what_workers_share_is_in_use_once() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("prefork")?;
    let target = Target::start_in("prefork", &group)?;
    let allocated = i64::try_from(target.holds("allocated")?)?;
    let workers = i64::try_from(target.holds("workers")?)?;
    let reader = Reader::open(Roots::default())?;
    let members = reader.members(group.path(), Depth::Full)?;
    let ledgers: Vec<ProcessLedger> = members.iter().map(memgap_ledger::process::ledger).collect();
    assert_eq!(ledgers.len(), usize::try_from(workers + 1)?);
    // Each by itself has all of it in use.
    for ledger in &ledgers {
        let in_use = point(&ledger.headline.in_use)?;
        assert!((in_use - allocated).abs() < allocated / 20, "{in_use} of {allocated}");
    }
    let inside: Vec<&ProcessLedger> = ledgers.iter().collect();
    let made = cgroup::ledger(&reader.cgroup(group.path())?, Ok(&inside));
    let usage = point(&made.headline.usage)?;
    let in_use = point(&made.headline.in_use)?;
    let (low, high) = made.headline.in_use.bounds().context("read")?;
    println!("in use {in_use} ({low}..{high}) of usage {usage}, the program says {allocated}");
    assert!((in_use - allocated).abs() < allocated / 20, "{in_use} of {allocated}");
    assert!(low <= allocated && in_use <= usage, "{low}..{high}, usage {usage}");
    // And so in the list of programs: one row.
    let [row] = &program::programs(&ledgers, false)[..] else { panic!("one row") };
    assert_eq!(row.pids.len(), ledgers.len());
    assert!(row.pss.point() < row.rss.point().map(|rss| rss / 4));
    assert!((point(&row.in_use)? - allocated).abs() < allocated / 20);
    Ok(())
}

/// While redis saves in the background its child holds the same heap.
#[test]
fn what_redis_saves_in_the_background_is_in_use_once() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("bgsave")?;
    let redis = Service::redis_in(&group)?;
    let mut client = Client::of(&redis)?;
    client.ask("DEBUG POPULATE 800000 key 50")?;
    // The child waits a second after each key.
    client.ask("CONFIG SET rdb-key-save-delay 1000000")?;
    client.ask("BGSAVE")?;
    let said = i64::try_from(client.allocated()?)?;
    let reader = Reader::open(Roots::default())?;
    let members = reader.members(group.path(), Depth::Full)?;
    let ledgers: Vec<ProcessLedger> = members.iter().map(memgap_ledger::process::ledger).collect();
    assert_eq!(ledgers.len(), 2);
    let kernel = i64::try_from(group.usage()?)?;
    for ledger in &ledgers {
        // Each by itself has all of it in use, and so much is known.
        let (low, high) = ledger.headline.in_use.bounds().context("read")?;
        println!("in use {low}..{high}, redis says {said}");
        assert!((low - said).abs() < said / 100 && high - low < said / 20, "{low}..{high}");
    }
    let inside: Vec<&ProcessLedger> = ledgers.iter().collect();
    let made = cgroup::ledger(&reader.cgroup(group.path())?, Ok(&inside));
    let in_use = made.headline.in_use.point().context("read")?;
    let (low, high) = made.headline.in_use.bounds().context("read")?;
    println!("in use {in_use} ({low}..{high}) of usage {kernel}, redis says {said}");
    // What redis wrote since is there twice.
    assert!((in_use - said).abs() < said / 20 && in_use <= kernel, "{in_use}, usage {kernel}");
    assert!(low <= said && said <= high, "{low}..{high}");
    assert!(high - low < said / 5, "{low}..{high}");
    let [row] = &program::programs(&ledgers, false)[..] else { panic!("one row") };
    assert_eq!(row.in_use, made.headline.in_use);
    Ok(())
}
