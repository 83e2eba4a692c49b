//! Texts of `/proc/PID` that are cut, garbled or odd: a whole answer or none.
#![allow(clippy::unwrap_used, reason = "tests")]

use memgap_kernel::source::maps::Device;
use memgap_kernel::source::{cgroup, maps, smaps, smaps_rollup, stat, statm, status, syscall};
use memgap_ledger::sample::{Area, AreaKind, FileRange, ProcessKind};
use proptest::prelude::*;

const STATM: &[u8] = b"765 429 400 5 0 90 0\n";
const STAT: &[u8] = b"42 (a) (b\n) S 1 42 42 0 -1 4194560 99 0 0 0 1 2 0 0 20 0 3 0 7000 3133440 \
    429 18446744073709551615 1 1 0 0 0 0 0 0 65536 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
const STATUS: &[u8] = b"Name:\ta\\nVmRSS: 1\nState:\tS (sleeping)\nVmSize:\t    3060 kB\n\
    VmLck:\t      16 kB\nVmPin:\t      64 kB\n\
    VmRSS:\t    1716 kB\nRssAnon:\t     116 kB\nRssFile:\t    1600 kB\nRssShmem:\t       0 kB\n\
    VmSwap:\t       8 kB\nThreads:\t3\nSigQ:\t0/96365\n";
const CGROUP: &[u8] = b"4:memory:/a\n3:cpu,cpuacct:/b:c\n0::/d e\n";

/// An entry of `smaps` as Linux 6.18 prints it, with distinct figures.
fn entry(header: &str, flags: &str) -> String {
    format!(
        "{header}\nSize: 64 kB\nKernelPageSize: 4 kB\nMMUPageSize: 4 kB\nRss: 40 kB\nPss: 30 kB\n\
         Pss_Dirty: 1 kB\nShared_Clean: 9 kB\nShared_Dirty: 1 kB\nPrivate_Clean: 10 kB\n\
         Private_Dirty: 20 kB\nReferenced: 1 kB\nAnonymous: 24 kB\nKSM: 6 kB\nLazyFree: 8 kB\n\
         AnonHugePages: 5 kB\nShmemPmdMapped: 1 kB\nFilePmdMapped: 1 kB\nShared_Hugetlb: 2 kB\n\
         Private_Hugetlb: 3 kB\nSwap: 12 kB\nSwapPss: 12 kB\nLocked: 4 kB\nTHPeligible: 0\n\
         VmFlags: rd wr {flags} \n"
    )
}

fn walk() -> String {
    [
        entry("00400000-00410000 r-xp 00000000 fe:00 7      /bin/a b (deleted)", "ex"),
        entry("01000000-01010000 rw-p 00000000 00:00 0      [heap]", ""),
        entry("7f0000000000-7f0000010000 ---p 00000000 00:00 0 ", ""),
        entry("7f0000020000-7f0000030000 rw-s 00000000 00:01 9   /memfd:x (deleted)", ""),
    ]
    .concat()
}

fn areas(text: &str) -> Vec<Area> {
    smaps::parse(text.as_bytes(), &[]).unwrap().areas
}

#[test]
fn whole_texts_are_understood() {
    let counters = statm::parse(STATM, 4096).unwrap();
    assert_eq!((counters.vsz, counters.rss, counters.anon), (765 << 12, 429 << 12, 29 << 12));

    let found = stat::parse(STAT).unwrap();
    assert_eq!((found.comm, found.state, found.threads), (&b"a) (b\n"[..], b'S', 3));
    assert_eq!((found.start, found.kind()), (7000, ProcessKind::User));
    // Code and no stack: who reads it has no right to know them.
    assert_eq!(found.image, None);
    let seen = String::from_utf8_lossy(STAT).replace("615 1 1 0 0", "615 64 128 256 0");
    assert_eq!(stat::parse(seen.as_bytes()).unwrap().image, Some([64, 128, 256]));

    let counters = status::parse(STATUS).unwrap().unwrap();
    assert_eq!((counters.vsz, counters.rss, counters.anon), (3060 << 10, 1716 << 10, 116 << 10));
    assert_eq!((counters.swap, counters.threads), (Some(8 << 10), Some(3)));
    assert_eq!((counters.locked, counters.pinned), (Some(16 << 10), Some(64 << 10)));

    let paths: Vec<_> = cgroup::parse(CGROUP).unwrap().into_iter().map(|(_, path)| path).collect();
    assert_eq!(paths, ["/a", "/b:c", "/d e"]);

    let all = areas(&walk());
    let kinds: Vec<_> = all.iter().map(|a| (a.kind, a.accessible, a.writable)).collect();
    assert_eq!(
        kinds,
        [
            (AreaKind::File, true, false),
            (AreaKind::Heap, true, true),
            (AreaKind::Anonymous, false, false),
            (AreaKind::Shmem, true, true),
        ]
    );
    let expected = Area {
        start: 0x40_0000,
        end: 0x41_0000,
        kind: AreaKind::File,
        accessible: true,
        writable: false,
        executable: true,
        shared: false,
        special: None,
        rss: 40 << 10,
        pss: 30 << 10,
        anonymous: 24 << 10,
        private: 30 << 10,
        lazy_free: 8 << 10,
        swap: 12 << 10,
        locked: 4 << 10,
        hugetlb: 5 << 10,
        merged: Some(6 << 10),
        huge: Some(7 << 10),
    };
    assert_eq!(all[0], expected);

    let kept = smaps::parse(walk().as_bytes(), &[]).unwrap().named;
    let names: Vec<_> = kept.iter().map(|one| (one.area, &*one.name)).collect();
    let expected = ["/bin/a b (deleted)", "[heap]", "", "/memfd:x (deleted)"];
    assert_eq!(names, expected.into_iter().enumerate().collect::<Vec<_>>());
    assert_eq!(kept[3].file, Some(FileRange { device: (0, 1), inode: 9, offset: 0 }));
    assert_eq!((kept[1].file, kept[1].access), (None, *b"rw-p"));
}

