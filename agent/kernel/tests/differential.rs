//! Our parsers against those of procfs-core, over the same bytes of every process
//! of this machine; and the kernel's own sums.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

use memgap_kernel::source::{smaps, smaps_rollup, stat, statm, status};
use memgap_kernel::{Buf, Dir, Process};
use memgap_ledger::sample::ProcessKind;
use procfs_core::process::{MMapPath, MemoryMaps, Stat, StatM, Status};
use procfs_core::{FromBufRead, FromRead};

const LIMIT: usize = 64 << 20;

/// The text of a file of every process that has one.
fn texts(name: &str) -> Vec<Vec<u8>> {
    let read = |pid| {
        let process = Process::open(Path::new("/proc"), pid).ok()?;
        Some(process.read(name, LIMIT, &mut Buf::default()).ok()?.to_vec())
    };
    let texts: Vec<_> = Dir::open(Path::new("/proc"))
        .unwrap()
        .numbers()
        .unwrap()
        .into_iter()
        .filter_map(read)
        .collect();
    assert!(!texts.is_empty());
    texts
}

#[test]
fn statm_agrees() {
    for text in texts(statm::NAME) {
        let theirs = StatM::from_read(&text[..]).unwrap();
        let ours = statm::parse(&text, 1).unwrap();
        assert_eq!((ours.vsz, ours.rss), (theirs.size, theirs.resident));
        assert_eq!(ours.anon, theirs.resident - theirs.shared);
    }
}

#[test]
fn stat_agrees() {
    for text in texts(stat::NAME) {
        let theirs = Stat::from_read(&text[..]).unwrap();
        let ours = stat::parse(&text).unwrap();
        assert_eq!(String::from_utf8_lossy(ours.comm), theirs.comm);
        assert_eq!((char::from(ours.state), ours.start), (theirs.state, theirs.starttime));
        assert_eq!(ours.threads.cast_signed(), theirs.num_threads);
        let kernel = theirs.flags & 0x0020_0000 != 0;
        assert_eq!(ours.kind() == ProcessKind::Kernel, kernel);
    }
}

#[test]
fn status_agrees() {
    for text in texts(status::NAME).iter().filter(|text| std::str::from_utf8(text).is_ok()) {
        let theirs = Status::from_buf_read(&text[..]).unwrap();
        let ours = status::parse(text).unwrap();
        let kilobytes = |bytes: u64| Some(bytes >> 10);
        assert_eq!(ours.and_then(|c| kilobytes(c.vsz)), theirs.vmsize);
        assert_eq!(ours.and_then(|c| kilobytes(c.rss)), theirs.vmrss);
        assert_eq!(ours.and_then(|c| kilobytes(c.anon)), theirs.rssanon);
        assert_eq!(ours.and_then(|c| kilobytes(c.file?)), theirs.rssfile);
        assert_eq!(ours.and_then(|c| kilobytes(c.shmem?)), theirs.rssshmem);
        assert_eq!(ours.and_then(|c| kilobytes(c.swap?)), theirs.vmswap);
        assert!(ours.is_none_or(|c| c.threads == Some(theirs.threads)));
        assert_eq!(status::parse_users(text), Ok([theirs.ruid, theirs.euid, theirs.suid]));
    }
}

#[test]
fn smaps_agrees() {
    // What their parser panics or gives up on.
    let fit = |text: &&Vec<u8>| {
        std::str::from_utf8(text).is_ok() && !text.windows(5).any(|name| name == b"/SYSV")
    };
    for text in texts(smaps::NAME).iter().filter(fit) {
        let theirs = MemoryMaps::from_buf_read(&text[..]).unwrap();
        let theirs = theirs.0.iter().filter(|m| m.pathname != MMapPath::Vsyscall);
        let ours = smaps::parse(text, &[]).unwrap().areas;
        assert_eq!(ours.len(), theirs.clone().count());
        for (area, map) in ours.iter().zip(theirs) {
            let of = |name: &str| map.extension.map[name];
            assert_eq!((area.start, area.end), map.address);
            assert_eq!((area.rss, area.pss), (of("Rss"), of("Pss")));
            assert_eq!(area.private, of("Private_Clean") + of("Private_Dirty"));
            assert_eq!((area.anonymous, area.lazy_free), (of("Anonymous"), of("LazyFree")));
            assert_eq!((area.swap, area.locked), (of("Swap"), of("Locked")));
            assert_eq!(area.hugetlb, of("Shared_Hugetlb") + of("Private_Hugetlb"));
        }
    }
}

#[test]
fn a_walk_sums_to_the_kernels_own_sums() {
    // Ourselves: between the two readings only the other tests of this file allocate.
    let process = Process::open(Path::new("/proc"), std::process::id()).unwrap();
    let mut buf = Buf::default();
    let areas = smaps::read(&process, &[], smaps::Bounds::WIDE, &mut buf).unwrap().areas;
    let sums = smaps_rollup::read(&process, &mut buf).unwrap();
    let near = |a: u64, b: u64| a.abs_diff(b) <= 1 << 20;
    assert!(near(areas.iter().map(|a| a.rss).sum(), sums.rss));
    assert!(near(areas.iter().map(|a| a.anonymous).sum(), sums.anonymous));
}

/// Every line that Linux up to 6.18 prints for a mapping or a process's memory. A
/// newer kernel announces itself here; then see whether the new line is ours.
const KNOWN: &[&str] = &[
    // smaps
    "Size",
    "KernelPageSize",
    "MMUPageSize",
    "Rss",
    "Pss",
    "Pss_Dirty",
    "Shared_Clean",
    "Shared_Dirty",
    "Private_Clean",
    "Private_Dirty",
    "Referenced",
    "Anonymous",
    "KSM",
    "LazyFree",
    "AnonHugePages",
    "ShmemPmdMapped",
    "FilePmdMapped",
    "Shared_Hugetlb",
    "Private_Hugetlb",
    "Swap",
    "SwapPss",
    "Locked",
    "THPeligible",
    "ProtectionKey",
    "VmFlags",
    // status
    "VmPeak",
    "VmSize",
    "VmLck",
    "VmPin",
    "VmHWM",
    "VmRSS",
    "RssAnon",
    "RssFile",
    "RssShmem",
    "VmData",
    "VmStk",
    "VmExe",
    "VmLib",
    "VmPTE",
    "VmSwap",
];

#[test]
fn no_line_of_this_kernel_is_new() {
    let known: BTreeSet<&[u8]> = KNOWN.iter().map(|name| name.as_bytes()).collect();
    let mut new = BTreeSet::new();
    for name in [smaps::NAME, status::NAME] {
        let text = std::fs::read(format!("/proc/self/{name}")).unwrap();
        for line in text.split(|b| *b == b'\n') {
            let first = line.split(|b| *b == b' ' || *b == b'\t').next().unwrap();
            let Some(key) = first.strip_suffix(b":") else { continue };
            let ours = name == smaps::NAME || key.starts_with(b"Vm") || key.starts_with(b"Rss");
            if ours && !known.contains(key) {
                new.insert(String::from_utf8_lossy(key).into_owned());
            }
        }
    }
    assert_eq!(new, BTreeSet::new());
}
