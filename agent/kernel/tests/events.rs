//! The files on what happened to a cgroup: as kernels print them, cut, garbled, and in
//! a tree that lacks some.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use memgap_kernel::source::memory_events::MemoryEvents;
use memgap_kernel::source::{
    amount, cgroup_stat, memory_events, oom_control, pressure, swap_events,
};
use memgap_kernel::{Cgroups, Dir};
use memgap_ledger::events::{Events, Stall, Waited};
use memgap_ledger::{Missing, MissingKind};
use proptest::prelude::*;

/// As Linux 6.12 prints them.
const EVENTS: &str = "low 0\nhigh 41\nmax 5\noom 3\noom_kill 2\noom_group_kill 0\n";
const SWAP_EVENTS: &str = "high 0\nmax 7\nfail 9\n";
const PRESSURE: &str = "some avg10=52.31 avg60=20.00 avg300=4.50 total=7654321\n\
                        full avg10=0.05 avg60=0.00 avg300=0.00 total=321\n";
const CGROUP_STAT: &str = "nr_descendants 3\nnr_dying_descendants 1500\n";

/// As Linux 6.18 prints it for cgroup v1.
const OOM_CONTROL: &str = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n";

const STALL: Stall = Stall {
    some: Waited { total: Duration::from_micros(7_654_321), last_ten: 5231 },
    full: Waited { total: Duration::from_micros(321), last_ten: 5 },
};

#[test]
fn whole_texts_are_understood() {
    let events = memory_events::parse(EVENTS.as_bytes());
    assert_eq!(events, Ok(MemoryEvents { high: 41, max: 5, oom: 3, oom_kill: Some(2) }));
    assert_eq!(swap_events::parse(SWAP_EVENTS.as_bytes()), Ok(9));
    assert_eq!(pressure::parse(PRESSURE.as_bytes()), Ok(STALL));
    assert_eq!(cgroup_stat::parse(CGROUP_STAT.as_bytes()), Ok(1500));
    assert_eq!(oom_control::parse(OOM_CONTROL.as_bytes()), Ok(Some(4)));
    assert_eq!(oom_control::parse(b"oom_kill_disable 0\nunder_oom 0\n"), Ok(None));
    assert_eq!(amount::parse(b"12\n"), Some(12));
    assert_eq!(amount::parse_limit(b"max\n"), Some(None));
    assert_eq!(amount::parse_limit(b"9223372036854771712\n"), Some(None));
    assert_eq!(amount::parse_limit(b"4096\n"), Some(Some(4096)));
}