/// Kernels that do not tell merged or huge pages are not taken to have none.
#[test]
fn figures_that_older_kernels_lack_are_not_known() {
    let whole = entry("1000-2000 rw-p 0 00:00 0", "");
    let without = |names: &[&str]| {
        let is_left = |line: &&str| !names.iter().any(|name| line.starts_with(name));
        let text: String = whole.split_inclusive('\n').filter(is_left).collect();
        let area = areas(&text)[0].clone();
        (area.merged, area.huge)
    };
    assert_eq!(without(&["KSM"]), (None, Some(7 << 10)));
    assert_eq!(without(&["FilePmdMapped"]), (Some(6 << 10), Some(6 << 10)));
    assert_eq!(without(&["KSM", "AnonHuge", "ShmemPmd", "FilePmd"]), (None, None));
    for name in ["KSM", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"] {
        let line = whole.split_inclusive('\n').find(|line| line.starts_with(name)).unwrap();
        for bad in [line.repeat(2), format!("{name}: x kB\n")] {
            let text = whole.replace(line, &bad);
            assert!(smaps::parse(text.as_bytes(), &[]).is_err(), "{bad}");
        }
    }

    let old: String = String::from_utf8_lossy(STATUS)
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("VmPin") && !line.starts_with("VmLck"))
        .collect();
    let counters = status::parse(old.as_bytes()).unwrap().unwrap();
    assert_eq!((counters.locked, counters.pinned), (None, None));
    for bad in [&b"VmPin: x kB\n"[..], b"VmPin: 1 kB\nVmPin: 1 kB\n"] {
        assert!(status::parse(&[bad, old.as_bytes()].concat()).is_err(), "{bad:?}");
    }
}

