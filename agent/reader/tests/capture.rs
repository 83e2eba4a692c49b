//! A capture, read again, gives the ledger of the machine it was made of.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use memgap_ledger::{Account, ProcessLedger, Scope, process};
use memgap_reader::{Depth, Error, Reader, Roots, Target, capture};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// A child that stands still, so that two readings of it are the same.
struct Still(Child);

impl Still {
    fn new() -> Self {
        let still = Self(Command::new("sleep").arg("600").spawn().unwrap());
        let pid = Pid::from_raw(still.0.id().cast_signed()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
        still
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory of this test's own, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("memgap-capture-{name}-{}", std::process::id());
        let scratch = Self(std::env::temp_dir().join(name));
        let _ = std::fs::remove_dir_all(&scratch.0);
        scratch
    }

    fn roots(&self) -> Roots {
        Roots {
            procfs: self.0.join("proc"),
            cgroupfs: Some(self.0.join("sys/fs/cgroup")),
            container_logs: self.0.join("var/log/containers"),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn live() -> Reader {
    Reader::open(Roots::default()).unwrap()
}

fn ledger(reader: &Reader, pid: u32) -> ProcessLedger {
    process::ledger(&reader.process(pid, Depth::Walk).unwrap())
}

fn entries(made: &ProcessLedger) -> Vec<(Account, Option<i64>)> {
    Scope::Process.accounts().map(|a| (a, made.ledger.figure(a).point())).collect()
}

#[test]
fn a_capture_gives_the_same_ledger() {
    let still = Still::new();
    let pid = still.0.id();
    let before = ledger(&live(), pid);
    for redact in [false, true] {
        let scratch = Scratch::new(if redact { "redacted" } else { "plain" });
        let done = capture(&live(), &Target::Pid(pid), &scratch.0, redact).unwrap();
        assert_eq!((done.processes, done.lacks.as_slice()), (1, &[][..]));
        let again = Reader::open(scratch.roots()).unwrap();
        let after = ledger(&again, pid);
        assert_eq!(entries(&after), entries(&before));
        // Not the PSS: it moves when another process maps the same library.
        let headline = |made: &ProcessLedger| (made.headline.vsz, made.headline.rss);
        assert_eq!(headline(&after), headline(&before));
        assert_eq!(after.name == before.name, !redact);
        assert_eq!(after.cgroup.is_some(), before.cgroup.is_some());
    }
}

#[test]
fn a_captured_machine_has_its_cgroups_and_closes() {
    let scratch = Scratch::new("host");
    let done = capture(&live(), &Target::Host, &scratch.0, true).unwrap();
    let again = Reader::open(scratch.roots()).unwrap();
    assert_eq!(again.pids().unwrap().len(), done.processes);
    assert_eq!(again.host().meminfo.unwrap().mem_total, live().host().meminfo.unwrap().mem_total);
    if live().cgroups().is_ok() {
        assert_eq!(again.cgroups().unwrap().len(), done.cgroups);
    }
    let machine = memgap_ledger::Machine::of(&again.machine(Depth::Walk).unwrap());
    for made in &machine.processes {
        let vsz = made.headline.vsz.point();
        assert_eq!(vsz.unwrap_or(0), made.ledger.total(), "{}", made.pid);
    }
}

#[test]
fn a_redacted_capture_holds_no_name() {
    let own = Target::Own;
    let scratch = Scratch::new("names");
    capture(&live(), &own, &scratch.0, true).unwrap();
    let program = std::env::current_exe().unwrap();
    let name = program.file_name().unwrap().as_encoded_bytes();
    let smaps = std::fs::read("/proc/self/smaps").unwrap();
    let holds = |text: &[u8]| text.windows(name.len()).any(|word| word == name);
    assert!(holds(&smaps));
    each_file(&scratch.0, &mut |path| assert!(!holds(&std::fs::read(path).unwrap()), "{path:?}"));
}

fn each_file(dir: &Path, look: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { each_file(&path, look) } else { look(&path) }
    }
}

#[test]
fn a_directory_that_exists_is_left_alone() {
    let scratch = Scratch::new("exists");
    std::fs::create_dir(&scratch.0).unwrap();
    let error = capture(&live(), &Target::Host, &scratch.0, true).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
}