#[test]
fn odd_texts_are_refused() {
    for bad in ["", "\n", "some\n", "full avg10=0.00 total=1\n", "none avg10=0.00 total=1\n"] {
        assert!(pressure::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    for (from, to) in
        [("52.31", "52.3"), ("52.31", "-1.00"), ("total=321", "total=x"), ("full", "ful")]
    {
        assert!(pressure::parse(PRESSURE.replace(from, to).as_bytes()).is_err(), "{from} {to}");
    }
    for bad in ["", "1", "1 2\n", "-1\n", "max", "Max\n", "18446744073709551616\n"] {
        assert_eq!(amount::parse(bad.as_bytes()), None, "{bad:?}");
        assert_eq!(amount::parse_limit(bad.as_bytes()), None, "{bad:?}");
    }
    assert!(memory_events::parse(b"low 0\nhigh 0\n").is_err());
    assert!(memory_events::parse(b"high x\nmax 1\n").is_err());
    assert!(oom_control::parse(b"oom_kill 1\n").is_err());
    assert!(cgroup_stat::parse(b"nr_descendants 3\n").is_err());
    assert!(swap_events::parse(b"max 3\n").is_err());
}

/// A number that is cut reads as a smaller one: no cut text gives other figures.
#[test]
fn a_cut_text_never_gives_another_figure() {
    for cut in 0..PRESSURE.len() {
        assert!(pressure::parse(&PRESSURE.as_bytes()[..cut]).is_err(), "{cut}");
    }
    for cut in 0..EVENTS.len() {
        if let Ok(events) = memory_events::parse(&EVENTS.as_bytes()[..cut]) {
            assert_eq!((events.high, events.max), (41, 5));
            assert!(events.oom_kill.is_none_or(|kills| kills == 2));
        }
    }
}

proptest! {
    #[test]
    fn garbage_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = memory_events::parse(&bytes);
        let _ = swap_events::parse(&bytes);
        let _ = pressure::parse(&bytes);
        let _ = cgroup_stat::parse(&bytes);
        let _ = oom_control::parse(&bytes);
        let _ = (amount::parse(&bytes), amount::parse_limit(&bytes));
    }

    #[test]
    fn garbled_pressure_is_survived(at in 0..PRESSURE.len(), byte in any::<u8>()) {
        let mut bytes = PRESSURE.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = pressure::parse(&bytes);
    }
}

/// A directory that goes away with the test.
struct Tree(PathBuf);

impl Tree {
    /// A tree of v2 with one cgroup, `/a`, that has the files given.
    fn v2(name: &str, files: &[(&str, &str)]) -> Self {
        let root = std::env::temp_dir().join(format!("memgap-{}-{name}", std::process::id()));
        let tree = Self(root);
        let stat = include_str!("kernels/6.12/memory.stat");
        let basic = [("cgroup.procs", ""), ("memory.stat", stat)];
        for (file, text) in basic.iter().chain(&[("cgroup.controllers", "memory\n")]) {
            tree.write(file, text);
        }
        for (file, text) in basic.iter().chain(&[("memory.current", "4096\n")]).chain(files) {
            tree.write(&format!("a/{file}"), text);
        }
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn events(&self) -> Events {
        let proc = Dir::open(&self.0).unwrap();
        let cgroups = Cgroups::open(&proc, Some(&self.0), Path::new("/nonexistent")).unwrap();
        cgroups.one("/a").unwrap().events
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn events_of_a_cgroup_are_read_from_its_files() {
    let files = [
        ("memory.events", EVENTS),
        ("memory.swap.events", SWAP_EVENTS),
        ("memory.swap.current", "8192\n"),
        ("memory.pressure", PRESSURE),
        ("memory.high", "max\n"),
        ("memory.peak", "65536\n"),
        ("cgroup.stat", CGROUP_STAT),
    ];
    let events = Tree::v2("whole", &files).events();
    let expected = Events {
        oom_kills: Ok(2),
        limit_hits: Ok(5),
        throttled: Ok(41),
        high: Ok(None),
        peak: Ok(65_536),
        swap: Ok(8192),
        swap_failures: Ok(9),
        stall: Ok(STALL),
        dying: Ok(1500),
    };
    assert_eq!(events, expected);
}

#[test]
fn what_is_garbage_or_not_there_is_missing_with_its_file_and_never_0() {
    let files: Vec<(&str, &str)> = memgap_kernel::cgroups::EVENT_FILES
        .into_iter()
        .map(|name| (name, "\u{fffd}garbage"))
        .collect();
    for (tree, kind) in [
        (Tree::v2("garbage", &files), MissingKind::Malformed),
        (Tree::v2("empty", &[]), MissingKind::Absent),
    ] {
        let events = tree.events();
        let lacks = [
            (events.oom_kills.err(), "memory.events"),
            (events.limit_hits.err(), "memory.events"),
            (events.throttled.err(), "memory.events"),
            (events.high.err(), "memory.high"),
            (events.peak.err(), "memory.peak"),
            (events.swap.err(), "memory.swap.current"),
            (events.swap_failures.err(), "memory.swap.events"),
            (events.stall.err(), "memory.pressure"),
            (events.dying.err(), "cgroup.stat"),
        ];
        for (lack, file) in lacks {
            let Missing { kind: found, why } = lack.unwrap();
            assert_eq!(found, kind, "{file}: {why}");
            assert!(why.contains(&format!("/a/{file}")), "{why}");
        }
    }
}