#[test]
fn a_thread_tells_its_stack_pointer_unless_it_runs() {
    for (text, pointer) in [
        ("running\n", None),
        ("-1 0x7ffc0 0x1\n", Some(0x7_ffc0)),
        ("34 0x0 0x0 0x2 0x8 0x0 0x7f 0x7f3366f69eb0 0x7f3367842df2\n", Some(0x7f33_66f6_9eb0)),
    ] {
        assert_eq!(syscall::parse(text.as_bytes()), Ok(pointer), "{text}");
    }
    for bad in [
        "",
        "\n",
        "running",
        "runs\n",
        "-1 0x1\n",
        "34 0x0 0x0 0x0 0x0 0x0 0x0 0x1\n",
        "34 0x0 0x0 0x0 0x0 0x0 0x0 1 0x1\n",
        "34 0x0 0x0 0x0 0x0 0x0 0x0 0xg 0x1\n",
        "-1 0x10000000000000000 0x1\n",
    ] {
        assert!(syscall::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn the_kind_of_a_mapping_is_reported_by_name_device_and_flags() {
    const TMPFS: Device = (0, 0x23);
    for (rest, flags, kind) in [
        ("rw-p 0 00:00 0", "", AreaKind::Anonymous),
        ("rw-p 0 00:00 0 [stack]", "", AreaKind::Stack),
        ("rw-p 0 00:00 0 [stack:17]", "", AreaKind::Stack),
        ("rw-p 0 00:00 0 [anon: glibc: pthread stack: 17]", "", AreaKind::Stack),
        ("rw-p 0 00:00 0 [anon: glibc: pthread user stack: 17]", "", AreaKind::Stack),
        ("rw-p 0 00:00 0 [anon:stack_and_tls:17]", "", AreaKind::Stack),
        ("rw-p 0 00:00 0 [anon:pool]", "", AreaKind::Anonymous),
        ("rw-p 0 00:00 0 [anon:haystack of the stack machine]", "", AreaKind::Anonymous),
        ("r--p 0 00:00 0 [vvar]", "pf io", AreaKind::Kernel),
        ("r--p 0 00:00 0 [vvar_vclock]", "pf io", AreaKind::Kernel),
        ("r-xp 0 00:00 0 [vdso]", "", AreaKind::Kernel),
        ("rw-s 0 00:09 20726 socket:[20726]", "mm", AreaKind::Kernel),
        ("rw-s 0 00:10 1044 anon_inode:[io_uring]", "de mm", AreaKind::Kernel),
        ("rw-s 0 00:10 1044 anon_inode:[perf_event]", "pf io", AreaKind::Kernel),
        ("rw-s 0 00:10 1044 anon_inode:bpf-map", "dd mm", AreaKind::Kernel),
        ("rw-s 0 00:10 1044 anon_inode:kvm-vcpu:0", "", AreaKind::Kernel),
        ("rw-s 0 00:10 1044 anon_inode:[of tomorrow]", "", AreaKind::Kernel),
        ("rw-s 0 00:13 7 /[aio] (deleted)", "de", AreaKind::Kernel),
        ("rw-s 0 00:0e 7 /secretmem (deleted)", "lo", AreaKind::Shmem),
        ("rw-s 0 00:0c 7 /dmabuf:", "pf io", AreaKind::Device),
        ("rw-s 0 00:23 7 /dev/video0", "mm", AreaKind::Device),
        ("rw-s 0 00:05 7 /dev/nvidiactl", "", AreaKind::Device),
        ("rw-s 0 00:11 2 /memfd:x (deleted)", "ht", AreaKind::Hugetlb),
        ("r--p 0 fe:00 2 /socket:[1]", "", AreaKind::File),
        ("rw-s 0 00:01 2 /dev/zero (deleted)", "", AreaKind::Shmem),
        ("rw-p 0 00:06 2 /dev/zero", "", AreaKind::Anonymous),
        ("rw-s 0 00:01 2 /SYSV0 (deleted)", "", AreaKind::Shmem),
        ("rw-s 0 00:01 2 [anon_shmem:x]", "", AreaKind::Shmem),
        ("rw-s 0 00:01 2 /a driver's object (deleted)", "", AreaKind::Shmem),
        ("rw-s 0 00:1c 2 /dev/shm/x", "", AreaKind::Shmem),
        ("rw-s 0 00:23 2 /run/x", "", AreaKind::Shmem),
        ("rw-s 0 00:24 2 /overlay/x", "", AreaKind::File),
        ("rw-s 0 00:06 2 /dev/dri/renderD128", "io", AreaKind::Device),
        ("rw-s 0 00:06 2 /dev/mem", "pf", AreaKind::Device),
        ("rw-p 0 00:10 2 /anon_hugepage (deleted)", "ht", AreaKind::Hugetlb),
        ("r--p 0 fe:00 2 /\u{fffd}[heap]", "", AreaKind::File),
    ] {
        // A memfd tells which device is the kernel's own tmpfs.
        let text = entry(&format!("1000-2000 {rest}"), flags)
            + &entry("3000-4000 rw-s 0 00:01 1 /memfd:", "");
        let all = smaps::parse(text.as_bytes(), &[TMPFS]).unwrap().areas;
        assert_eq!(all[0].kind, kind, "{rest} {flags}");
    }
}

#[test]
fn vsyscall_is_no_memory_of_the_process() {
    let header = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0    [vsyscall]";
    assert_eq!(areas(&(walk() + &entry(header, ""))), areas(&walk()));
}

#[test]
fn names_need_not_be_text() {
    let line = b"1000-2000 r--p 00000000 fe:00 7    /a\\012\xff b \n";
    assert_eq!(maps::parse(line).unwrap()[0].name, b"/a\\012\xff b ");
}

#[test]
fn malformed_texts_are_refused() {
    for bad in [
        &b""[..],
        b"\n",
        b"1 2 3 4 5 6\n",
        b"1 2 3 4 5 6 x\n",
        b"1 2 3 4 5 6 7",
        b"18446744073709551615 1 1 1 1 1 1\n",
        b"-1 1 1 1 1 1 1\n",
    ] {
        assert!(statm::parse(bad, 4096).is_err(), "{bad:?}");
    }
    for bad in [
        &b""[..],
        b"\n",
        b"1 a S 1\n",
        b"1 )a( S\n",
        b"1 (a\n",
        b"1 (a)\n",
        b"1 (a) SS 1\n",
        b"1 (a) S 1 2 3\n",
    ] {
        assert!(stat::parse(bad).is_err(), "{bad:?}");
    }
    for bad in
        [&b""[..], b"Name: a\n", b"VmRSS: 1 kB\nThreads: 1\n", b"Threads: x\n", b"Threads: 1 MB\n"]
    {
        assert!(status::parse(bad).is_err(), "{bad:?}");
    }
    for bad in [&b"x\n"[..], b"1:a\n", b"1:a:b\n", b"x:a:/\n", b"1:a:/"] {
        assert!(cgroup::parse(bad).is_err(), "{bad:?}");
    }
    for bad in [
        "\n",
        "x\n",
        "2-1 r--p 0 0:0 0\n",
        "1-2 r-p 0 0:0 0\n",
        "1-2 r--p 0 00 0\n",
        "1-2 r--p 0 0:0\n",
        "1-20000000000000000 r--p 0 0:0 0\n",
        "1-2 r--p 0 0:0 0",
    ] {
        assert!(maps::parse(bad.as_bytes()).is_err(), "{bad}");
        assert!(smaps::parse(bad.as_bytes(), &[]).is_err(), "{bad}");
    }
}

#[test]
fn a_figure_that_lacks_is_not_zero() {
    let whole = entry("1000-2000 rw-p 0 00:00 0", "");
    for name in [
        "Rss",
        "Pss",
        "Private_Clean",
        "Private_Dirty",
        "Anonymous",
        "LazyFree",
        "Shared_Hugetlb",
        "Private_Hugetlb",
        "Swap",
        "Locked",
        "VmFlags",
    ] {
        let prefix = format!("{name}:");
        let without: String =
            whole.split_inclusive('\n').filter(|line| !line.starts_with(&prefix)).collect();
        assert!(smaps::parse(without.as_bytes(), &[]).is_err(), "{name}");
        let line = whole.split_inclusive('\n').find(|line| line.starts_with(&prefix)).unwrap();
        let twice = whole.replace(line, &line.repeat(2));
        assert!(smaps::parse(twice.as_bytes(), &[]).is_err(), "{name} twice");
    }
}

#[test]
fn no_text_that_was_cut_short_is_taken_for_whole() {
    for len in 0..STATM.len() {
        assert!(statm::parse(&STATM[..len], 4096).is_err(), "{len}");
    }
    for len in 0..STAT.len() {
        assert!(stat::parse(&STAT[..len]).is_err(), "{len}");
    }
    let known = STATUS.len() - b"SigQ:\t0/96365\n".len();
    for len in 0..known {
        assert!(status::parse(&STATUS[..len]).is_err(), "{len}");
    }
    let text = walk();
    let whole = areas(&text);
    for len in 0..text.len() {
        // Between two entries a walk may rightly end: that a process did not
        // end meanwhile is the reader's to tell.
        if let Ok(part) = smaps::parse(&text.as_bytes()[..len], &[]) {
            assert!(
                text[..len].is_empty()
                    || text[..len].ends_with("VmFlags: rd wr  \n")
                    || text[..len].ends_with("VmFlags: rd wr ex \n"),
                "{len}"
            );
            assert_eq!(part.areas[..], whole[..part.areas.len()]);
        }
    }
    let rollup = entry("1000-2000 ---p 00000000 00:00 0    [rollup]", "");
    let rollup = &rollup[..rollup.find("THPeligible").unwrap()];
    for len in 0..rollup.len() {
        assert!(smaps_rollup::parse(&rollup.as_bytes()[..len]).is_err(), "{len}");
    }
    assert_eq!(smaps_rollup::parse(rollup.as_bytes()).unwrap().lazy_free, 8 << 10);
}

/// Parses with everything; only that nothing panics matters.
fn parse_all(text: &[u8]) {
    let _ = statm::parse(text, 4096);
    let _ = stat::parse(text);
    let _ = status::parse(text);
    let _ = cgroup::parse(text);
    let _ = maps::parse(text);
    let _ = smaps::parse(text, &[]);
    let _ = smaps_rollup::parse(text);
    let _ = syscall::parse(text);
}

proptest! {
    #[test]
    fn garbage_never_panics(text in prop::collection::vec(any::<u8>(), 0..512)) {
        parse_all(&text);
    }

    #[test]
    fn garbled_texts_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        which in 0usize..5,
    ) {
        let walk = walk();
        let mut text = [STATM, STAT, STATUS, CGROUP, walk.as_bytes()][which].to_vec();
        for (at, byte) in edits {
            let at = at.index(text.len());
            text[at] = byte;
        }
        parse_all(&text);
    }

    #[test]
    fn a_name_never_breaks_a_line(name in prop::collection::vec(1u8.., 0..16)) {
        let text = [b"1 (", &name[..], b") R 1 1 1 0 -1 0 0 0 0 0 \
            1 2 0 0 20 0 1 0 7 0 0\n"].concat();
        let found = stat::parse(&text).unwrap();
        prop_assert_eq!((found.comm, found.state, found.start), (&name[..], b'R', 7));
    }
}
