//! Memory that one cgroup is charged for and another uses, cgroups that were deleted and
//! still hold some, and what waits in sockets. The kernel's own counters are the oracle.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memgap_ledger::account::Account;
use memgap_ledger::finding::{self, Subject};
use memgap_ledger::{CgroupLedger, cgroup, note, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::cgroup::{Cgroup, Version};
use memgap_tests::rights::{Need, left_out};
use memgap_tests::target::{self, Target};

const MIB: i64 = 1 << 20;

/// What waits in the batches of each processor, and the C library beside what is known.
const NOISE: i64 = 2 * MIB;

/// What other programs' sockets may hold, and what was rounded to pages.
const NEAR: u64 = 2 << 20;

/// How long an acknowledgement may take.
const ACKNOWLEDGED: Duration = Duration::from_secs(10);

fn reader() -> Result<Reader> {
    Ok(Reader::open(Roots::default())?)
}

fn explain(group: &Cgroup) -> Result<CgroupLedger> {
    let reader = reader()?;
    let members = reader.members(group.path(), Depth::Walk)?;
    let ledgers: Vec<_> = members.iter().map(process::ledger).collect();
    let inside: Vec<_> = ledgers.iter().collect();
    let mut made = cgroup::ledger(&reader.cgroup(group.path())?, Ok(&inside));
    made.sockets = Some(reader.sockets(&reader.member_pids(group.path())?));
    assert_eq!(Some(made.ledger.total()), made.headline.usage.point());
    Ok(made)
}

/// Notes and findings.
fn notes(made: &CgroupLedger) -> String {
    let subject = Subject::Cgroup(made);
    let found = finding::findings(subject).into_iter().map(|finding| finding.summary);
    note::notes(subject).into_iter().chain(found).collect::<Vec<_>>().join("\n")
}

fn move_to(target: &Target, group: &Cgroup) -> Result<()> {
    group.admit(target.pid())
}

#[test]
fn anonymous_memory_stays_where_it_was_written() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let (here, there) = (Cgroup::new("written")?, Cgroup::new("moved-to")?);
    let mut target = Target::start_in("ballast", &here)?;
    target.step()?;
    target.step()?;
    let at_home = explain(&here)?;
    assert!(at_home.ledger.booked(Account::MovedCharges).abs() < NOISE);
    assert!(!notes(&at_home).contains("charged"), "{}", notes(&at_home));
    move_to(&target, &there)?;
    let touched = i64::try_from(target.holds("touched")?)?;
    // `move_charge_at_immigrate` is off, as it is where nobody turns it on.
    ensure!(i64::try_from(here.stat("anon")?)? >= touched, "the kernel moved it");
    let left = explain(&here)?;
    assert!((left.ledger.booked(Account::MovedCharges) - touched).abs() < NOISE);
    assert!(notes(&left).contains("held by no process of the cgroup"), "{}", notes(&left));
    let gained = explain(&there)?;
    assert!((gained.ledger.booked(Account::MovedCharges) + touched).abs() < NOISE);
    let sentence = "of its processes' anonymous memory are not charged to it";
    assert!(notes(&gained).contains(sentence), "{}", notes(&gained));
    Ok(())
}

#[test]
fn a_file_is_charged_to_who_read_it_first() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let (sidecar, app) = (Cgroup::new("sidecar")?, Cgroup::new("app")?);
    let target = Target::start_in("mapped", &sidecar)?;
    let mapped = i64::try_from(target.holds("file")?)?;
    let pays = explain(&sidecar)?;
    assert!(!notes(&pays).contains("are charged to another cgroup"), "{}", notes(&pays));
    move_to(&target, &app)?;
    let cache = i64::try_from(app.stat("file")?)?;
    assert!(cache < NOISE, "the app is charged for {cache}");
    let maps = explain(&app)?;
    let elsewhere = maps.elsewhere.as_ref().expect("its process was walked");
    // Of what the app is charged, memory.stat may not have all yet.
    let behind =
        i64::try_from(CgroupLedger::residual_bound(reader()?.cgroup(app.path())?.cpus, 0))?;
    let least = mapped - cache - behind..mapped + 2 * NOISE;
    assert!(least.contains(&elsewhere.file), "{} of {mapped}", elsewhere.file);
    let sentence = "of files, whose pages go when that one is short";
    assert!(notes(&maps).contains(sentence), "{}", notes(&maps));
    Ok(())
}

/// How many cgroups are deleted.
const COUNT: u64 = 8;

#[test]
fn deleted_cgroups_that_hold_pages_are_counted() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let files: Vec<_> = (0..COUNT)
        .map(|n| Ok(target::directory()?.join(format!("dying-{}-{n}", std::process::id()))))
        .collect::<Result<_>>()?;
    // Below a cgroup of their own: of those below its root v2 does not say what they hold.
    let parent = Cgroup::new("dying")?;
    for (nth, file) in files.iter().enumerate() {
        let group = parent.child(&nth.to_string())?;
        // A megabyte of page cache, which stays when its writer has ended.
        let script = "echo $$ > \"$0\" && head -c 1048576 /dev/zero > \"$1\"";
        let wrote =
            Command::new("sh").args(["-c", script]).arg(group.procs()).arg(file).status()?;
        ensure!(wrote.success(), "sh failed");
    }
    let reader = reader()?;
    let dying = reader.host_detail(&reader.cgroups()).dying;
    for file in &files {
        let _ = fs::remove_file(file);
    }
    let dying = dying.context("the whole hierarchy is here")?;
    assert!(dying.count >= COUNT, "{dying:?}");
    assert!(dying.file >= COUNT << 20, "{dying:?}");
    Ok(())
}

#[test]
fn what_waits_in_sockets_is_told_of_the_process_and_of_its_cgroup() -> Result<()> {
    if left_out(Need::Cgroups) {
        return Ok(());
    }
    let group = Cgroup::new("queues")?;
    let mut target = Target::start_in("queues", &group)?;
    let none = reader()?.sockets(&[target.pid()])?;
    assert_eq!((none.sum(), none.is_whole), (0, true));
    target.step()?;
    target.step()?;
    let sent = target.holds("tcp")?;
    // Until the other side has acknowledged what it received, both ends hold it.
    let mut queues = reader()?.sockets(&[target.pid()])?;
    let started = Instant::now();
    while queues.tcp() > sent + NEAR && started.elapsed() < ACKNOWLEDGED {
        queues = reader()?.sockets(&[target.pid()])?;
    }
    assert_near("tcp", queues.tcp(), sent);
    // The only UDP of its namespace that has anything: the machine's own counter.
    assert_near("udp", queues.udp(), sockstat("UDP:")?);
    let made = explain(&group)?;
    let told = made.sockets.as_ref().expect("asked for").as_ref().expect("read");
    assert_eq!((told.count, told.udp()), (queues.count, queues.udp()));
    assert!(notes(&made).contains("buffers of its processes' sockets"), "{}", notes(&made));
    if group.version() == Version::V1 {
        assert!(notes(&made).contains("outside of its usage"), "{}", notes(&made));
        // Neither queue is in the usage.
        let usage = made.headline.usage.point().expect("readable");
        assert!(usage < i64::try_from(queues.sum() / 2)?, "usage {usage}");
    }
    Ok(())
}

fn assert_near(what: &str, found: u64, truth: u64) {
    let off = found.abs_diff(truth);
    assert!(off <= NEAR, "{what}: {found}, in truth {truth}");
}

/// `mem` of a line of sockstat, in bytes.
fn sockstat(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/net/sockstat")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("a line")?;
    let pages: u64 = line.split(" mem ").nth(1).context("mem")?.trim().parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
