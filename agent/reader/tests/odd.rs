//! Processes that are hard to read: without memory, without rights, ending.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use memgap_kernel::Buf;
use memgap_kernel::source::{cgroup, smaps, stat, statm, status};
use memgap_ledger::sample::ProcessKind;
use memgap_ledger::{Account, MissingKind, process};
use memgap_reader::{Depth, Reader, Roots};

fn live() -> Reader {
    Reader::open(Roots::default()).unwrap()
}

/// A child that is ended with the test, be it a failure.
struct Kid(Child);

impl Kid {
    fn new() -> Self {
        Self(Command::new("sleep").arg("600").spawn().unwrap())
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_that_ended_is_gone_in_every_file() {
    let mut kid = Kid::new();
    let process = live().open_process(kid.0.id()).unwrap();
    kid.0.kill().unwrap();
    kid.0.wait().unwrap();
    let buf = &mut Buf::default();
    for lack in [
        stat::read(&process, buf).err(),
        statm::read(&process, 4096, buf).err(),
        status::read(&process, buf).err(),
        smaps::read(&process, &[], smaps::Bounds::WIDE, buf).err(),
        cgroup::read(&process, buf).err(),
    ] {
        assert_eq!(lack.unwrap().kind, MissingKind::Gone);
    }
}

/// Set in the process that runs without rights: the pid that it shall read.
const TARGET: &str = "MEMGAP_TEST_TARGET";

#[test]
fn without_rights_the_memory_is_unreadable_and_the_sum_stays() {
    if let Some(pid) = std::env::var_os(TARGET) {
        return read_without_rights(pid.to_str().unwrap().parse().unwrap());
    }
    let kid = Kid::new();
    if !rustix::process::getuid().is_root() {
        return read_without_rights(1);
    }
    // The test itself, as nobody: from a place that nobody may read.
    let place = Scratch::new("nobody");
    let copy = place.0.join("test");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let name = "without_rights_the_memory_is_unreadable_and_the_sum_stays";
    let done = Command::new(&copy)
        .args(["--exact", name])
        .env(TARGET, kid.0.id().to_string())
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

fn read_without_rights(pid: u32) {
    let sample = live().process(pid, Depth::Walk).unwrap();
    let lack = sample.walk.as_ref().unwrap_err();
    assert_eq!(lack.kind, MissingKind::Denied);
    assert!(lack.why.contains(&format!("/proc/{pid}/smaps")), "{lack}");
    let made = process::ledger(&sample);
    assert!(made.is_denied() && made.ledger.booked(Account::Unreadable) > 0);
    assert_eq!(made.ledger.total(), made.headline.vsz.point().unwrap());
}

/// A procfs of our own making, removed with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("memgap-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, text).unwrap();
    }

    fn reader(&self) -> Reader {
        let procfs = self.0.clone();
        let absent = self.0.join("absent");
        let roots = Roots { procfs, cgroupfs: Some(absent.clone()), container_logs: absent };
        Reader::open(roots).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn stat_of(comm: &str, state: char, flags: u32, threads: u32) -> String {
    format!("7 ({comm}) {state} 1 7 7 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 {threads} 0 5 0 0 0\n")
}

const NO_MEMORY: &str = "Name:\tx\nState:\tZ (zombie)\nThreads:\t1\n";
const MEMORY: &str = "Name:\tx\nVmSize:\t64 kB\nVmRSS:\t40 kB\nRssAnon:\t24 kB\nRssFile:\t16 kB\n\
    RssShmem:\t0 kB\nVmSwap:\t0 kB\nThreads:\t2\n";
const SMAPS: &str = "1000-11000 rw-p 0 00:00 0 \nRss: 40 kB\nPss: 40 kB\nPrivate_Clean: 0 kB\n\
    Private_Dirty: 40 kB\nAnonymous: 24 kB\nLazyFree: 0 kB\nShared_Hugetlb: 0 kB\n\
    Private_Hugetlb: 0 kB\nSwap: 0 kB\nLocked: 0 kB\nVmFlags: rd wr \n";

#[test]
fn kernel_threads_and_zombies_have_a_known_zero() {
    for (state, flags, kind) in
        [('S', 0x0020_8040, ProcessKind::Kernel), ('Z', 0x40, ProcessKind::Zombie)]
    {
        let procfs = Scratch::new(&format!("kind-{state}"));
        procfs.file("7/stat", &stat_of("kworker/0:1-events", state, flags, 1));
        procfs.file("7/status", NO_MEMORY);
        let sample = procfs.reader().process(7, Depth::Walk).unwrap();
        assert_eq!((sample.kind, sample.name.as_str()), (kind, "kworker/0:1-events"));
        assert_eq!(process::ledger(&sample).headline.rss.point(), Some(0));
    }
}

#[test]
fn a_process_whose_first_thread_ended_still_has_its_memory() {
    let procfs = Scratch::new("leaderless");
    procfs.file("7/stat", &stat_of("x", 'Z', 0x40, 2));
    procfs.file("7/status", NO_MEMORY);
    procfs.file("7/task/7/status", NO_MEMORY);
    procfs.file("7/task/7/stat", &stat_of("x", 'Z', 0x40, 2));
    procfs.file("7/task/8/status", MEMORY);
    procfs.file("7/task/8/smaps", SMAPS);
    let sample = procfs.reader().process(7, Depth::Walk).unwrap();
    assert_eq!((sample.pid, sample.kind), (7, ProcessKind::User));
    assert_eq!(sample.counters.unwrap().rss, 40 << 10);
    assert_eq!(sample.walk.unwrap().areas.len(), 1);
}

#[test]
fn a_program_that_gives_its_memory_back_is_about_to_end() {
    let procfs = Scratch::new("ending");
    procfs.file("7/stat", &stat_of("x", 'R', 0x44, 1));
    procfs.file("7/status", NO_MEMORY);
    procfs.file("7/smaps", "");
    let lack = procfs.reader().process(7, Depth::Walk).unwrap_err();
    assert_eq!(lack.kind, MissingKind::Gone);
}

#[test]
fn a_malformed_file_is_named() {
    let procfs = Scratch::new("malformed");
    procfs.file("7/stat", &stat_of("x", 'S', 0, 2));
    procfs.file("7/status", MEMORY);
    procfs.file("7/smaps", &SMAPS.replace("Rss: 40 kB", "Rss: many kB"));
    let sample = procfs.reader().process(7, Depth::Walk).unwrap();
    let lack = sample.walk.unwrap_err();
    assert_eq!(lack.kind, MissingKind::Malformed);
    assert!(lack.why.contains("7/smaps is malformed: "), "{lack}");
    // What could be read still counts.
    assert_eq!(sample.counters.unwrap().rss, 40 << 10);
}
