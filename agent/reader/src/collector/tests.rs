//! Collections over a procfs of our own, in which files may be FIFOs: to open one waits, as
//! to read a file does of a process that holds its memory map.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use memgap_ledger::sample::MachineSample;

use super::pool::MAX_STUCK;
use super::*;
use crate::reader::Roots;

/// A procfs on a file system of the machine's, gone with the test.
struct Procfs(PathBuf);

impl Drop for Procfs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const MAPPING: &str = "10000000-14000000 rw-p 00000000 00:00 0 \n";

/// Collections that wait for what a thread does.
const ROUNDS: u32 = 2000;

impl Procfs {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("memgap-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).expect("a folder for temporary files");
        Self(root)
    }

    /// A process of 64 MiB whose counters tell of a collection.
    fn process(&self, pid: u32, name: &str) {
        let dir = self.0.join(pid.to_string());
        fs::create_dir_all(dir.join("task")).expect("it is ours");
        let zeros = "0 ".repeat(12);
        let stat = format!("{pid} ({name}) S 1 1 1 0 -1 0 {zeros}0 0 77 0\n");
        fs::write(dir.join("stat"), stat).expect("it is ours");
        self.count(pid, 0);
        fs::write(dir.join("maps"), MAPPING).expect("it is ours");
        let full = ["Rss", "Pss", "Private_Dirty", "Anonymous"].map(|name| (name, 65536));
        let none = ["Private_Clean", "LazyFree", "Shared_Hugetlb", "Private_Hugetlb", "Swap"];
        let none = none.into_iter().chain(["Locked"]).map(|name| (name, 0));
        let lines = full.into_iter().chain(none).map(|(name, kb)| format!("{name}: {kb} kB\n"));
        let smaps =
            format!("{MAPPING}Size: 65536 kB\n{}VmFlags: rd wr \n", lines.collect::<String>());
        fs::write(dir.join("smaps"), smaps).expect("it is ours");
    }

    /// From now on that user runs it.
    fn owned(&self, pid: u32, user: u32) {
        let status = format!("Uid:\t{user}\t{user}\t{user}\t{user}\nThreads:\t1\n");
        fs::write(self.0.join(format!("{pid}/status")), status).expect("it is ours");
    }

    /// Gives a process so many pages more than it had first.
    fn count(&self, pid: u32, more: u64) {
        let pages = 16384 + more;
        let statm = format!("{pages} {pages} 0 0 0 0 0\n");
        // In place: collections keep it open.
        fs::write(self.0.join(format!("{pid}/statm")), statm).expect("it is ours");
    }

    /// From now on whoever opens that file waits.
    fn block(&self, file: &str) {
        let path = self.0.join(file);
        fs::remove_file(&path).expect("it is there");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
            .expect("it is ours");
    }

    /// Puts a file in a FIFO's place, and lets those go who wait.
    fn release(&self, file: &str) {
        let (path, aside) = (self.0.join(file), self.0.join("aside"));
        fs::rename(&path, &aside).expect("it is there");
        if file.ends_with("maps") {
            let pid = file.split('/').next().and_then(|pid| pid.parse().ok()).expect("a pid");
            self.process(pid, "healthy");
        }
        // A writer opens it for them. Where nobody waits there is none to let go.
        if let Ok(fifo) = rustix::fs::open(
            &aside,
            rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK,
            rustix::fs::Mode::empty(),
        ) {
            let _ = File::from(fifo).write_all(b"\n");
        }
        let _ = fs::remove_file(&aside);
    }

    fn collector(&self) -> Collector {
        let roots = Roots { procfs: self.0.clone(), ..Roots::default() };
        let reader = Reader::open(roots).expect("it is there");
        let policy = WalkPolicy { min_bytes: 1 << 20, budget_share: 1.0, ..WalkPolicy::default() };
        let mut collector = Collector::new(reader, policy).with_probe_share(1.0);
        collector.first_pause = Duration::ZERO;
        collector
    }
}

