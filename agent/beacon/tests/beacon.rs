//! The beacon in the process that holds it: what stands on its page is what jemalloc
//! says, and children do not write there.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use memgap_beacon::{Error, MAX_GAUGES, MAX_NAME};
use tikv_jemalloc_ctl::stats;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The words of every beacon's page of this process. A page that another thread unmaps
/// after its line was read is none.
fn pages() -> Vec<Vec<u64>> {
    let maps = fs::read_to_string("/proc/self/maps").expect("procfs is mounted");
    let memory = File::open("/proc/self/mem").expect("our own");
    let page = |line: &str| {
        let start = line.split('-').next().expect("a range");
        let start = u64::from_str_radix(start, 16).expect("an address");
        let mut bytes = vec![0; 4096];
        memory.read_exact_at(&mut bytes, start).ok()?;
        Some(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
    };
    maps.lines()
        .filter(|l| l.ends_with("/memfd:memgap-beacon (deleted)"))
        .filter_map(page)
        .collect()
}

/// Whether a child of a fork lacks the page: `dc` in `VmFlags` (proc(5)).
fn is_left_out_of_forks() -> bool {
    let smaps = fs::read_to_string("/proc/self/smaps").expect("procfs is mounted");
    let (_, after) = smaps.split_once("memfd:memgap-beacon").expect("it is mapped");
    let flags = after.lines().find_map(|line| line.strip_prefix("VmFlags:")).expect("told");
    flags.split_whitespace().any(|flag| flag == "dc")
}

/// One test: the pages are those of the whole process.
#[test]
fn a_beacon_tells_what_jemalloc_says_until_it_is_dropped() {
    let beacon = memgap_beacon::publish().expect("statistics are on");
    let gauge = beacon.gauge("cache_bytes").expect("a name");
    gauge.set(7);
    let reported = beacon.refresh().expect("statistics are on");
    // Statistics stand still until the next epoch.
    assert_eq!(stats::allocated::read().expect("on") as u64, reported.allocated);
    assert_eq!(stats::active::read().expect("on") as u64, reported.active);
    assert_eq!(stats::metadata::read().expect("on") as u64, reported.metadata);
    assert_eq!(stats::resident::read().expect("on") as u64, reported.resident);
    assert_eq!(stats::mapped::read().expect("on") as u64, reported.mapped);
    assert_eq!(stats::retained::read().expect("on") as u64, reported.retained);
    let [page] = &pages()[..] else { panic!("one page") };
    assert_eq!(page[0].to_le_bytes(), *b"MEMGAP\0B");
    // Of version 1, written twice.
    assert_eq!(page[1..3], [1, 4]);
    let words = [reported.allocated, reported.active, reported.metadata, reported.resident];
    assert_eq!(page[4..8], words);
    assert_eq!(page[8..12], [reported.mapped, reported.retained, reported.dirty, reported.muzzy]);
    assert_eq!((page[12], page[20]), (1, 7));

    assert!(is_left_out_of_forks());

    for name in ["", "with blank", "ä", &"x".repeat(MAX_NAME + 1)] {
        assert!(matches!(beacon.gauge(name), Err(Error::Name(_))), "{name}");
    }
    beacon.gauge("cache_bytes").expect("the same").set(8);
    for number in 1..MAX_GAUGES {
        beacon.gauge(&format!("gauge_{number}")).expect("there is room").set(number as u64);
    }
    assert!(matches!(beacon.gauge("one_more"), Err(Error::Full)));
    let beacon = beacon.refreshed_every(Duration::from_millis(1)).expect("a thread");
    let last = 16 + 5 * (MAX_GAUGES - 1) + 4;
    while pages()[0][last] != MAX_GAUGES as u64 - 1 {
        std::thread::yield_now();
    }
    assert_eq!(pages()[0][20], 8);
    drop(beacon);
    // The thread drops its part when it wakes.
    while !pages().is_empty() {
        std::thread::yield_now();
    }
}
