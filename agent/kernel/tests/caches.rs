//! The kernel's object caches, directory entries, inodes and cgroups: whole, garbled, and
//! on this machine.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use memgap_kernel::source::{cgroups, slabinfo};
use memgap_kernel::{Buf, Dir};
use memgap_ledger::MissingKind;
use memgap_ledger::host_detail::{Dentries, Slab};
use proptest::prelude::*;

const SLABS: &str = "slabinfo - version: 2.1\n\
    # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables \
    <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n\
    dentry            352742 352800    192   21    1 : tunables    0    0    0 : slabdata  16790  \
    16800      0\n\
    kmalloc-2k           640    656   2048   16    8 : tunables    0    0    0 : slabdata     40  \
    41      0\n";

#[test]
fn caches_are_the_pages_of_their_slabs() {
    let slab = |name: &str, pages: u64| Slab { name: name.to_owned(), bytes: pages * 4096 };
    let read = slabinfo::parse(SLABS.as_bytes(), 4096);
    assert_eq!(read, Some(vec![slab("dentry", 16800), slab("kmalloc-2k", 41 * 8)]));
    for bad in [
        "",
        "\n",
        "slabinfo - version: 2.1\n",
        "x\n",
        "x 1 2 3 4 5\n",
        "x 1 2 3 4 y : tunables 0 0 0 : slabdata 1 2 3\n",
        "x 1 2 3 4 5 : tunables 0 0 0 : slabdata 1 -2 3\n",
        "x 1 2 3 4 5 : tunables 0 0 0 : slabdata 1 18446744073709551615 3\n",
        "x 1 2 3 4 5 : tunables 0 0 0 : slabdata 1 2 3",
    ] {
        assert_eq!(slabinfo::parse(bad.as_bytes(), 4096), None, "{bad:?}");
    }
}

#[test]
fn numbers_of_entries_inodes_and_cgroups() {
    let text = b"352742\t329740\t45\t0\t66634\t0\n";
    let read = Dentries { total: 352_742, unused: 329_740, negative: 66634 };
    assert_eq!(slabinfo::parse_dentries(text), Some(read));
    assert_eq!(slabinfo::parse_inodes(b"285359\t4647\n"), Some(285_359));
    for bad in ["", "\n", "1\n", "1 2 3 4 5\n", "1 2 3 4 5 6 7\n", "1 2 3 4 x 6\n", "1 2 3 4 5 6"] {
        assert_eq!(slabinfo::parse_dentries(bad.as_bytes()), None, "{bad:?}");
    }
    for bad in ["", "1\n", "1 2 3\n", "-1 2\n", "1 2", "18446744073709551616 1\n"] {
        assert_eq!(slabinfo::parse_inodes(bad.as_bytes()), None, "{bad:?}");
    }
    let text = b"#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t3\t1\nmemory\t4\t1511\t1\n";
    assert_eq!(cgroups::parse(text), Some(1511));
    for bad in ["", "cpu 1 3 1\n", "memory 4\n", "memory 4 x 1\n", "memory 4 1511"] {
        assert_eq!(cgroups::parse(bad.as_bytes()), None, "{bad:?}");
    }
}

#[test]
fn they_are_read_here_or_missing_with_the_reason() {
    let mut buf = Buf::default();
    let proc = Dir::open(Path::new("/proc")).unwrap();
    assert!(slabinfo::read_dentries(&proc, &mut buf).unwrap().total > 0);
    assert!(slabinfo::read_inodes(&proc, &mut buf).unwrap() > 0);
    match slabinfo::read(&proc, 4096, &mut buf) {
        Ok(slabs) => assert!(slabs.iter().any(|slab| slab.name == "dentry" && slab.bytes > 0)),
        Err(lack) => assert_eq!(lack.kind, MissingKind::Denied, "{lack}"),
    }
    let elsewhere = Dir::open(Path::new("/dev")).unwrap();
    let lack = slabinfo::read_dentries(&elsewhere, &mut buf).unwrap_err();
    assert!(lack.why.contains("/dev/sys/fs/dentry-state"), "{lack}");
    assert!(cgroups::read(&elsewhere, &mut buf).is_err());
}

proptest! {
    #[test]
    fn garbage_is_survived(text in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = slabinfo::parse(&text, 4096);
        let _ = slabinfo::parse_dentries(&text);
        let _ = slabinfo::parse_inodes(&text);
        let _ = cgroups::parse(&text);
    }

    #[test]
    fn garbled_caches_are_survived(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = SLABS.as_bytes().to_vec();
        let at = at.index(text.len());
        text[at] = byte;
        let _ = slabinfo::parse(&text, 4096);
    }
}

#[test]
fn what_is_a_v1_cgroups_own_and_what_is_below_it() {
    use memgap_kernel::source::memory_stat::{OwnCache, own_cache};
    let text = "cache 5\nrss 1\nshmem 2\ntotal_cache 50\ntotal_rss 9\ntotal_shmem 20\n";
    assert_eq!(own_cache(text.as_bytes()), Ok(OwnCache { own: (5, 2), all: (50, 20) }));
    for lack in ["cache 5\n", "shmem 2\n", "total_cache 50\n", "total_shmem 20\n"] {
        let text = format!("\n{text}").replace(&format!("\n{lack}"), "\n");
        assert!(own_cache(text.as_bytes()).is_err(), "{lack}");
    }
    for bad in ["", "cache x\n", "cache 5\nshmem -2\n", "cache 5"] {
        assert!(own_cache(bad.as_bytes()).is_err(), "{bad:?}");
    }
}
