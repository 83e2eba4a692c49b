//! Pages that are more, or fewer, than a program wrote: huge ones, and merged ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memgap_ledger::finding::{self, Subject};
use memgap_ledger::{ProcessLedger, gap, process};
use memgap_reader::{Depth, Reader, Roots};
use memgap_tests::rights::{Need, left_out, machine_lacks};
use memgap_tests::target::Target;

const MIB: u64 = 1 << 20;

/// How long the kernel may take to look at all pages twice.
const PATIENCE: Duration = Duration::from_mins(1);

fn explain(pid: u32) -> Result<ProcessLedger> {
    Ok(process::ledger(&Reader::open(Roots::default())?.process(pid, Depth::Walk)?))
}

/// A figure of the kernel's sum over all mappings, in bytes; none where it has no such line.
fn rollup(pid: u32, name: &str) -> Result<Option<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.map(|line| line.trim_end_matches("kB").trim().parse::<u64>());
    Ok(kib.transpose()?.map(|kib| kib << 10))
}

#[test]
fn huge_pages_are_said_whatever_is_written_of_them() -> Result<()> {
    let target = Target::start("sparse")?;
    let huge = rollup(target.pid(), "AnonHugePages")?.context("every kernel counts them")?;
    if target.holds("huge")? == 0 || huge < 16 * MIB {
        let why = "the kernel gives no huge pages, see /sys/kernel/mm/transparent_hugepage";
        machine_lacks("", why);
        return Ok(());
    }
    let made = explain(target.pid())?;
    assert_eq!(made.huge, Some(huge));
    let found = finding::findings(Subject::Process(&made));
    let found = found.iter().find(|f| f.id == "huge-pages").context("most of it")?;
    assert_eq!(found.bytes.point(), Some(i64::try_from(huge)?));
    // The remedy: a program of the same kind with small pages.
    let dense = Target::start("fork")?;
    let found = finding::findings(Subject::Process(&explain(dense.pid())?));
    assert!(found.iter().all(|f| f.id != "huge-pages"), "{found:#?}");
    Ok(())
}

/// The kernel merges equal pages, as long as the value lives.
struct Merging(Vec<(PathBuf, String)>);

impl Merging {
    fn start() -> Result<Self> {
        let folder = Path::new("/sys/kernel/mm/ksm");
        let mut before = Self(Vec::new());
        for (name, value) in [("sleep_millisecs", "1"), ("pages_to_scan", "10000"), ("run", "1")] {
            let path = folder.join(name);
            let old = fs::read_to_string(&path)?;
            // What is set last is set back first.
            before.0.insert(0, (path.clone(), old));
            fs::write(&path, value)?;
        }
        Ok(before)
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        for (path, old) in &self.0 {
            if let Err(error) = fs::write(path, old) {
                eprintln!("failed to restore {}: {error}", path.display());
            }
        }
    }
}

#[test]
fn pages_that_the_kernel_merged_are_no_other_programs() -> Result<()> {
    if left_out(Need::Machine) {
        return Ok(());
    }
    let target = Target::start("merged")?;
    let equal = target.holds("equal")?;
    if equal == 0 {
        machine_lacks("", "the kernel merges no pages: it is built without KSM");
        return Ok(());
    }
    if rollup(target.pid(), "KSM")?.is_none() {
        machine_lacks("", "the kernel does not say which pages it merged: Linux 6.6 does");
        return Ok(());
    }
    let _merging = Merging::start()?;
    let start = Instant::now();
    // A page of each of the two contents, and of their copies, stays.
    while rollup(target.pid(), "KSM")?.is_some_and(|merged| merged < equal - MIB) {
        ensure!(start.elapsed() < PATIENCE, "the kernel merges nothing");
        std::thread::yield_now();
    }
    let made = explain(target.pid())?;
    let sharing = made.sharing.context("walked")?;
    assert!(sharing.merged.abs_diff(equal) < MIB, "{sharing:?} of {equal}");
    // The C library is shared with others.
    assert!(sharing.others < 4 * MIB, "{sharing:?}");
    let gaps = gap::of_process(&made);
    let why = &gaps.iter().find(|gap| gap.from == "rss" && gap.to == "pss").context("a gap")?.why;
    assert!(why.contains("merged with equal pages (KSM)"), "{why}");
    Ok(())
}