fn of(machine: &MachineSample, pid: u32) -> &memgap_ledger::sample::ProcessSample {
    machine.processes.iter().find(|process| process.pid == pid).expect("it runs")
}

fn rss(machine: &MachineSample, pid: u32) -> u64 {
    of(machine, pid).counters.as_ref().expect("it was read").rss
}

fn names(stats: &CollectionStats) -> Vec<(&str, u32)> {
    stats.stuck.iter().map(|stuck| (stuck.name.as_str(), stuck.pid)).collect()
}

/// Collects until that holds.
fn until(
    collector: &mut Collector,
    holds: impl Fn(&MachineSample, &CollectionStats) -> bool,
) -> (MachineSample, CollectionStats) {
    for _ in 0..ROUNDS {
        let (machine, stats) = collector.collect().expect("it is readable");
        if holds(&machine, &stats) {
            return (machine, stats);
        }
        std::thread::yield_now();
    }
    panic!("it never came about");
}

#[test]
fn a_process_that_does_not_answer_stops_no_collection() {
    let procfs = Procfs::new("stuck");
    for pid in 101..=105 {
        procfs.process(pid, "healthy");
    }
    procfs.process(103, "holds");
    procfs.block("103/smaps");
    let mut collector = procfs.collector();
    let began = Instant::now();
    let (machine, stats) = collector.collect().expect("it is readable");
    assert!(began.elapsed() >= pool::DEADLINE);
    assert_eq!((names(&stats), stats.timeouts), (vec![("holds", 103)], 1));
    assert_eq!((stats.workers_stuck, stats.is_blind), (1, false));
    let why = of(&machine, 103).walk.as_ref().expect_err("it was not made");
    assert!(why.why.contains("holds (103) did not answer within 200 ms"), "{why}");
    // Of everybody else all is there.
    for pid in [101, 102, 104, 105] {
        let walk = &of(&machine, pid).walk;
        assert!(walk.is_ok(), "{pid}: {walk:?}");
    }

    // Nobody waits for it any more, and its counters go on.
    for more in 1..=3 {
        for pid in 101..=105 {
            procfs.count(pid, more * 8192);
        }
        let began = Instant::now();
        let (machine, stats) = collector.collect().expect("it is readable");
        assert_eq!((names(&stats), stats.timeouts), (vec![("holds", 103)], 0));
        for pid in 101..=105 {
            assert_eq!(rss(&machine, pid), (16384 + more * 8192) * collector.source.page_size);
        }
        for pid in [101, 102, 104, 105] {
            assert!(of(&machine, pid).walk.as_ref().is_ok_and(|walk| walk.age <= began.elapsed()));
        }
        assert_eq!(stats.walks.len(), 4);
    }

    procfs.release("103/smaps");
    let (_, stats) = until(&mut collector, |machine, _| of(machine, 103).walk.is_ok());
    assert_eq!((names(&stats), stats.workers_stuck), (vec![], 0));
}

#[test]
fn one_with_too_large_a_mapping_is_not_walked() {
    let procfs = Procfs::new("hold");
    procfs.process(101, "one");
    procfs.process(102, "two");
    // As much, in two parts, and one that it may not use at all.
    let parts = "10000000-12000000 rw-p 00000000 00:00 0 \n12000000-14000000 r--p 00000000 00:00 0 \n\
                 20000000-90000000 ---p 00000000 00:00 0 \n";
    fs::write(procfs.0.join("102/maps"), parts).expect("it is ours");
    let mut collector = procfs.collector();
    // Of pages whose cost nobody knows, 46 MiB.
    let max_hold = Duration::from_millis(1);
    collector.set_policy(WalkPolicy { max_hold, ..collector.policy });
    let (machine, stats) = collector.collect().expect("it is readable");
    assert_eq!((stats.over_hold, stats.refused, stats.walks.len()), (1, 0, 1));
    assert!(of(&machine, 102).walk.is_ok());
    let lack = of(&machine, 101).walk.as_ref().expect_err("it was not made");
    assert_eq!(lack.kind, MissingKind::Refused);
    assert!(lack.why.contains("its largest mapping, of 64.0 MiB,"), "{lack}");
    // What it maps is not read again at once.
    let (_, stats) = collector.collect().expect("it is readable");
    assert_eq!(stats.over_hold, 0);
}

