//! Files below `/proc/PID`: no text makes a parser panic, none that was cut within a line is
//! taken for whole, and ledgers made of any walk close.
#![no_main]

use libfuzzer_sys::fuzz_target;
use memgap_fuzz::{choose, laws, two};
use memgap_kernel::source::{
    cgroup, maps, mountinfo, schedstat, smaps, smaps_rollup, stat, statm, status, syscall,
};
use memgap_kernel::special;
use memgap_ledger::Identity;
use memgap_ledger::sample::{Counters, Walk};

const PAGE: u64 = 4096;

fuzz_target!(|input: &[u8]| {
    let Some((which, text)) = choose(input, 12) else { return };
    match which {
        0 => lines_are_whole(text, statm::parse(text, PAGE).is_ok()),
        1 => lines_are_whole(text, stat::parse(text).is_ok()),
        2 => {
            let _ = (status::parse(text), status::parse_users(text), status::parse_pids(text));
        }
        3 => {
            if let Ok(all) = maps::parse(text) {
                lines_are_whole(text, !all.is_empty());
                for one in all {
                    assert!(one.start <= one.end);
                    let _ = special::of_name(one.name);
                }
            }
        }
        4 | 5 => walk(text),
        6 => lines_are_whole(text, smaps_rollup::parse(text).is_ok()),
        7 => {
            if let Ok(all) = cgroup::parse(text) {
                lines_are_whole(text, !all.is_empty());
                for (_, path) in &all {
                    let _ = Identity::of_path(path, None);
                }
            }
        }
        8 => lines_are_whole(text, syscall::parse(text).is_ok()),
        9 => lines_are_whole(text, schedstat::parse(text).is_ok()),
        10 => {
            for mount in mountinfo::parse(text) {
                assert!(mount.point.len() <= text.len() && mount.options.len() <= text.len());
            }
        }
        _ => {
            if let Ok(path) = std::str::from_utf8(text) {
                let _ = Identity::of_path(path, None);
            }
        }
    }
});

/// A text whose last line has no end is the beginning of one: it is not understood.
fn lines_are_whole(text: &[u8], is_understood: bool) {
    assert!(!is_understood || text.ends_with(b"\n"), "a cut text was taken for whole");
}

/// `smaps`, and after a zero byte `statm`.
fn walk(text: &[u8]) {
    let (text, counters) = two(text);
    let Ok(walked) = smaps::parse(text, &[(0, 0x23)]) else { return };
    lines_are_whole(text, !walked.areas.is_empty());
    assert!(walked.named.iter().all(|named| named.area < walked.areas.len()));
    let sum = |of: fn(&memgap_ledger::sample::Area) -> u64| {
        walked.areas.iter().fold(0_u64, |sum, area| sum.saturating_add(of(area)))
    };
    let counters = statm::parse(counters, PAGE).unwrap_or_else(|_| Counters {
        source: statm::NAME,
        vsz: sum(|area| area.size()),
        rss: sum(|area| area.rss),
        anon: sum(|area| area.anonymous),
        ..Counters::default()
    });
    let (areas, named) = (walked.areas.into(), walked.named.into());
    laws::process(&laws::process_sample(Walk { areas, named, ..Walk::default() }, counters));
}
