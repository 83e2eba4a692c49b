//! The parsers over what real kernels print, whole, cut and garbled.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use memgap_kernel::source::{meminfo, memory_stat, mountinfo, sockstat, vmstat, zoneinfo};
use memgap_ledger::sample::CgroupVersion::{self, V1, V2};
use memgap_ledger::sample::{HugePages, Meminfo, MemoryStat, SocketBuffers, Vmstat};
use procfs_core::FromRead;
use proptest::prelude::*;
use proptest::sample::Index;

const PAGE: u64 = 4096;

const KERNELS: [(&str, CgroupVersion); 5] =
    [("5.10", V2), ("6.1", V2), ("6.12", V2), ("7.2", V2), ("6.18-v1", V1)];

fn text(kernel: &str, name: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/kernels");
    std::fs::read(root.join(kernel).join(name)).unwrap()
}

/// The figure of the first line that starts with `name`, found with `str` alone.
fn line(text: &[u8], name: &str) -> Option<u64> {
    let text = std::str::from_utf8(text).unwrap();
    let line = text.lines().find(|l| l.split([' ', ':']).next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn memory_stat_is_read_on_every_kernel() {
    for (kernel, version) in KERNELS {
        let text = text(kernel, "memory.stat");
        let stat = memory_stat::parse(&text, version, PAGE).unwrap();
        let of = |v2: &str, v1: &str| line(&text, if version == V2 { v2 } else { v1 });
        let optional = |name: &str| line(&text, name).filter(|_| version == V2);
        let expected = MemoryStat {
            anon: of("anon", "total_rss").unwrap(),
            file: of("file", "total_cache").unwrap(),
            shmem: of("shmem", "total_shmem").unwrap(),
            inactive_anon: of("inactive_anon", "total_inactive_anon").unwrap(),
            active_anon: of("active_anon", "total_active_anon").unwrap(),
            inactive_file: of("inactive_file", "total_inactive_file").unwrap(),
            active_file: of("active_file", "total_active_file").unwrap(),
            unevictable: of("unevictable", "total_unevictable").unwrap(),
            file_mapped: of("file_mapped", "total_mapped_file"),
            kernel: optional("kernel"),
            kernel_stack: optional("kernel_stack"),
            pagetables: optional("pagetables"),
            percpu: optional("percpu"),
            sock: optional("sock"),
            slab_reclaimable: optional("slab_reclaimable"),
            slab_unreclaimable: optional("slab_unreclaimable"),
            hugetlb: optional("hugetlb"),
            swapcached: of("swapcached", "total_swapcached"),
            sec_pagetables: optional("sec_pagetables"),
            vmalloc: optional("vmalloc"),
            zswap: optional("zswap"),
            swap: line(&text, "total_swap"),
            ever_lazily_freed: optional("pglazyfree").map(|pages| pages * PAGE),
        };
        assert_eq!(stat, expected, "{kernel}");
        assert_eq!(stat.kernel.is_some(), !["5.10", "6.18-v1"].contains(&kernel), "{kernel}");
    }
}

#[test]
fn meminfo_equals_what_procfs_core_reads() {
    for (kernel, _) in KERNELS {
        let text = text(kernel, "meminfo");
        let theirs = procfs_core::Meminfo::from_read(text.as_slice()).unwrap();
        let expected = Meminfo {
            mem_total: theirs.mem_total,
            mem_free: theirs.mem_free,
            mem_available: theirs.mem_available,
            buffers: theirs.buffers,
            cached: theirs.cached,
            active_anon: theirs.active_anon.unwrap(),
            inactive_anon: theirs.inactive_anon.unwrap(),
            active_file: theirs.active_file.unwrap(),
            inactive_file: theirs.inactive_file.unwrap(),
            unevictable: theirs.unevictable.unwrap(),
            mlocked: theirs.mlocked.unwrap(),
            anon_pages: theirs.anon_pages.unwrap(),
            shmem: theirs.shmem.unwrap(),
            s_reclaimable: theirs.s_reclaimable.unwrap(),
            s_unreclaim: theirs.s_unreclaim.unwrap(),
            kernel_stack: theirs.kernel_stack.unwrap(),
            page_tables: theirs.page_tables.unwrap(),
            sec_page_tables: theirs.secondary_page_tables,
            vmalloc_used: theirs.vmalloc_used,
            percpu: theirs.per_cpu,
            hugetlb: theirs.hugetlb,
            huge_pages: theirs.hugepagesize.map(|size| HugePages {
                size,
                total: theirs.hugepages_total.unwrap() * size,
                free: theirs.hugepages_free.unwrap() * size,
                reserved: theirs.hugepages_rsvd.unwrap() * size,
            }),
            k_reclaimable: theirs.k_reclaimable,
            zswap: line(&text, "Zswap").map(|kb| kb * 1024),
            swap_total: theirs.swap_total,
            swap_free: theirs.swap_free,
        };
        assert_eq!(meminfo::parse(&text).unwrap(), expected, "{kernel}");
        assert_eq!(expected.sec_page_tables.is_some(), kernel != "5.10", "{kernel}");
    }
}

#[test]
fn a_lacking_line_is_named_or_known_to_be_optional() {
    let text = String::from_utf8(text("6.12", "meminfo")).unwrap();
    let optional =
        ["MemAvailable", "SecPageTables", "Percpu", "Hugetlb", "Hugepagesize", "KReclaimable"];
    let mut refused = 0;
    for name in text.lines().filter_map(|line| line.split(':').next()) {
        let without: String =
            text.split_inclusive('\n').filter(|l| !l.starts_with(&format!("{name}:"))).collect();
        let read = meminfo::parse(without.as_bytes());
        if let Err(why) = read {
            assert_eq!(why, format!("there is no `{name}`"));
            assert!(!optional.contains(&name), "{name}");
            refused += 1;
        }
    }
    assert_eq!(refused, 22);
}

#[test]
fn mountinfo_equals_what_procfs_core_reads() {
    let ours = std::fs::read("/proc/self/mountinfo").unwrap();
    for text in KERNELS.iter().map(|(kernel, _)| text(kernel, "mountinfo")).chain([ours]) {
        let theirs = procfs_core::process::MountInfos::from_read(text.as_slice()).unwrap().0;
        let ours = mountinfo::parse(&text);
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(*ours.root, *theirs.root.as_bytes());
            assert_eq!(*ours.point, *theirs.mount_point.as_os_str().as_encoded_bytes());
            assert_eq!(*ours.fs_type, *theirs.fs_type.as_bytes());
            assert_eq!(format!("{}:{}", ours.device.0, ours.device.1), theirs.majmin);
            for option in ours.options.split(|b| *b == b',') {
                let name = option.split(|b| *b == b'=').next().unwrap();
                assert!(theirs.super_options.contains_key(std::str::from_utf8(name).unwrap()));
            }
        }
    }
}

#[test]
fn escapes_in_mounts_are_undone_and_odd_lines_left_out() {
    let text = b"1 2 0:3 / /a\\040b\\134c\\9 rw - cgroup x\\011y rw,memory\n\
        1 2 0:3 / /no-separator rw cgroup x rw\n\
        x 2 0:3 / /not-a-number rw - cgroup x rw\n\
        \xff\n\
        4 2 0:3 / /tagged rw shared:1 master:2 - cgroup2  rw\n\
        5 2 0:3 / /cut rw - cgroup x rw,mem";
    let mounts = mountinfo::parse(text);
    let points: Vec<_> = mounts.iter().map(|m| m.point.as_ref()).collect();
    assert_eq!(points, [&b"/a b\\c\\9"[..], b"/tagged"]);
    assert_eq!(*mounts[0].options, *b"rw,memory");
}

#[test]
fn zoneinfo_is_the_sum_of_all_lists() {
    for (kernel, _) in KERNELS {
        let text = text(kernel, "zoneinfo");
        let lines = std::str::from_utf8(&text).unwrap().lines();
        let counts =
            lines.filter_map(|l| l.trim().strip_prefix("count:")?.trim().parse::<u64>().ok());
        let read = zoneinfo::parse(&text, 4096).unwrap();
        assert_eq!(
            read,
            zoneinfo::Pagesets { free: counts.sum::<u64>() * 4096, cpus: 2 },
            "{kernel}"
        );
    }
    for bad in [
        "",
        "Node 0, zone DMA\n",
        "Node 0, zone DMA\n cpu: 0\n",
        "Node 0, zone DMA\n count: 1\n",
        "Node 0, zone DMA\n cpu: 0\n cpu: 1\n count: 1\n",
        "Node 0, zone DMA\n cpu: 0\n count: -1\n",
        "Node 0, zone DMA\n cpu: 0\n count: 18446744073709551615\n",
        "Node 0, zone DMA\n cpu: 0\n count: 1",
    ] {
        assert_eq!(zoneinfo::parse(bad.as_bytes(), 4096), None, "{bad:?}");
    }
}

#[test]
fn sockets_are_counted_in_pages_and_fragments_in_bytes() {
    let text = b"sockets: used 9\nTCP: inuse 1 orphan 0 tw 7 alloc 1 mem 30\n\
        UDP: inuse 2 mem 5\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 1 memory 777\n";
    let read = SocketBuffers { tcp: 30 * 4096, udp: 5 * 4096, fragments: 777 };
    assert_eq!(sockstat::parse(text, 4096), Some(read));
    assert_eq!(read.sum(), 35 * 4096 + 777);
    for (kernel, _) in KERNELS {
        assert!(sockstat::parse(&self::text(kernel, "sockstat"), 4096).is_some(), "{kernel}");
    }
    for bad in [
        "",
        "TCP: inuse 1 mem 30\n",
        "TCP: inuse 1 mem\nUDP: inuse 1 mem 1\n",
        "TCP: mem -1\nUDP: mem 1\n",
        "TCP: mem 1\nUDP: mem 18446744073709551615\n",
        "TCP: mem 1\nUDP: mem 1",
    ] {
        assert_eq!(sockstat::parse(bad.as_bytes(), 4096), None, "{bad:?}");
    }
}

#[test]
fn vmstat_tells_compressed_pages_and_the_balloon() {
    let text = text("6.18-v1", "vmstat");
    let none = Vmstat { zspages: Some(0), balloon: Some(0) };
    assert_eq!(vmstat::parse(&text, 4096), Ok(none));
    // Before 6.18 there are two event counters.
    let old = b"nr_free_pages 9\nnr_zspages 5\nballoon_inflate 7\nballoon_deflate 3\n";
    let read = Vmstat { zspages: Some(5 * 4096), balloon: Some(4 * 4096) };
    assert_eq!(vmstat::parse(old, 4096), Ok(read));
    // A kernel built without them tells neither, which is not 0.
    let bare = vmstat::parse(b"nr_free_pages 9\n", 4096);
    assert_eq!(bare, Ok(Vmstat { zspages: None, balloon: None }));
    let crossed = b"nr_free_pages 9\nballoon_inflate 3\nballoon_deflate 4\n";
    assert_eq!(vmstat::parse(crossed, 4096).unwrap().balloon, Some(0));
    for bad in [
        "",
        "nr_zspages 5\n",
        "nr_free_pages x\n",
        "nr_free_pages 9\nnr_zspages -1\n",
        "nr_free_pages 9\nnr_zspages 5",
        "nr_free_pages 9\nnr_zspages 18446744073709551615\n",
        "nr_free_pages 9\nballoon_inflate 9x\nballoon_deflate 1\n",
    ] {
        assert!(vmstat::parse(bad.as_bytes(), 4096).is_err(), "{bad:?}");
    }
}

/// A text that ends anywhere gives what the whole one gives, save for what not
/// every kernel prints, or nothing.
#[test]
fn a_cut_text_never_gives_another_figure() {
    for (kernel, version) in KERNELS {
        let stat = text(kernel, "memory.stat");
        let whole = memory_stat::parse(&stat, version, PAGE).unwrap();
        for cut in
            (0..stat.len()).filter_map(|n| memory_stat::parse(&stat[..n], version, PAGE).ok())
        {
            assert_eq!(mandatory(&cut), mandatory(&whole), "{kernel}");
        }
        let meminfo = text(kernel, "meminfo");
        let whole = meminfo::parse(&meminfo).unwrap();
        for cut in (0..meminfo.len()).filter_map(|n| meminfo::parse(&meminfo[..n]).ok()) {
            let Meminfo { percpu, hugetlb, huge_pages, .. } = cut;
            let optional = Meminfo { percpu, hugetlb, huge_pages, ..whole };
            assert_eq!(cut, optional, "{kernel}");
        }
        let sockstat = text(kernel, "sockstat");
        let whole = sockstat::parse(&sockstat, 4096);
        for n in 0..sockstat.len() {
            let cut = sockstat::parse(&sockstat[..n], 4096);
            assert!(cut.is_none() || cut == whole, "{kernel} {n}");
        }
    }
}

fn mandatory(stat: &MemoryStat) -> [u64; 8] {
    let MemoryStat { anon, file, shmem, unevictable, .. } = *stat;
    let lists = [stat.inactive_anon, stat.active_anon, stat.inactive_file, stat.active_file];
    [anon, file, shmem, unevictable, lists[0], lists[1], lists[2], lists[3]]
}

proptest! {
    /// Bytes that no kernel wrote are refused or read, never a panic.
    #[test]
    fn garbled_texts_are_survived(
        kernel in 0..KERNELS.len(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..8),
        end in any::<Index>(),
    ) {
        let (kernel, version) = KERNELS[kernel];
        for name in ["memory.stat", "meminfo", "zoneinfo", "sockstat", "mountinfo"] {
            let mut bytes = text(kernel, name);
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes.truncate(end.index(bytes.len() * 2).max(1));
            let _ = memory_stat::parse(&bytes, version, PAGE);
            let _ = meminfo::parse(&bytes);
            let _ = zoneinfo::parse(&bytes, 4096);
            let _ = sockstat::parse(&bytes, 4096);
            let _ = vmstat::parse(&bytes, 4096);
            prop_assert!(mountinfo::parse(&bytes).len() <= bytes.len());
        }
    }
}