#[test]
fn one_that_does_not_tell_what_it_maps_keeps_what_was_read() {
    let procfs = Procfs::new("maps");
    procfs.process(101, "healthy");
    procfs.process(102, "holds");
    let mut collector = procfs.collector();
    collector.collect().expect("it is readable");
    procfs.block("102/maps");
    // The second look at a new process is due.
    let (machine, stats) = collector.collect().expect("it is readable");
    assert_eq!((names(&stats), stats.timeouts), (vec![("holds", 102)], 1));
    assert!(of(&machine, 102).walk.is_ok());
    // It ends: who waits for it still does, and is told of.
    fs::remove_dir_all(procfs.0.join("102")).expect("it is ours");
    let (machine, stats) = collector.collect().expect("it is readable");
    assert_eq!((machine.processes.len(), names(&stats)), (1, vec![("holds", 102)]));
}

#[test]
fn with_four_that_do_not_answer_nobody_is_asked_until_one_does() {
    let procfs = Procfs::new("blind");
    let all = 101..=106;
    for pid in all.clone() {
        procfs.process(pid, "holds");
        procfs.owned(pid, pid);
        procfs.block(&format!("{pid}/smaps"));
    }
    let mut collector = procfs.collector();
    let (machine, stats) = collector.collect().expect("it is readable");
    assert_eq!((stats.timeouts, stats.workers_stuck), (MAX_STUCK as u64, MAX_STUCK));
    assert!(stats.is_blind && stats.skipped == 2 && stats.probes_skipped > 0);
    let why = of(&machine, 106).walk.as_ref().expect_err("it was not made");
    assert!(why.why.contains("4 processes do not answer"), "{why}");
    let (machine, stats) = collector.collect().expect("it is readable");
    assert_eq!((machine.processes.len(), stats.timeouts), (6, 0));
    for pid in all.clone() {
        procfs.release(&format!("{pid}/smaps"));
    }
    let (_, stats) = until(&mut collector, |machine, _| {
        machine.processes.iter().all(|process| process.walk.is_ok())
    });
    assert_eq!((stats.workers_stuck, stats.is_blind), (0, false));
}

#[test]
fn who_has_two_that_do_not_answer_keeps_no_more_workers_waiting() {
    let procfs = Procfs::new("tenant");
    for pid in 101..=107 {
        procfs.process(pid, if pid <= 106 { "holds" } else { "healthy" });
        procfs.owned(pid, if pid <= 106 { 1000 } else { 1001 });
    }
    for pid in 101..=106 {
        procfs.block(&format!("{pid}/smaps"));
    }
    let mut collector = procfs.collector();
    let (machine, stats) = collector.collect().expect("it is readable");
    assert_eq!((stats.timeouts, stats.workers_stuck), (2, tenant::MAX_OF_TENANT));
    assert!(!stats.is_blind);
    let why = of(&machine, 106).walk.as_ref().expect_err("it was not made");
    assert!(why.why.contains("2 processes of user 1000 do not answer"), "{why}");
    assert!(of(&machine, 107).walk.is_ok());
    // Nobody waits for them any more, and others are read as ever.
    for more in 1..=3 {
        procfs.count(107, more * 8192);
        let began = Instant::now();
        let (machine, stats) = collector.collect().expect("it is readable");
        assert_eq!((stats.timeouts, stats.workers_stuck, stats.is_blind), (0, 2, false));
        let walk = of(&machine, 107).walk.as_ref();
        assert!(walk.is_ok_and(|walk| walk.age <= began.elapsed()));
    }
    // Those that answer make room for the others.
    for pid in 101..=106 {
        procfs.release(&format!("{pid}/smaps"));
    }
    let (_, stats) = until(&mut collector, |machine, _| {
        machine.processes.iter().all(|process| process.walk.is_ok())
    });
    assert_eq!(stats.workers_stuck, 0);
}
